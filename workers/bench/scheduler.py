"""How ledger and dispatcher do with hundreds of workers: `lipsync bench --what scheduler`.

The workers are simulated (see `simulated_fleet`), everything that they talk to is real. Times are told in chunk times,
since they scale: what a fleet with chunks of five seconds does, one with chunks of ten does in twice the time.
"""

import statistics
import time

from infra.settings import Settings
from jobs.fleet import Fleet
from jobs.ledger_redis import RedisLedger
from workers.bench.figures import summarise
from workers.bench.private_redis import private_redis
from workers.bench.redis_use import RedisUse, redis_use
from workers.bench.report import Report
from workers.bench.scenario import HALF_HOUR, TEN_HOURS, TWO_MINUTES, Arrival, Scenario, new_ticket
from workers.bench.simulated_fleet import SimulatedFleet
from workers.bench.trace import span_of_all_chunks, span_of_full_load, utilisation, waits_s

MIX = (
    Arrival(0, TEN_HOURS),
    Arrival(1, HALF_HOUR),
    *(Arrival(1.5 + 0.2 * number, TWO_MINUTES) for number in range(20)),
    Arrival(3, HALF_HOUR),
)
JOB_LENGTHS = (100, 1_000, 10_000)
ACTIVE_JOBS = (1, 100, 1_000)
REPEATS = 200


def simulate(
    workers: int = 500,
    chunk_s: float = 4.0,
    jobs: tuple[Arrival, ...] = MIX,
    job_lengths: tuple[int, ...] = JOB_LENGTHS,
    active_jobs: tuple[int, ...] = ACTIVE_JOBS,
) -> Report:
    """Measure how busy a fleet is kept, how long short jobs wait, and what a chunk costs Redis.

    Args:
        workers: how many are simulated.
        chunk_s: mean time of a chunk; so long that the driver, which plays all workers, is no bottleneck.
        jobs: what is submitted when; some of it jobs of two minutes.
        job_lengths: in chunks, of the jobs by which the cost of a chunk is measured.
        active_jobs: numbers of them with which the time of a dispatch is measured.

    Raises:
        Failed: there is no redis-server.
    """
    with private_redis() as settings:
        played, played_rows = _play(settings, Scenario(workers, chunk_s, jobs))
    with private_redis() as settings:
        costs = {f"chunk_of_a_job_of_{chunks}": cost_of_a_chunk(settings, chunks) for chunks in job_lengths}
        costs["renewal_of_a_claim"] = cost_of_a_renewal(settings)
        dispatch_ms = {str(count): 1000 * time_of_a_dispatch(settings, count) for count in active_jobs}
    return Report(
        "scheduler",
        played
        | {"redis": {name: cost.document() for name, cost in costs.items()}}
        | {"dispatch_ms_by_active_jobs": {count: round(taken, 3) for count, taken in dispatch_ms.items()}},
        (
            *played_rows,
            *((name.replace("_", " "), cost.text()) for name, cost in costs.items()),
            *((f"empty dispatch, active jobs: {count}", f"{taken:.2f} ms") for count, taken in dispatch_ms.items()),
        ),
    )


def _play(settings: Settings, scenario: Scenario) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """Play the scenario; return what the report says of it."""
    before, cpu_s, start_s = redis_use(settings), time.process_time(), time.monotonic()
    trace = SimulatedFleet(settings, scenario).play()
    wall_s, cpu_s = time.monotonic() - start_s, time.process_time() - cpu_s
    redis = redis_use(settings).since(before, per=wall_s)
    full, all_chunks = span_of_full_load(trace, scenario.workers), span_of_all_chunks(trace)
    busy = {span: utilisation(trace, scenario.workers, span) for span in (full, all_chunks)}
    waits = summarise([wait_s / scenario.chunk_s for wait_s in waits_s(trace, TWO_MINUTES)])
    dispatches, late = summarise(trace.dispatches_s), summarise(trace.late_s)
    document = {
        "workers": scenario.workers,
        "jobs": len(scenario.jobs),
        "chunks": scenario.chunks,
        "chunk_s": scenario.chunk_s,
        "parts_failed": trace.failed,
        "parts_handed_back": trace.handed_back,
        "full_load_s": round(full[1] - full[0], 2),
        "utilisation_full_load": round(busy[full], 4),
        "all_chunks_s": round(all_chunks[1] - all_chunks[0], 2),
        "utilisation_all_chunks": round(busy[all_chunks], 4),
        "short_jobs": waits.count,
        "short_job_wait_chunk_times": {"median": round(waits.median_s, 3), "longest": round(waits.greatest_s, 3)},
        "messages": trace.rung,
        "dispatches": dispatches.count,
        "dispatch_mean_ms": round(1000 * dispatches.mean_s, 3),
        "redis_commands_per_s": round(redis.commands),
        "redis_bytes_per_s": round(redis.bytes),
        "redis_cpu_share": round(redis.cpu_s, 4),
        "driver_cpu_share": round(cpu_s / wall_s, 4),
        "driver_late_ms": {"median": round(1000 * late.median_s, 2), "p95": round(1000 * late.p95_s, 2)},
    }
    return document, [
        ("simulated", f"{scenario.workers} workers, {scenario.chunks} chunks of {scenario.chunk_s:g} s each"),
        ("jobs", f"{len(scenario.jobs)}; {trace.failed} parts fail once, {trace.handed_back} are handed back"),
        ("workers busy while there is work for all", f"{busy[full]:.1%} of {full[1] - full[0]:.1f} s"),
        ("workers busy to the last chunk", f"{busy[all_chunks]:.1%} of {all_chunks[1] - all_chunks[0]:.1f} s"),
        (
            "a 2-minute job waits for its first chunk",
            f"{waits.median_s:.2f} chunk times ({waits.greatest_s:.2f} at most)",
        ),
        ("dispatch, its messages included", f"{1000 * dispatches.mean_s:.2f} ms in the mean"),
        ("Redis", f"{redis.commands:,.0f} commands/s, {redis.bytes / 1e6:.2f} MB/s, {redis.cpu_s:.1%} of a core"),
        ("the driver", f"{cpu_s / wall_s:.0%} of a core, late by {1000 * late.median_s:.2f} ms in the median"),
    ]


def cost_of_a_chunk(settings: Settings, chunks: int) -> RedisUse:
    """What everything about one chunk costs Redis, from its message to its record, in a job of so many chunks."""
    own = settings.model_copy(update={"redis_prefix": f"{chunks} chunks:"})
    alone = Scenario(1, 0.0, (Arrival(0, chunks),), failing=0, handed_back=0)
    before = redis_use(own)
    SimulatedFleet(own, alone).play()
    return redis_use(own).since(before, per=chunks)


def cost_of_a_renewal(settings: Settings) -> RedisUse:
    """What it costs Redis when a worker says once that it still works."""
    own = settings.model_copy(update={"redis_prefix": "renewals:"})
    ledger = RedisLedger(own)
    job = ledger.open(new_ticket(chunks=1))
    attempt = ledger.claim(job, "0", "bench").attempt
    ledger.renew(job, "0", attempt, 0)
    before = redis_use(own)
    for frames in range(REPEATS):
        ledger.renew(job, "0", attempt, frames)
    return redis_use(own).since(before, per=REPEATS)


def time_of_a_dispatch(settings: Settings, active_jobs: int) -> float:
    """Seconds in the median of a dispatch that has nothing to ring for, among so many jobs."""
    fleet = Fleet(settings.model_copy(update={"redis_prefix": f"{active_jobs} jobs:"}))
    jobs = [fleet.ledger.open(new_ticket(TWO_MINUTES)) for _ in range(active_jobs)]
    fleet.dispatch(jobs[:1])
    taken_s = []
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        fleet.dispatch(jobs[:1])
        taken_s.append(time.perf_counter() - start_s)
    return statistics.median(taken_s)
