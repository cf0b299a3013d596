"""The fleet as Prometheus wants it: gauges of this moment, and what was counted. Pure.

Series are bounded: by the workers and hosts that are known (those that vanished leave after an hour) and by the jobs
that `FleetView` names. What was counted of workers that nobody knows any more is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from jobs import tallies as counted
from jobs.fleet_state import FleetView, WorkerFacts
from jobs.states import ENDED, JobState

Rows = Iterable[tuple[tuple[str, ...], float | None]]
"""Values of the labels, and the number; rows without a number are left out."""

WORKER_STATES = ("busy", "idle", "drained", "lost")
VERDICTS = ("recorded", "duplicate", "again", "quarantined", "lost", "cancelled", "handed_back")

_ALWAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    counted.PARTS_ENDED: tuple((verdict,) for verdict in VERDICTS),
    counted.JOBS_ENDED: tuple((str(state),) for state in sorted(ENDED)),
}
"""Counters are there before they count: Prometheus does not see the first step of one that begins with 1."""


def fleet_metrics(fleet: FleetView, tallies: Mapping[str, float]) -> Iterator[Metric]:
    """Everything about a fleet that can be reached."""
    yield from _queue(fleet)
    yield from _jobs(fleet)
    yield from _workers(fleet)
    yield from _counters(fleet, tallies)
    yield from _histograms(tallies)


def gauge(name: str, help_: str, rows: Rows, labels: tuple[str, ...] = ()) -> Metric:
    """One gauge, without the prefix of the product in `name`."""
    family = GaugeMetricFamily(f"lipsync_{name}", help_, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family


def _queue(fleet: FleetView) -> Iterator[Metric]:
    yield gauge("queue_messages", "Messages that wait in the queue.", [((), fleet.queue_messages)])
    yield gauge(
        "parts",
        "Parts of jobs that may be worked on: waiting for a worker, or in flight.",
        [(("waiting",), fleet.waiting_parts), (("in_flight",), fleet.in_flight_parts)],
        ("state",),
    )
    yield gauge(
        "oldest_waiting_seconds",
        "For how long the part that waits longest has been offered; 0 when none waits.",
        [((), fleet.oldest_waiting_s or 0.0)],
    )
    yield gauge(
        "frames_left", "Frames of all jobs that may be worked on and are not rendered yet.", [((), fleet.frames_left)]
    )


def _jobs(fleet: FleetView) -> Iterator[Metric]:
    yield gauge(
        "jobs",
        "Jobs that the ledger knows; those that ended leave it after seven days.",
        [((str(state),), fleet.job_states.get(state, 0)) for state in JobState],
        ("state",),
    )
    yield gauge(
        "jobs_left_out",
        "Jobs that have not ended, or failed within a day, and have no metrics of their own since there are too many.",
        [((), fleet.left_out.jobs)],
    )
    loads = [((job.view.job,), job) for job in fleet.jobs]
    of_job = ("job_id",)
    yield gauge("job_chunks", "Chunks of a job.", [(key, job.view.chunks_total) for key, job in loads], of_job)
    yield gauge(
        "job_chunks_done",
        "Chunks of a job that are recorded.",
        [(key, job.view.chunks_done) for key, job in loads],
        of_job,
    )
    yield gauge(
        "job_parts",
        "Parts of a job (its chunks, the audio track and the assembly) that are not finished.",
        [
            ((job.view.job, state), number)
            for _, job in loads
            for state, number in (
                ("waiting", job.waiting_parts),
                ("in_flight", job.in_flight_parts),
                ("quarantined", job.view.chunks_failed),
            )
        ],
        ("job_id", "state"),
    )
    yield gauge("job_frames", "Frames of a job.", [(key, job.view.frames_total) for key, job in loads], of_job)
    yield gauge(
        "job_frames_done",
        "Frames of a job that are rendered, those of chunks in flight included.",
        [(key, job.view.frames_done) for key, job in loads],
        of_job,
    )
    yield gauge(
        "job_created_timestamp_seconds",
        "When a job was opened.",
        [(key, job.view.created_s) for key, job in loads],
        of_job,
    )
    yield gauge(
        "job_progress_timestamp_seconds",
        "When a part of a job was last taken, finished or given back.",
        [(key, job.view.updated_s) for key, job in loads],
        of_job,
    )
    yield gauge(
        "job_state",
        "1 for the state that a job is in.",
        [((job.view.job, str(job.view.state)), 1) for _, job in loads],
        ("job_id", "state"),
    )


def _workers(fleet: FleetView) -> Iterator[Metric]:
    states = [worker.state for worker in fleet.workers]
    yield gauge(
        "workers",
        "Workers; lost ones have said nothing for half a minute and are forgotten after an hour.",
        [((state,), states.count(state)) for state in WORKER_STATES],
        ("state",),
    )
    yield gauge(
        "host_drained",
        "1 for hosts that take no more work.",
        [((host,), host in fleet.drained_hosts) for host in sorted(_hosts(fleet))],
        ("host",),
    )
    yield gauge(
        "worker_up",
        "Whether a worker was seen within the last half minute.",
        [((worker.facts.worker, worker.facts.host), worker.alive) for worker in fleet.workers],
        ("worker", "host"),
    )
    yield gauge(
        "worker_seen_timestamp_seconds",
        "When a worker was last seen, by the clock of Redis.",
        [((worker.facts.worker,), worker.seen_s) for worker in fleet.workers],
        ("worker",),
    )
    alive = [worker.facts for worker in fleet.workers if worker.alive]
    info = InfoMetricFamily("lipsync_worker", "What a live worker is.", labels=("worker", "host"))
    for facts in alive:
        more = {"device": str(facts.device), "version": facts.version, "release": facts.release}
        more |= {"provider": facts.provider, "device_name": facts.device_name}
        info.add_metric((facts.worker, facts.host), more)
    yield info
    for name, (number, help_) in _OF_WORKERS.items():
        yield gauge(name, help_, [((facts.worker,), number(facts)) for facts in alive], ("worker",))


_OF_WORKERS: dict[str, tuple[Callable[[WorkerFacts], float | None], str]] = {
    "worker_started_timestamp_seconds": (
        lambda facts: facts.started_s or None,
        "When a worker's process began, by its own clock.",
    ),
    "worker_pace_frames_per_second": (
        lambda facts: facts.pace_fps,
        "Frames per second of a worker while it worked on its last chunks.",
    ),
    "worker_memory_bytes": (
        lambda facts: facts.memory_bytes,
        "What a worker's processes keep resident and share with nobody.",
    ),
    "cache_free_bytes": (lambda facts: facts.cache_free_bytes, "Free on the disk of a worker's cache."),
    "device_memory_bytes": (
        lambda facts: facts.device_memory_bytes,
        "Used of the memory of a worker's accelerator, by whomever.",
    ),
    "device_memory_total_bytes": (
        lambda facts: facts.device_memory_total_bytes,
        "Memory of a worker's accelerator.",
    ),
    "device_use_ratio": (
        lambda facts: facts.device_use,
        "Share of the last moments in which a worker's accelerator was at work.",
    ),
}
"""Gauges of live workers: what each shows, and what it means."""


def _hosts(fleet: FleetView) -> set[str]:
    return {worker.facts.host for worker in fleet.workers} | fleet.drained_hosts


def _counters(fleet: FleetView, tallies: Mapping[str, float]) -> Iterator[Metric]:
    known: dict[tuple[str, ...], set[tuple[str, ...]]] = {
        ("worker",): {(worker.facts.worker,) for worker in fleet.workers},
        ("host",): {(host,) for host in _hosts(fleet)},
        (): {()},
    }
    for name, (labels, help_) in counted.COUNTERS.items():
        values = counted.counter_values(name, tallies)
        shown = known[labels] if labels in known else {*_ALWAYS.get(name, ()), *values}
        family = CounterMetricFamily(f"lipsync_{name}", help_, labels=labels)
        for key in sorted(shown):
            family.add_metric(key, values.get(key, 0.0))
        yield family


def _histograms(tallies: Mapping[str, float]) -> Iterator[Metric]:
    for name, (labels, bounds, help_) in counted.HISTOGRAMS.items():
        found = counted.distributions(name, tallies)
        if not labels and not found:
            buckets = [(bound, 0.0) for bound in (*map(counted.spell, bounds), counted.INFINITY)]
            found = {(): counted.Distribution(buckets, 0.0)}
        family = HistogramMetricFamily(f"lipsync_{name}", help_, labels=labels)
        for key, (buckets, total) in sorted(found.items()):
            family.add_metric(key, buckets, total)
        yield family
