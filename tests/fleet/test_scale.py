"""Many workers, long jobs: what the benchmarks of scale measure, in small, on a real Redis."""

import math
from collections.abc import Iterator

import pytest

from infra.settings import Settings
from jobs.fleet import Fleet
from jobs.states import JobState
from tests.servers import redis_server
from workers.bench.scenario import TWO_MINUTES, Arrival, Scenario
from workers.bench.scheduler import cost_of_a_chunk, simulate
from workers.bench.simulated_fleet import SimulatedFleet
from workers.bench.submission import measure
from workers.bench.trace import span_of_full_load, utilisation

CHUNK_S = 0.5


@pytest.fixture
def settings() -> Iterator[Settings]:
    with redis_server() as server:
        yield Settings(redis_url=server.url)


def test_a_long_job_has_the_workers_that_short_ones_do_not_need(settings: Settings) -> None:
    """About five jobs of one chunk at a time: with equal shares for all, three quarters of the workers were busy."""
    jobs = (Arrival(0, 200), *(Arrival(1 + 0.25 * number, 1) for number in range(40)))
    trace = SimulatedFleet(settings, Scenario(20, CHUNK_S, jobs)).play()
    assert utilisation(trace, 20, span_of_full_load(trace, 20)) > 0.88


def test_a_short_job_starts_within_two_chunk_times_behind_a_long_one(settings: Settings) -> None:
    jobs = (Arrival(0, 200), Arrival(3, TWO_MINUTES))
    trace = SimulatedFleet(settings, Scenario(20, CHUNK_S, jobs)).play()
    (short,) = (job for job in trace.jobs.values() if job.chunks == TWO_MINUTES)
    before_it = sum(short.submitted_s < start < short.first_chunk_s for start, _ in trace.work)
    assert before_it <= 2 * 20  # counted in parts: on a busy machine a second may be long


def test_every_job_ends_though_parts_fail_and_are_handed_back(settings: Settings) -> None:
    scenario = Scenario(10, 0.1, (Arrival(0, 100), Arrival(2, 50)), failing=0.1, handed_back=0.1)
    trace = SimulatedFleet(settings, scenario).play()
    assert trace.failed > 0 and trace.handed_back > 0 and len(trace.finished_s) == 150
    views = Fleet(settings).ledger.latest(10)
    assert [(view.state, view.chunks_done) for view in views] == [(JobState.DONE, 50), (JobState.DONE, 100)]


def test_a_chunk_costs_redis_the_same_in_a_short_job_and_in_a_long_one(settings: Settings) -> None:
    short, *longer = (cost_of_a_chunk(settings, chunks) for chunks in (100, 1_000, 5_000))
    for cost in longer:  # what comes once for each job, the audio track and the assembly, weighs less
        assert 0.9 * short.commands < cost.commands <= short.commands
        assert 0.9 * short.bytes < cost.bytes <= short.bytes


def test_the_benchmark_of_the_scheduler_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_REDIS_URL", "redis://nobody:1")  # a fleet that a benchmark must not touch
    jobs = (Arrival(0, 60), Arrival(1, TWO_MINUTES))
    report = simulate(workers=6, chunk_s=0.2, jobs=jobs, job_lengths=(20,), active_jobs=(1, 3))
    assert report.what == "scheduler" and len(report.rows) >= 8
    assert 0.5 < report.document["utilisation_full_load"] <= 1
    assert 0 < report.document["short_job_wait_chunk_times"]["longest"] < math.inf
    assert set(report.document["redis"]) == {"chunk_of_a_job_of_20", "renewal_of_a_claim"}
    assert set(report.document["dispatch_ms_by_active_jobs"]) == {"1", "3"}


def test_the_benchmark_of_submission_reports() -> None:
    document = measure(hours=0.05, workers=3).document
    assert (document["frames"], document["chunks"]) == (4_500, 18)
    assert 0 < document["ledger_bytes"]["opened"] < document["ledger_bytes"]["largest"] < 10_000
    assert document["assembly"]["segments"] == 18 and document["assembly"]["packets_copied"]
