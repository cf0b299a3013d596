"""One worker's answers to messages, without the queue: a real ledger and store, in this process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from infra.errors import Unreachable
from jobs import keys
from jobs.ledger import Record
from jobs.messages import message_for
from jobs.scratch import scratch_folder, sweep_scratch
from jobs.states import JobState, PartState
from tests.fleet.conftest import AVATAR, FleetUnderTest
from workers import tasks
from workers.avatar.pack import Pack
from workers.avatar.publishing import publish_proved
from workers.avatar.synthetic import make_synthetic
from workers.canary import prove
from workers.noticeboard import Noticeboard
from workers.reporting import Reporter
from workers.tasks import PartRunner
from workers.warm import WarmAvatars


@pytest.fixture
def runner(fleet: FleetUnderTest) -> Iterator[PartRunner]:
    hold = fleet.fleet
    avatars = WarmAvatars(hold.store, fleet.settings, prove)
    reporter = Reporter(hold.ledger, "here", Noticeboard())
    yield PartRunner(fleet.settings, hold.store, hold.ledger, avatars, "here", hold.dispatch, reporter)


def answer(runner: PartRunner, job: str, part: str) -> str:
    return runner.answer(*message_for(job, part))


def all_but_assembled(runner: PartRunner, fleet: FleetUnderTest) -> str:
    job = fleet.submit(1.0)
    for part in ("audio", "0", "1", "2"):
        assert answer(runner, job, part) == "recorded"
    return job


def test_a_job_cancelled_while_it_is_published_is_not_published(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = all_but_assembled(runner, fleet)
    store, ledger = runner.store, runner.ledger
    real: Callable[[str, bytes], None] = store.put

    def put_and_cancel(key: str, data: bytes) -> None:
        real(key, data)
        if key == keys.result(job):
            ledger.move(job, JobState.CANCELLED)

    monkeypatch.setattr(store, "put", put_and_cancel)
    assert answer(runner, job, "assemble") == "cancelled"
    assert store.size(keys.video(job)) is None and store.size(keys.result(job)) is None


def test_assembling_twice_publishes_once(runner: PartRunner, fleet: FleetUnderTest) -> None:
    job = all_but_assembled(runner, fleet)
    assert answer(runner, job, "assemble") == "recorded"
    record = runner.ledger.records(job)["assemble"]
    assert answer(runner, job, "assemble") == "done"
    assert runner.ledger.records(job)["assemble"] == record


def test_a_store_that_is_away_counts_less_than_a_failure(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.submit(1.0)

    def away(*_: object) -> bytes:
        raise Unreachable("The store is away.")

    monkeypatch.setattr(runner.store, "get_range", away)
    for _ in range(fleet.settings.max_attempts + 2):
        assert answer(runner, job, "0") == "again"
    monkeypatch.undo()
    assert answer(runner, job, "0") == "recorded"


def test_frames_that_one_worker_cannot_encode_are_left_to_another(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.submit(1.0, max_attempts=1)
    monkeypatch.setattr(tasks, "encoding_problem", lambda *_: "This machine has no card.")
    assert answer(runner, job, "0") == "others"
    status = fleet.status(job)
    assert status.error == "The job waits for a worker that can encode with libx264; on here: This machine has no card."
    monkeypatch.setattr(runner.store, "get", lambda *_: pytest.fail("the manifest is read once"))
    for _ in range(3):
        assert answer(runner, job, "1") == "others"
    monkeypatch.undo()
    able = replace(runner, name="there", _left="")
    for part in ("audio", "0", "1", "2", "assemble"):
        assert answer(able, job, part) == "recorded"
    assert (fleet.status(job).state, fleet.status(job).error) == (JobState.DONE, None)


def test_what_nobody_foresaw_is_counted_and_the_worker_lives(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.submit(1.0, max_attempts=1)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(tasks, "store_segment", broken)
    assert answer(runner, job, "0") == "quarantined"
    error = runner.ledger.quarantine(job)["0"]
    assert "ZeroDivisionError" in error and "surprise" in error


def test_a_part_that_takes_too_long_fails_with_what_to_do(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.submit(1.0, max_attempts=1)

    def slow(*_: object, **__: object) -> None:
        raise SoftTimeLimitExceeded  # what Celery raises in the rendering code

    monkeypatch.setattr(tasks, "store_segment", slow)
    assert answer(runner, job, "0") == "quarantined"
    assert "--chunk-frames" in runner.ledger.quarantine(job)["0"]


def test_what_is_finished_while_redis_is_away_is_recorded_when_it_is_back(
    runner: PartRunner, fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fleet.submit(1.0)
    real, asked = runner.ledger.finish, []

    def away_twice(*arguments: Any) -> str:
        asked.append(arguments)
        if len(asked) < 3:
            raise Unreachable("Redis is away.")
        return real(*arguments)

    monkeypatch.setattr(runner.ledger, "finish", away_twice)
    assert answer(runner, job, "0") == "recorded"
    assert runner.ledger.part_state(job, "0") is PartState.DONE


def test_the_folder_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    die = (
        "import os; from jobs.scratch import scratch_folder; scratch = scratch_folder(); "
        "(scratch.__enter__() / 'video').touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", die], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "video").exists()
    with scratch_folder() as living:
        sweep_scratch()
        assert not left.exists() and living.is_dir()
    assert not living.exists()


def test_a_segment_that_was_changed_in_the_store_is_not_assembled(runner: PartRunner, fleet: FleetUnderTest) -> None:
    job = all_but_assembled(runner, fleet)
    key = keys.segment(job, 1, runner.ledger.records(job)["1"].attempt)
    data = bytearray(runner.store.get(key))
    data[len(data) // 2] ^= 1
    runner.store.put(key, bytes(data))
    assert answer(runner, job, "assemble") == "again"
    assert runner.store.size(keys.video(job)) is None


def test_a_late_duplicate_of_a_segment_disturbs_nothing(runner: PartRunner, fleet: FleetUnderTest) -> None:
    job = all_but_assembled(runner, fleet)
    runner.store.put(keys.segment(job, 1, 777), b"from a worker that was thought dead")
    assert runner.ledger.finish(job, "1", Record(777, "0" * 64, 1, 10)) == "duplicate"
    assert answer(runner, job, "assemble") == "recorded"
    assert runner.ledger.part_state(job, "assemble") is PartState.DONE


def test_the_least_recently_used_avatar_leaves_the_memory(
    fleet: FleetUnderTest, tiny_pack: Pack, tmp_path: Path
) -> None:
    hold = fleet.fleet
    digests = [tiny_pack.digest]
    for seed in (1, 2):
        (tmp_path / f"seed-{seed}").mkdir()
        pack = make_synthetic(tmp_path / f"seed-{seed}", frames=3, width=384, height=352, seed=seed, small=True)
        publish_proved(pack, f"{AVATAR}-{seed}", hold.store, fleet.settings)
        digests.append(pack.digest)
    avatars = WarmAvatars(hold.store, fleet.settings.model_copy(update={"warm_avatars": 2}), prove)
    first, second, third = digests
    kept = avatars.get(first)
    dropped = avatars.get(second)
    assert avatars.get(first) is kept
    avatars.get(third)
    assert avatars.get(first) is kept
    assert avatars.get(second) is not dropped
