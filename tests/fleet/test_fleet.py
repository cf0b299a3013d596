"""End to end with real worker processes on a real Redis."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import av
import numpy as np
import pytest
from ulid import ULID

from infra.celery_app import send
from infra.media_facts import read_facts
from jobs import keys
from jobs.control import cancel_job, move_job, retry_job
from jobs.messages import RENDER_CHUNK
from jobs.states import JobState, PartState
from jobs.submit import JobRequest
from tests.fleet.conftest import AVATAR, FleetUnderTest
from tests.servers import wait_until
from workers.avatar.pack import Pack
from workers.local_render import Outputs, render_locally


def pictures(video: Path) -> Iterator[np.ndarray]:
    """The decoded frames of a video, luma and chroma as stored."""
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray()


def assert_same_video(first: Path, second: Path) -> None:
    count = 0
    for one, other in zip(pictures(first), pictures(second), strict=True):
        assert np.array_equal(one, other), f"frame {count} differs"
        count += 1
    assert count


def reference(fleet: FleetUnderTest, seconds: float, chunk_frames: int, folder: Path) -> Path:
    """The same job rendered in one process without any queue."""
    out = folder / "reference.mp4"
    request = JobRequest(audio=fleet.logs / f"speech-{seconds}.wav", chunk_frames=chunk_frames)
    render_locally(request, AVATAR, Outputs(video=out), fleet.settings, lambda *_: None, (0, None))
    return out


def assert_published_once(fleet: FleetUnderTest, job: str) -> None:
    listed = [info.key for info in fleet.fleet.store.list(keys.job_prefix(job))]
    assert listed.count(keys.video(job)) == 1 and listed.count(keys.result(job)) == 1


def test_two_workers_render_what_one_process_renders(fleet: FleetUnderTest, tmp_path: Path) -> None:
    fleet.start_worker("one")
    fleet.start_worker("two")
    job = fleet.submit(29.3, chunk_frames=20)
    video = fleet.finished(job)
    assert_same_video(video, reference(fleet, 29.3, 20, tmp_path))
    facts = read_facts(video)
    assert facts.video is not None and facts.audio is not None
    assert (facts.video.codec, facts.audio.codec, facts.video.pixel_format) == ("h264", "aac", "yuv420p")
    assert (float(facts.video.fps), facts.video.frames, facts.video.constant_rate) == (25.0, 733, True)
    assert facts.video.first_s == 0 and facts.faststart
    assert abs(facts.video.duration_s - facts.audio.duration_s) <= 1 / 25
    assert abs(facts.audio.duration_s - 29.3) <= 1 / 25
    done = [fleet.log(name).count('"verdict": "recorded"') for name in ("one", "two")]
    assert min(done) > 0, done
    assert_published_once(fleet, job)


def test_a_job_outlives_a_worker_that_is_killed(fleet: FleetUnderTest, tmp_path: Path) -> None:
    fleet.start_worker("doomed")
    job = fleet.submit(60.0, chunk_frames=100)
    wait_until(lambda: fleet.log("doomed").count("part_ended") > 0, 60, "a part by the one that will die")
    wait_until(lambda: fleet.holds_a_claim("doomed", job, 15), 30, "a claim of the one that will die")
    fleet.kill("doomed")
    heir = fleet.start_worker("heir")
    video = fleet.finished(job)
    assert heir.poll() is None
    assert_same_video(video, reference(fleet, 60.0, 100, tmp_path))
    assert_published_once(fleet, job)


def test_messages_that_come_twice_late_and_in_any_order_change_nothing(fleet: FleetUnderTest, tmp_path: Path) -> None:
    job = fleet.submit(4.0)
    ring = fleet.fleet.ring
    parts = ["assemble", *(str(chunk) for chunk in reversed(range(10))), "audio"]
    for part in parts * 3:
        ring(job, part)
    fleet.start_worker("one")
    fleet.start_worker("two")
    video = fleet.finished(job)
    before = video.stat()
    for part in parts:
        ring(job, part)
    wait_until(lambda: fleet.fleet.ledger.queue_depth() == 0, 60, "the late messages to be taken")
    other = fleet.submit(1.0)
    fleet.finished(other)  # all earlier messages were answered before this
    assert (video.stat().st_mtime_ns, video.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert_same_video(video, reference(fleet, 4.0, 10, tmp_path))
    segments = [info.key for info in fleet.fleet.store.list(keys.segments(job))]
    assert len(segments) == 10, segments


def test_hostile_messages_are_refused_and_the_worker_lives(fleet: FleetUnderTest) -> None:
    worker = fleet.start_worker("one")
    job = str(ULID())
    hostile: list[dict[str, object]] = [
        {"v": 1, "job": "../../etc/passwd", "chunk": 0},
        {"v": 1, "job": job, "chunk": -1},
        {"v": 1, "job": job, "chunk": 10**12},
        {"v": 1, "job": job, "chunk": "0; rm -rf /"},
        {"v": 2, "job": job, "chunk": 0},
        {"v": 1, "job": job, "chunk": 0, "store": "s3://elsewhere"},
        {"job": job},
        {},
        {"v": 1, "job": {"nested": [1] * 1000}, "chunk": 0},
    ]
    hold = fleet.fleet
    for payload in hostile:
        send(hold.app, hold.settings, RENDER_CHUNK, payload)
    hold.app.send_task(RENDER_CHUNK, args=[job, 0])
    hold.app.send_task("os.system", kwargs={"command": "true"})
    hold.app.send_task(RENDER_CHUNK, kwargs={"v": 1, "job": job, "chunk": 0})  # well-formed, but there is no such job
    hold.ledger._redis.lpush(f"{hold.settings.redis_prefix}{keys.QUEUE}", json.dumps({"body": "!", "headers": {}}))
    garbage = ["no JSON", "[]", "7", '"text"', "{}"]
    for item in garbage:
        hold.ledger._redis.lpush(f"{hold.settings.redis_prefix}{keys.QUEUE}", item)
    assert fleet.finished(fleet.submit(1.0))
    refused = len(hostile) + 1 + 1 + len(garbage)  # positional arguments; an envelope without properties
    wait_until(lambda: fleet.log("one").count("message_refused") == refused, 30, "every refusal in the log")
    assert '"verdict": "unknown"' in fleet.log("one")
    assert worker.poll() is None


def test_a_cancelled_job_stops_within_a_batch_and_the_worker_takes_the_next(fleet: FleetUnderTest) -> None:
    fleet.start_worker("one")
    job = fleet.submit(60.0, chunk_frames=1500, preset="veryslow")
    wait_until(lambda: fleet.status(job).frames_done > 0, 60, "the first frames")
    hold = fleet.fleet
    assert cancel_job(job, hold.ledger, hold.store) is JobState.CANCELLED
    wait_until(lambda: "claim_lost" in fleet.log("one"), 10, "the worker to notice")
    assert hold.ledger.holding(gethostname()) == []
    assert fleet.finished(fleet.submit(1.0))
    assert fleet.status(job).state is JobState.CANCELLED
    assert hold.store.size(keys.video(job)) is None and hold.store.size(keys.tombstone(job)) == 0
    assert not list(hold.store.list(keys.segments(job)))


def test_sigterm_finishes_the_chunk_and_ends_the_worker(fleet: FleetUnderTest) -> None:
    worker = fleet.start_worker("one")
    job = fleet.submit(20.0, chunk_frames=250)
    wait_until(lambda: fleet.status(job).frames_done > 0, 60, "the first frames")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    log = fleet.log("one")
    assert log.count("part_ended") >= 1 and "part_failed" not in log and "claim_lost" not in log
    assert all(state is not PartState.CLAIMED for state in _part_states(fleet, job, 2))


def test_sigquit_hands_the_chunk_back_at_once_and_counts_nothing(fleet: FleetUnderTest) -> None:
    worker = fleet.start_worker("one")
    job = fleet.submit(60.0, chunk_frames=1500)
    wait_until(lambda: fleet.status(job).frames_done > 0, 60, "the first frames")
    worker.send_signal(signal.SIGQUIT)
    assert worker.wait(30) == 0
    ledger = fleet.fleet.ledger
    assert ledger.part_state(job, "0") is not PartState.CLAIMED
    failures = f"{fleet.settings.redis_prefix}{keys.ledger_job(job)}:failures"
    assert not ledger._redis.exists(failures)
    fleet.start_worker("two")
    fleet.finished(job, timeout_s=60)


def _part_states(fleet: FleetUnderTest, job: str, chunks: int) -> list[PartState]:
    return [fleet.fleet.ledger.part_state(job, str(chunk)) for chunk in range(chunks)]


def test_a_worker_whose_canary_differs_exits_with_a_clear_message(fleet: FleetUnderTest, tiny_pack: Pack) -> None:
    import cv2

    store = fleet.fleet.store
    key = keys.canary(tiny_pack.digest)
    answer = cv2.imdecode(np.frombuffer(store.get(key), np.uint8), cv2.IMREAD_COLOR)
    assert answer is not None
    answer[100, 100] ^= 64
    store.put(key, cv2.imencode(".png", answer)[1].tobytes())
    with pytest.raises(RuntimeError, match=r"ended with 1[\s\S]*worker_refused_to_start") as caught:
        fleet.start_worker("wrong")
    assert "differs by 64 grey levels" in str(caught.value)
    assert fleet.fleet.ledger.queue_depth() == 0


def test_a_worker_that_is_told_to_use_a_missing_device_exits_with_a_clear_message(fleet: FleetUnderTest) -> None:
    with pytest.raises(RuntimeError, match="LIPSYNC_PROVIDERS=cuda was asked for"):
        fleet.start_worker("wrong", LIPSYNC_PROVIDERS="cuda")


def test_an_avatar_that_vanished_fails_the_job_clearly_and_retry_finishes_it(
    fleet: FleetUnderTest, tiny_pack: Pack, tmp_path: Path
) -> None:
    store = fleet.fleet.store
    key = f"{keys.avatar_pack(tiny_pack.digest)}generator.onnx"
    good = store.get(key)
    job = fleet.submit(2.0)
    store.put(key, good[:-1] + bytes([good[-1] ^ 1]))
    fleet.start_worker("one", LIPSYNC_AVATARS="", LIPSYNC_CACHE=str(tmp_path / "another cache"))
    status = fleet.wait_for(job, JobState.FAILED)
    assert status.error is not None and "generator.onnx" in status.error and status.chunks_failed >= 1
    store.put(key, good)
    assert retry_job(job, fleet.fleet.ledger, store) is JobState.QUEUED
    fleet.fleet.dispatch([job])
    assert fleet.finished(job)


def test_a_job_whose_ledger_was_lost_goes_on_with_its_finished_segments(fleet: FleetUnderTest, tmp_path: Path) -> None:
    worker = fleet.start_worker("one")
    job = fleet.submit(60.0, chunk_frames=100)
    wait_until(lambda: fleet.status(job).chunks_done >= 3, 60, "three chunks")
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    hold = fleet.fleet
    hold.ledger._redis.flushall()
    status = fleet.status(job)
    assert status.state is JobState.FAILED and "retry" in str(status.error)
    before = {info.key for info in hold.store.list(keys.segments(job))}
    assert len(before) >= 3
    assert retry_job(job, hold.ledger, hold.store) is JobState.QUEUED
    assert fleet.status(job).chunks_done == len(before)
    fleet.start_worker("two")
    assert_same_video(fleet.finished(job), reference(fleet, 60.0, 100, tmp_path))
    assert len(list(hold.store.list(keys.segments(job)))) == 15


def test_a_cancelled_job_is_not_revived_by_the_loss_of_the_ledger(fleet: FleetUnderTest) -> None:
    job = fleet.submit(1.0)
    hold = fleet.fleet
    cancel_job(job, hold.ledger, hold.store)
    hold.ledger._redis.flushall()
    assert fleet.status(job).state is JobState.CANCELLED


def test_a_paused_job_waits_and_goes_on(fleet: FleetUnderTest) -> None:
    job = fleet.submit(2.0)
    hold = fleet.fleet
    move_job(job, JobState.PAUSED, hold.ledger, hold.store)
    fleet.start_worker("one")
    fleet.finished(fleet.submit(1.0))
    assert fleet.status(job).state is JobState.PAUSED and fleet.status(job).chunks_done == 0
    move_job(job, JobState.QUEUED, hold.ledger, hold.store)
    fleet.fleet.dispatch([job])
    assert fleet.finished(job)


def test_messages_that_redis_lost_are_rung_again(fleet: FleetUnderTest) -> None:
    job = fleet.submit(2.0)
    hold = fleet.fleet
    assert hold.ledger.queue_depth() > 0
    hold.ledger._redis.delete(f"{hold.settings.redis_prefix}{keys.QUEUE}")
    fleet.start_worker("one")
    assert fleet.finished(job)


def test_a_short_job_does_not_wait_behind_a_long_one(fleet: FleetUnderTest) -> None:
    fleet.start_worker("one")
    long = fleet.submit(300.0, chunk_frames=50)
    wait_until(lambda: fleet.status(long).chunks_done > 0, 60, "the long job to be under way")
    short = fleet.submit(2.0, chunk_frames=50)
    fleet.finished(short)
    status = fleet.status(long)
    assert status.state is JobState.RUNNING and status.chunks_done < status.chunks_total / 2
    cancel_job(long, fleet.fleet.ledger, fleet.fleet.store)


def test_a_part_that_always_fails_is_quarantined_with_its_reason(fleet: FleetUnderTest) -> None:
    job = fleet.submit(1.0, max_attempts=2)
    store = fleet.fleet.store
    store.put(keys.job_audio(job), b"\0" * 100)  # far too short
    fleet.start_worker("one")
    status = fleet.wait_for(job, JobState.FAILED)
    assert "audio.f32" in str(status.error)
    assert fleet.log("one").count("part_failed") >= 2
