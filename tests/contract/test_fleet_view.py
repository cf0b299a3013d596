"""The fleet as the ledger in Redis shows it, on both servers that are supported."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ulid import ULID

from infra.embedded_redis import carried_redis_server
from infra.settings import Settings
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.ledger import FAILURE_WEIGHT, JobTicket, Record
from jobs.ledger_redis import RedisLedger
from jobs.states import JobState
from tests.servers import redis_server, wait_until


@pytest.fixture(scope="module", params=["system", "carried"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    program = carried_redis_server() if request.param == "carried" else None
    if request.param == "carried" and program is None:
        pytest.skip("no package carries a redis-server for this Python and machine")
    with redis_server(program=program) as server:
        yield server.url


@pytest.fixture
def ledger(url: str) -> RedisLedger:
    return RedisLedger(Settings(redis_url=url, redis_prefix=f"t{ULID()}:", home=Path("/nonexistent")))


def opened(ledger: RedisLedger, chunks: int = 3, max_attempts: int = 3) -> str:
    return ledger.open(JobTicket(str(ULID()), chunks, chunks * 10, max_attempts, "d" * 64, "me"))


FACTS = WorkerFacts(
    "gpu0@one", "one", 0, "0.1.0+r1", "0" * 16, "cuda", "a GPU", 1.5, 0.9, 100.0, 120.0, 5, 6, 7, 8, 0.5
)


def test_an_empty_fleet_has_nothing(ledger: RedisLedger) -> None:
    fleet = ledger.fleet()
    assert (fleet.workers, fleet.jobs, fleet.queue_messages, fleet.drained_hosts) == ((), (), 0, frozenset())
    assert (fleet.waiting_parts, fleet.in_flight_parts, fleet.frames_left, fleet.fps) == (0, 0, 0, 0)
    assert fleet.oldest_waiting_s is None and fleet.pace_fps is None and fleet.empty_in_s == 0
    assert set(fleet.job_states.values()) == {0}


def test_a_worker_shows_what_it_said_and_the_part_that_it_holds(ledger: RedisLedger) -> None:
    job = opened(ledger)
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    ledger.claim(job, "1", FACTS.worker)
    (worker,) = ledger.fleet().workers
    assert worker.facts == FACTS
    assert (worker.state, worker.job, worker.part, worker.alive) == ("busy", job, "1", True)


def test_a_worker_of_another_version_is_shown_by_its_name_and_host(ledger: RedisLedger) -> None:
    ledger.worker_seen("gpu1@two", '{"something": "else"}')
    (worker,) = ledger.fleet().workers
    assert (worker.facts.worker, worker.facts.host, worker.state) == ("gpu1@two", "two", "idle")


def test_a_worker_that_takes_its_leave_is_shown_no_more(ledger: RedisLedger) -> None:
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    ledger.worker_gone(FACTS.worker)
    assert ledger.fleet().workers == ()


def test_what_is_counted_for_a_worker_is_forgotten_with_it(ledger: RedisLedger) -> None:
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    ledger.tally({f"frames_rendered|{FACTS.worker}": 250, f"store_errors|{FACTS.worker}": 1, "attempts": 1})
    ledger.worker_gone(FACTS.worker)
    assert ledger.tallies() == {"attempts": 1}


def test_a_job_that_is_done_is_shown_for_a_moment(ledger: RedisLedger) -> None:
    job = opened(ledger, chunks=1)
    for part, frames in (("audio", 0), ("0", 10)):
        claim = ledger.claim(job, part, "w@h")
        ledger.finish(job, part, Record(claim.attempt, "a" * 64, 1, frames))
    claim = ledger.claim(job, "assemble", "w@h")
    ledger.finish(job, "assemble", Record(claim.attempt, "a" * 64, 1), "where")
    fleet = ledger.fleet()
    assert [(load.view.state, load.waiting_parts, load.frames_left) for load in fleet.jobs] == [(JobState.DONE, 0, 0)]
    assert (fleet.waiting_parts, fleet.frames_left) == (0, 0)


def test_a_drained_worker_is_busy_until_its_part_is_done(ledger: RedisLedger) -> None:
    job = opened(ledger)
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    claim = ledger.claim(job, "0", FACTS.worker)
    ledger.drain("one")
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    (worker,) = ledger.fleet().workers
    assert (worker.state, worker.drained) == ("busy", True)
    ledger.finish(job, "0", Record(claim.attempt, "a" * 64, 1, 10))
    fleet = ledger.fleet()
    assert [worker.state for worker in fleet.workers] == ["drained"]
    assert fleet.drained_hosts == {"one"} and fleet.able == ()


def test_parts_of_a_job_wait_are_in_flight_or_done(ledger: RedisLedger) -> None:
    job = opened(ledger, chunks=4)
    ledger.offer(job, 3, 60)
    first = ledger.claim(job, "0", "w@h")
    ledger.finish(job, "0", Record(first.attempt, "a" * 64, 1, 10))
    ledger.claim(job, "1", "w@h")
    fleet = ledger.fleet()
    (load,) = fleet.jobs
    assert (load.waiting_parts, load.in_flight_parts, load.frames_left) == (4, 1, 30)
    assert (fleet.waiting_parts, fleet.in_flight_parts, fleet.frames_left) == (4, 1, 30)
    assert fleet.oldest_waiting_s is not None and 0 <= fleet.oldest_waiting_s < 5


def test_ringing_again_does_not_make_a_part_younger(ledger: RedisLedger) -> None:
    job = opened(ledger, chunks=1)
    ledger.offer(job, 5, 60)
    since = ledger.fleet().jobs[0].waiting_since_s
    assert ledger.offer(job, 5, 0) == ["0", "audio"]
    assert ledger.fleet().jobs[0].waiting_since_s == since


def test_ended_jobs_are_counted_and_failed_ones_shown(ledger: RedisLedger) -> None:
    done, failed, paused = opened(ledger), opened(ledger, max_attempts=1), opened(ledger)
    ledger.move(done, JobState.CANCELLED)
    claim = ledger.claim(failed, "0", "w@h")
    ledger.fail(failed, "0", claim.attempt, "why", FAILURE_WEIGHT, 0)
    ledger.move(paused, JobState.PAUSED)
    fleet = ledger.fleet()
    assert {load.view.job for load in fleet.jobs} == {failed, paused}
    assert fleet.waiting_parts == 0  # nobody could take one
    counts = {state: count for state, count in fleet.job_states.items() if count}
    assert counts == {JobState.CANCELLED: 1, JobState.FAILED: 1, JobState.PAUSED: 1}


def test_the_oldest_jobs_are_shown_and_the_others_counted(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.ledger_redis.JOBS_SHOWN", 2)
    jobs = [opened(ledger) for _ in range(5)]
    fleet = ledger.fleet()
    assert [load.view.job for load in fleet.jobs] == jobs[:2]
    assert fleet.left_out == (3, 3 * 5, 0, 3 * 30)
    assert (fleet.waiting_parts, fleet.frames_left) == (5 * 5, 5 * 30)


def test_the_pace_of_the_fleet_counts_new_workers_as_average_ones(ledger: RedisLedger) -> None:
    for number, pace in enumerate((100.0, 50.0, None)):
        facts = replace(FACTS, worker=f"gpu{number}@one", pace_fps=pace)
        ledger.worker_seen(facts.worker, write_facts(facts))
    opened(ledger, chunks=45)
    fleet = ledger.fleet()
    assert fleet.pace_fps == 225
    assert fleet.empty_in_s == 450 / 225


def test_jobs_that_have_ended_are_in_nobodys_way(ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.ledger_redis.JOBS_SHOWN", 2)
    for _ in range(3):
        failed = opened(ledger, max_attempts=1)
        claim = ledger.claim(failed, "0", "w@h")
        ledger.fail(failed, "0", claim.attempt, "why", FAILURE_WEIGHT, 0)
    running = opened(ledger)
    ledger.claim(running, "1", "w@h")
    fleet = ledger.fleet()
    assert running in {load.view.job for load in fleet.jobs}
    assert fleet.left_out.jobs == 2 and fleet.in_flight_parts == 1


def test_what_a_host_holds_is_told_however_many_jobs_there_are(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.ledger_redis.JOBS_SHOWN", 1)
    opened(ledger)
    job = opened(ledger)
    ledger.claim(job, "2", "gpu0@one")
    ledger.claim(job, "1", "gpu0@other")
    assert ledger.holding("one") == [("gpu0@one", job, "2")]
    assert ledger.fleet().in_flight_parts == 2


def test_a_claim_that_ran_out_holds_nobody(url: str) -> None:
    settings = Settings(redis_url=url, redis_prefix=f"t{ULID()}:", home=Path("/nonexistent"))
    ledger = RedisLedger(settings, claim_ttl_s=0.05)
    job = opened(ledger)
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    ledger.claim(job, "0", FACTS.worker)
    ledger.move(job, JobState.PAUSED)  # so that nobody sweeps it
    wait_until(lambda: ledger.holding("one") == [], 5, "the claim to run out")
    (worker,) = ledger.fleet().workers
    assert (worker.state, ledger.fleet().in_flight_parts) == ("idle", 0)


def test_who_was_told_that_a_job_is_cancelled_holds_nothing_of_it(ledger: RedisLedger) -> None:
    job = opened(ledger)
    attempts = [ledger.claim(job, part, FACTS.worker).attempt for part in ("0", "1", "2")]
    ledger.move(job, JobState.CANCELLED)
    assert len(ledger.holding("one")) == 3
    assert ledger.renew(job, "0", attempts[0], 5) == "cancelled"
    assert ledger.finish(job, "1", Record(attempts[1], "0" * 64, 1)) == "cancelled"
    assert ledger.renew(job, "2", attempts[2] + 1, 5) == "cancelled"  # somebody else's claim
    assert ledger.holding("one") == [(FACTS.worker, job, "2")]
    assert ledger.finish(job, "2", Record(attempts[2] + 1, "0" * 64, 1)) == "cancelled"
    assert ledger.fail(job, "2", attempts[2], "no matter", FAILURE_WEIGHT, 1) == "lost"
    assert ledger.holding("one") == []


def test_a_worker_that_only_says_that_it_lives_takes_nothing_back(ledger: RedisLedger) -> None:
    ledger.worker_seen(FACTS.worker, write_facts(FACTS))
    ledger.worker_seen(FACTS.worker)
    assert ledger.fleet().workers[0].facts == FACTS
