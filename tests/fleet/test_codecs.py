"""A job whose codec no worker has waits, says why, harms nobody, and can be cancelled."""

import time

import pytest

from infra.media_codecs import encoding_problem
from jobs import keys, tallies
from jobs.control import cancel_job
from jobs.states import JobState, PartState
from tests.fleet.conftest import FleetUnderTest
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(
    encoding_problem("h264_nvenc") is None, reason="this machine has an NVIDIA encoder, so nothing is left to others"
)


def failures_of(fleet: FleetUnderTest, job: str) -> dict[str, str]:
    """Failed executions of each part, by the ledger's own book."""
    key = f"{fleet.settings.redis_prefix}{keys.ledger_job(job)}:failures"
    return dict(fleet.fleet.ledger._redis.hgetall(key))


@pytest.mark.parametrize("workers", [("alone",), ("one", "two")], ids=["one worker", "two workers"])
def test_a_job_that_nobody_can_encode_waits_without_a_failure_and_says_why(
    workers: tuple[str, ...], fleet: FleetUnderTest
) -> None:
    for name in workers:
        fleet.start_worker(name)
    stuck = fleet.submit(2.0, codec="h264_nvenc", max_attempts=1)

    def declined() -> bool:
        return all("job_left_to_others" in fleet.log(name) for name in workers)

    wait_until(declined, 30, "every worker to leave the job to others")
    wait_until(lambda: fleet.status(stuck).error is not None, 10, "the job to say what it waits for")
    other = fleet.submit(2.0)
    fleet.finished(other)
    status = fleet.status(stuck)
    assert (status.state, status.chunks_done, status.chunks_failed) == (JobState.RUNNING, 0, 0)
    assert "waits for a worker that can encode with h264_nvenc" in str(status.error)
    assert "waits for a worker" in fleet.cli("status", stuck).stdout
    assert failures_of(fleet, stuck) == {}
    wait_until(
        lambda: fleet.fleet.ledger.part_state(stuck, "audio") is PartState.DONE, 30, "the sound, which needs no card"
    )
    for name in workers:
        assert fleet.log(name).count("job_left_to_others") == 1, "once, not for every part and time"
        assert "part_failed" not in fleet.log(name)
    hold = fleet.fleet
    assert cancel_job(stuck, hold.ledger, hold.store) is JobState.CANCELLED
    assert fleet.status(stuck).error is None
    fleet.finished(fleet.submit(1.0))


def test_a_waiting_job_is_asked_about_once_a_second_and_not_all_the_time(fleet: FleetUnderTest) -> None:
    fleet.start_worker("alone")
    stuck = fleet.submit(0.4, codec="h264_nvenc")
    wait_until(lambda: fleet.status(stuck).error is not None, 30, "the job to say what it waits for")
    wait_until(lambda: fleet.fleet.ledger.part_state(stuck, "audio") is PartState.DONE, 30, "the sound, claimed once")

    def claims() -> float:
        return fleet.fleet.ledger.tallies()[tallies.ATTEMPTS]

    before, started_s = claims(), time.monotonic()
    wait_until(lambda: claims() >= before + 3, 30, "the part to be claimed a few more times")
    assert time.monotonic() - started_s > 1.5, "a worker that is alone must not spin"


def test_one_process_refuses_at_once_what_it_cannot_encode(fleet: FleetUnderTest) -> None:
    done = fleet.cli("render", "speech.flac", "--codec", "h264_nvenc", "--out", "out.mp4", code=2)
    assert done.stderr.startswith("lipsync: ") and "cannot encode with h264_nvenc" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
