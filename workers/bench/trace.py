"""What a simulated fleet did, and what that says. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

Moments = tuple[float, float]
"""From when to when, in seconds of the driver's clock."""


@dataclass
class JobTrace:
    """What became of one job; seconds of the driver's clock."""

    number: int
    chunks: int
    submitted_s: float
    first_chunk_s: float = math.inf


@dataclass
class Trace:
    """What was seen; seconds of the driver's clock.

    Attributes:
        jobs: by id, in order of submission.
        work: start and stop of every part that a worker held, finished or not.
        away: when workers that handed back their part were gone.
        finished_s: when chunks were recorded.
        dispatches_s: how long each call of the dispatcher took, its messages included.
        rung: messages sent.
        late_s: by how much each step of the driver came too late.
        failed: parts that failed.
        handed_back: parts that were handed back.
        renewals: how often a claim was renewed.
    """

    jobs: dict[str, JobTrace] = field(default_factory=dict)
    work: list[Moments] = field(default_factory=list)
    away: list[Moments] = field(default_factory=list)
    finished_s: list[float] = field(default_factory=list)
    dispatches_s: list[float] = field(default_factory=list)
    rung: int = 0
    late_s: list[float] = field(default_factory=list)
    failed: int = 0
    handed_back: int = 0
    renewals: int = 0


def span_of_full_load(trace: Trace, workers: int) -> Moments:
    """From the first moment with as many unfinished chunks as workers to the last: when nobody needs to be idle.

    Raises:
        ValueError: there never were so many.
    """
    steps = sorted(
        [(job.submitted_s, job.chunks) for job in trace.jobs.values()] + [(at, -1) for at in trace.finished_s]
    )
    unfinished = list(accumulate(change for _, change in steps))
    full = [index for index, chunks in enumerate(unfinished) if chunks >= workers]
    if not full:
        raise ValueError(f"there never was work for {workers} workers at a time")
    return steps[full[0]][0], steps[full[-1] + 1][0]


def span_of_all_chunks(trace: Trace) -> Moments:
    """From the first submission to the last chunk."""
    return min(job.submitted_s for job in trace.jobs.values()), max(trace.finished_s)


def utilisation(trace: Trace, workers: int, span: Moments) -> float:
    """Share of the time that the workers were there in which they held a part."""
    there_s = workers * (span[1] - span[0]) - _within(trace.away, span)
    return _within(trace.work, span) / there_s


def waits_s(trace: Trace, chunks: int) -> list[float]:
    """From submission to the first claim of a chunk, for all jobs of so many chunks."""
    return [job.first_chunk_s - job.submitted_s for job in trace.jobs.values() if job.chunks == chunks]


def _within(intervals: Iterable[Moments], span: Moments) -> float:
    return sum(max(min(stop, span[1]) - max(start, span[0]), 0.0) for start, stop in intervals)
