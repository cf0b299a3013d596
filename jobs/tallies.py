"""What is counted over the life of a fleet, and how the ledger keeps it: one hash, field → number. Pure.

A field is a counter's name and its labels' values, `name|value|…`. A histogram has a field for each bucket, not
cumulated, `name_bucket|value|…|bound`, and one for the sum, `name_sum|value|…`. The scripts of the ledger count what
happens in it; workers add what only they know. Numbers begin anew when Redis loses its data, as counters may.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

SEPARATOR: Final = "|"
INFINITY: Final = "+Inf"

ATTEMPTS: Final = "attempts"
QUARANTINES: Final = "quarantines"
CLAIMS_EXPIRED: Final = "claims_expired"
CLAIMS_LOST: Final = "claims_lost"
JOBS_SUBMITTED: Final = "jobs_submitted"
JOBS_ENDED: Final = "jobs_ended"
PARTS_ENDED: Final = "parts_ended"
FRAMES_RENDERED: Final = "frames_rendered"
WORKER_STARTS: Final = "worker_starts"
STORE_ERRORS: Final = "store_errors"
STAGE_S: Final = "chunk_stage_seconds"
COLD_START_S: Final = "cold_start_seconds"
FIRST_SEGMENT_S: Final = "first_segment_seconds"


class Counter(NamedTuple):
    """A number that only grows: the names of its labels, and what it means."""

    labels: tuple[str, ...]
    help: str


class Histogram(NamedTuple):
    """A distribution: the names of its labels, the upper bounds of its buckets, and what it means."""

    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    help: str


COUNTERS: Final[dict[str, Counter]] = {
    ATTEMPTS: Counter((), "Parts that were claimed, repeated ones included."),
    QUARANTINES: Counter((), "Parts that failed so often that they were given up."),
    CLAIMS_EXPIRED: Counter((), "Claims that ran out since their worker did not renew them."),
    CLAIMS_LOST: Counter((), "Parts that a worker stopped working on since they were no longer its own or wanted."),
    JOBS_SUBMITTED: Counter((), "Jobs that were opened."),
    JOBS_ENDED: Counter(("state",), "Jobs that reached a state in which nothing moves by itself."),
    PARTS_ENDED: Counter(("verdict",), "Parts that workers were done with, by what came of them."),
    FRAMES_RENDERED: Counter(("worker",), "Frames of recorded chunks."),
    WORKER_STARTS: Counter(("host",), "Workers that were loaded and proved."),
    STORE_ERRORS: Counter(("worker",), "Errors of the store that a worker met, after the client's own repetitions."),
}

OF_A_WORKER: Final = tuple(name for name, counter in COUNTERS.items() if counter.labels == ("worker",))
"""Forgotten with the worker: names that are made anew with every start would pile up."""

HISTOGRAMS: Final[dict[str, Histogram]] = {
    STAGE_S: Histogram(
        ("stage",),
        (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 150.0, 280.0),
        "Seconds that each stage of a rendered chunk took; they overlap, `whole` is the chunk until it was stored.",
    ),
    COLD_START_S: Histogram(
        (),
        (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0),
        "Seconds from the start of a worker's process until it was ready to take work.",
    ),
    FIRST_SEGMENT_S: Histogram(
        (),
        (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0, 3600.0),
        "Seconds from the opening of a job until its first segment was recorded.",
    ),
}


class Distribution(NamedTuple):
    """What was observed of a histogram with one set of labels: counts as Prometheus wants them, cumulated."""

    buckets: list[tuple[str, float]]
    total: float


def field(name: str, *labels: str) -> str:
    """The field of a counter."""
    return SEPARATOR.join((name, *(label.replace(SEPARATOR, "_") for label in labels)))


def observation(name: str, value: float, *labels: str) -> dict[str, float]:
    """What one observation adds to the fields of a histogram."""
    bound = next((spell(bound) for bound in HISTOGRAMS[name].bounds if value <= bound), INFINITY)
    return {field(f"{name}_bucket", *labels, bound): 1, field(f"{name}_sum", *labels): value}


def spell(bound: float) -> str:
    """A bucket's bound as Prometheus writes it: `2.5`, `10.0`."""
    return str(float(bound))


def counter_values(name: str, tallies: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    """The values of a counter by its labels' values."""
    found = (key.split(SEPARATOR) for key in tallies)
    width = len(COUNTERS[name].labels)
    return {
        tuple(labels): tallies[SEPARATOR.join((head, *labels))]
        for head, *labels in found
        if head == name and len(labels) == width
    }


def distributions(name: str, tallies: Mapping[str, float]) -> dict[tuple[str, ...], Distribution]:
    """What was observed of a histogram, by its labels' values."""
    histogram = HISTOGRAMS[name]
    bounds = [*(spell(bound) for bound in histogram.bounds), INFINITY]
    found = {}
    for head, *labels in (key.split(SEPARATOR) for key in tallies):
        if head == f"{name}_sum" and len(labels) == len(histogram.labels):
            count, buckets = 0.0, []
            for bound in bounds:
                count += tallies.get(field(f"{name}_bucket", *labels, bound), 0.0)
                buckets.append((bound, count))
            found[tuple(labels)] = Distribution(buckets, tallies[field(f"{name}_sum", *labels)])
    return found
