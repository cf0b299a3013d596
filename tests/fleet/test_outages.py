"""A fleet whose servers go away and come back."""

import signal
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.settings import Settings
from jobs import keys
from jobs.fleet import Fleet
from jobs.states import JobState
from tests.fleet.conftest import AVATAR, FleetUnderTest, environment_of, new_fleet
from tests.servers import Forwarder, free_port, moto_server, redis_server, wait_until
from workers.avatar.pack import Pack
from workers.avatar.publishing import publish_proved


def test_a_job_outlives_a_restart_of_redis(tmp_path: Path, tiny_pack: Pack, cache: Path) -> None:
    port, data = free_port(), tmp_path / "redis"
    data.mkdir()
    persistent = {"appendonly": "yes", "appendfsync": "always"}
    with ExitStack() as stack:
        with redis_server(data, port=port, password="s3cret", options=persistent) as first:
            fleet = new_fleet(tmp_path, first.url, tiny_pack, cache, stack)
            fleet.start_worker("one")
            job = fleet.submit(30.0, chunk_frames=50)
            wait_until(lambda: fleet.status(job).chunks_done >= 2, 60, "two chunks")
        with redis_server(data, port=port, password="s3cret", options=persistent):
            if fleet.workers["one"].poll() is not None:  # a supervisor would start it again
                fleet.start_worker("heir")
            fleet.finished(job)
        assert "s3cret" not in fleet.log("one")


def test_a_job_outlives_a_store_that_is_away_for_a_while(tmp_path: Path, tiny_pack: Pack, cache: Path) -> None:
    (tmp_path / "s3").mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        s3 = stack.enter_context(moto_server(tmp_path / "s3"))
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        s3.use(monkeypatch)
        wire = Forwarder(urlsplit(s3.endpoint).port or 0)
        stack.callback(wire.down)
        endpoint = f"http://127.0.0.1:{wire.port}"
        settings = s3.settings(s3.make_bucket(), redis_url=redis.url, cache=cache, avatars=(AVATAR,))
        fleet = _on_s3(settings.model_copy(update={"s3_endpoint": endpoint}), tmp_path, stack)
        _publish(fleet, tiny_pack)
        fleet.start_worker("one")
        job = fleet.submit(60.0, chunk_frames=50)
        wait_until(lambda: _done(fleet, job) >= 2, 60, "two parts")
        wire.down()
        wait_until(lambda: "part_failed" in fleet.log("one"), 60, "the worker to notice")
        assert _state(fleet, job) is JobState.RUNNING
        wire.up()
        status = fleet.wait_for(job, JobState.DONE)
        assert status.output is not None and status.output.startswith("s3://")
        out = tmp_path / "fetched.mp4"
        fleet.cli("fetch", job, "--out", str(out))
        assert out.stat().st_size == fleet.fleet.store.size(keys.video(job))


def test_a_bucket_that_vanished_fails_the_job_with_its_name(tmp_path: Path, tiny_pack: Pack, cache: Path) -> None:
    (tmp_path / "s3").mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        s3 = stack.enter_context(moto_server(tmp_path / "s3"))
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        s3.use(monkeypatch)
        bucket = s3.make_bucket()
        fleet = _on_s3(s3.settings(bucket, redis_url=redis.url, cache=cache, avatars=(AVATAR,)), tmp_path, stack)
        _publish(fleet, tiny_pack)
        worker = fleet.start_worker("one")
        worker.send_signal(signal.SIGSTOP)
        job = fleet.submit(5.0)
        client = s3.client()
        for listed in client.list_objects_v2(Bucket=bucket)["Contents"]:
            client.delete_object(Bucket=bucket, Key=listed["Key"])
        client.delete_bucket(Bucket=bucket)
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda: _state(fleet, job) is JobState.FAILED, 60, "the job to fail")
        view = fleet.fleet.ledger.view(job)
        assert view is not None and bucket in str(view.error)
        assert worker.poll() is None


def _done(fleet: FleetUnderTest, job: str) -> int:
    return len(fleet.fleet.ledger.records(job))


def _state(fleet: FleetUnderTest, job: str) -> JobState | None:
    view = fleet.fleet.ledger.view(job)
    return view.state if view else None


def _on_s3(settings: Settings, folder: Path, stack: ExitStack) -> FleetUnderTest:
    logs = folder / "logs"
    logs.mkdir()
    settings = settings.model_copy(update={"providers": "cpu", "threads": 1})
    extra = {"LIPSYNC_S3_ENDPOINT": str(settings.s3_endpoint)}
    return FleetUnderTest(settings, environment_of(settings) | extra, logs, stack)


def _publish(fleet: FleetUnderTest, pack: Pack) -> None:
    store = Fleet(fleet.settings).store
    publish_proved(pack, AVATAR, store, fleet.settings)
