"""`lipsync plan` asks a real Redis what is queued, and how fast workers were seen to be."""

import json
from collections.abc import Iterator

import pytest
from ulid import ULID

from infra.settings import Settings
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.ledger import JobTicket
from jobs.ledger_redis import RedisLedger
from tests.cli.test_plan import run
from tests.servers import redis_server


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisLedger]:
    with redis_server() as server:
        monkeypatch.setenv("LIPSYNC_REDIS_URL", server.url)
        yield RedisLedger(Settings())


def add_worker(ledger: RedisLedger, name: str, pace_fps: float | None) -> None:
    ledger.worker_seen(name, write_facts(WorkerFacts(name, name.partition("@")[2], pace_fps=pace_fps)))


def add_job(ledger: RedisLedger, frames: int, chunks: int) -> None:
    ledger.open(JobTicket(str(ULID()), chunks, frames, 3, "0" * 64, "tester"))


def test_a_deadline_is_answered_with_how_many_more_workers_it_needs(
    ledger: RedisLedger, capfd: pytest.CaptureFixture[str]
) -> None:
    add_worker(ledger, "one@a", 20.0)
    add_worker(ledger, "two@b", 30.0)
    add_worker(ledger, "new@c", None)
    add_job(ledger, 900_000, 3_600)
    out, _ = run(capfd, "plan", "--deadline", "1h", "--json")
    told = json.loads(out)
    assert (told["frames_queued"], told["workers_now"], told["fps_per_worker"]) == (900_000, 3, 25.0)
    assert (told["workers"], told["workers_more"]) == (10, 7)
    text, _ = run(capfd, "plan", "--deadline", "1h")
    assert "900000 frames are queued for 3 workers; measured: 25.0 frames/s each." in text
    assert "Being done in 1h takes 7 more workers: 10 instead of 3." in text
    text, _ = run(capfd, "plan", "--deadline", "4h")
    assert "The 3 workers that are there are enough to be done in 4h, which takes 3." in text


def test_a_job_comes_on_top_of_what_is_queued(ledger: RedisLedger, capfd: pytest.CaptureFixture[str]) -> None:
    add_worker(ledger, "one@a", 25.0)
    add_job(ledger, 90_000, 360)
    told = json.loads(run(capfd, "plan", "--duration", "1h", "--workers", "2", "--cost-per-hour", "3", "--json")[0])
    assert (told["frames"], told["finish_s"], told["cost"]) == (180_000, 3_600, 6.0)
    given = json.loads(run(capfd, "plan", "--fps-per-worker", "50", "--workers", "2", "--json")[0])
    assert (given["frames"], given["finish_s"]) == (90_000, 900)


def test_the_fleet_that_is_there_is_among_those_that_are_told(
    ledger: RedisLedger, capfd: pytest.CaptureFixture[str]
) -> None:
    for index in range(7):
        add_worker(ledger, f"w@{index}", 25.0)
    add_job(ledger, 90_000, 360)
    told = json.loads(run(capfd, "plan", "--json")[0])
    assert [one["workers"] for one in told["fleets"]] == [1, 2, 5, 7, 10, 20, 50, 100, 200]


def test_a_fleet_that_cannot_tell_is_one_sentence(ledger: RedisLedger, capfd: pytest.CaptureFixture[str]) -> None:
    add_job(ledger, 250, 1)
    _, err = run(capfd, "plan", "--deadline", "1h", code=2)
    assert "--fps-per-worker" in err


def test_without_a_redis_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_REDIS_URL", "unix:///nowhere/redis.sock")
    _, err = run(capfd, "plan", "--deadline", "1h", code=3)
    assert "cannot be reached" in err
