"""`lipsync exporter` as Prometheus meets it: a process of its own, on a real Redis that comes and goes."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from redis.connection import AbstractConnection
from ulid import ULID

from infra.settings import Settings
from jobs import tallies
from jobs.exporter import FleetCollector, FleetReader
from jobs.exporter_metrics import VERDICTS
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.ledger import JobTicket
from jobs.ledger_redis import RedisLedger
from jobs.ledger_views import JOBS_SHOWN
from tests.fleet.conftest import environment_of
from tests.servers import RedisServer, free_port, process, redis_server, wait_until
from tests.watching.conftest import exporter, fetch
from tests.watching.test_rules import promtool

PASSWORD = "very-secret"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(port=free_port(), password=PASSWORD) as running:
        yield running


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, redis_url=server.url)


@pytest.fixture
def ledger(settings: Settings) -> RedisLedger:
    return RedisLedger(settings)


@pytest.fixture
def url(settings: Settings, tmp_path: Path) -> Iterator[str]:
    with exporter(environment_of(settings), tmp_path / "exporter.log") as address:
        yield address


def samples(url: str) -> Samples:
    page = fetch(f"{url}/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in read_text(page)
        for sample in family.samples
    }


def one(found: Samples, name: str, **labels: str) -> float:
    return found[f"lipsync_{name}", frozenset(labels.items())]


def open_job(ledger: RedisLedger, chunks: int = 4) -> str:
    job = str(ULID())
    return ledger.open(JobTicket(job, chunks, chunks * 25, 3, "0" * 64, "tester"))


def facts(worker: str, **more: Any) -> str:
    return write_facts(WorkerFacts(worker, worker.partition("@")[2], **more))


def test_what_the_ledger_knows_is_on_the_page(url: str, ledger: RedisLedger) -> None:
    job = open_job(ledger)
    ledger.offer(job, 3, 30)
    gpu = {"device_memory_bytes": 3_000_000_000, "device_memory_total_bytes": 8_000_000_000, "device_use": 0.75}
    told = facts(
        "gpu0@a",
        device=0,
        version="0.1.0+x",
        release="0123456789abcdef",
        provider="cuda",
        device_name="A card",
        started_s=1.7e9,
        pace_fps=120.5,
        memory_bytes=2_000_000_000,
        cache_free_bytes=90_000_000_000,
        **gpu,
    )
    ledger.worker_seen("gpu0@a", told)
    ledger.worker_seen("cpu0@b", facts("cpu0@b"))
    ledger.drain("b")
    assert ledger.claim(job, "0", "gpu0@a").granted
    found = samples(url)
    assert one(found, "redis_up") == 1
    assert one(found, "parts", state="waiting") == 5 and one(found, "parts", state="in_flight") == 1
    assert 0 < one(found, "oldest_waiting_seconds") < 60
    assert one(found, "frames_left") == 100
    assert one(found, "jobs", state="running") == 1 and one(found, "jobs", state="done") == 0
    assert one(found, "job_chunks", job_id=job) == 4 and one(found, "job_chunks_done", job_id=job) == 0
    assert one(found, "job_parts", job_id=job, state="waiting") == 5
    assert one(found, "job_frames", job_id=job) == 100 and one(found, "job_frames_done", job_id=job) == 0
    assert one(found, "job_state", job_id=job, state="running") == 1
    assert abs(one(found, "job_created_timestamp_seconds", job_id=job) - time.time()) < 60
    assert abs(one(found, "job_progress_timestamp_seconds", job_id=job) - time.time()) < 60
    assert one(found, "workers", state="busy") == 1 and one(found, "workers", state="drained") == 1
    labels = {"version": "0.1.0+x", "release": "0123456789abcdef", "provider": "cuda", "device_name": "A card"}
    assert one(found, "worker_info", worker="gpu0@a", host="a", device="0", **labels) == 1
    assert one(found, "worker_up", worker="gpu0@a", host="a") == 1
    assert one(found, "worker_started_timestamp_seconds", worker="gpu0@a") == 1.7e9
    assert one(found, "worker_pace_frames_per_second", worker="gpu0@a") == 120.5
    assert one(found, "worker_memory_bytes", worker="gpu0@a") == 2e9
    assert one(found, "cache_free_bytes", worker="gpu0@a") == 9e10
    assert one(found, "device_memory_bytes", worker="gpu0@a") == 3e9
    assert one(found, "device_memory_total_bytes", worker="gpu0@a") == 8e9
    assert one(found, "device_use_ratio", worker="gpu0@a") == 0.75
    assert ("lipsync_device_use_ratio", frozenset({("worker", "cpu0@b")})) not in found
    assert one(found, "host_drained", host="a") == 0 and one(found, "host_drained", host="b") == 1
    assert one(found, "attempts_total") == 1 and one(found, "jobs_submitted_total") == 1
    assert abs(one(found, "redis_clock_offset_seconds")) < 5
    assert one(found, "workers_desired") >= 1


def test_a_worker_that_vanished_is_lost_and_says_nothing_more(
    url: str, ledger: RedisLedger, settings: Settings
) -> None:
    ledger.worker_seen("gpu0@a", facts("gpu0@a", memory_bytes=1))
    ledger._redis.zincrby(f"{settings.redis_prefix}ledger:seen", -100, "gpu0@a")  # a hundred seconds ago
    found = samples(url)
    assert one(found, "workers", state="lost") == 1
    assert one(found, "worker_up", worker="gpu0@a", host="a") == 0
    assert not [name for name, _ in found if name in {"lipsync_worker_info", "lipsync_worker_memory_bytes"}]


def test_counters_begin_at_zero_and_buckets_are_cumulated(url: str, ledger: RedisLedger) -> None:
    ledger.worker_seen("gpu0@a", facts("gpu0@a"))
    before = samples(url)
    for verdict in VERDICTS:
        assert one(before, "parts_ended_total", verdict=verdict) == 0
    for name in ("quarantines_total", "claims_expired_total", "claims_lost_total", "cold_start_seconds_count"):
        assert one(before, name) == 0
    assert one(before, "store_errors_total", worker="gpu0@a") == 0
    assert one(before, "worker_starts_total", host="a") == 0
    for seconds in (0.04, 1.2, 1.3, 500.0):
        ledger.tally(tallies.observation(tallies.STAGE_S, seconds, "whole"))
    ledger.tally({tallies.field(tallies.PARTS_ENDED, "recorded"): 4, "frames_rendered|gpu0@a": 100})
    after = samples(url)
    counted = {
        bound: one(after, "chunk_stage_seconds_bucket", stage="whole", le=bound) for bound in ("0.05", "2.5", "280.0")
    }
    assert counted == {"0.05": 1, "2.5": 3, "280.0": 3}
    assert one(after, "chunk_stage_seconds_bucket", stage="whole", le="+Inf") == 4
    assert one(after, "chunk_stage_seconds_count", stage="whole") == 4
    assert one(after, "chunk_stage_seconds_sum", stage="whole") == pytest.approx(502.54)
    assert one(after, "parts_ended_total", verdict="recorded") == 4
    assert one(after, "frames_rendered_total", worker="gpu0@a") == 100


def test_what_was_counted_of_workers_that_nobody_knows_any_more_is_left_out(url: str, ledger: RedisLedger) -> None:
    ledger.tally({f"frames_rendered|gpu0-{number}@old": 1 for number in range(500)})
    assert not [labels for name, labels in samples(url) if name == "lipsync_frames_rendered_total"]


def test_the_page_is_free_of_what_promtool_finds_and_of_secrets(url: str, ledger: RedisLedger, tmp_path: Path) -> None:
    open_job(ledger)
    ledger.worker_seen("gpu0@a", facts("gpu0@a", memory_bytes=1))
    page = fetch(f"{url}/metrics")
    done = promtool("check", "metrics", given=page)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (page, (tmp_path / "exporter.log").read_text()):
        assert PASSWORD not in text
    assert "tester" not in page  # who submits is nobody's business here
    for family in read_text(page):
        assert len(family.documentation) > 10


def test_the_page_is_openmetrics_for_those_who_ask(url: str, ledger: RedisLedger) -> None:
    ledger.worker_seen("gpu0@a", facts("gpu0@a"))
    ask = Request(f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with build_opener(ProxyHandler({})).open(ask, timeout=10) as answer:
        read: Any = openmetrics.text_string_to_metric_families
        families = {family.name: family.type for family in read(answer.read().decode())}
    assert families["lipsync_attempts"] == "counter" and families["lipsync_worker"] == "info"


def test_a_redis_that_goes_away_and_comes_back(
    server: RedisServer, url: str, ledger: RedisLedger, settings: Settings, tmp_path: Path
) -> None:
    assert one(samples(url), "redis_up") == 1
    server.process.terminate()
    server.process.wait()
    assert samples(url) == {("lipsync_redis_up", frozenset()): 0}
    assert fetch(f"{url}/healthz") == "ok\n"
    with redis_server(port=server.port, password=PASSWORD):
        assert one(samples(url), "redis_up") == 1
    log = (tmp_path / "exporter.log").read_text()
    assert (log.count("redis_away"), log.count("redis_back"), log.count("Traceback")) == (1, 1, 0)


def test_a_redis_that_refuses_the_password_is_away(tmp_path: Path) -> None:
    with redis_server(port=free_port(), password="another") as other:
        wrong = Settings(home=tmp_path, redis_url=other.url.replace("another", PASSWORD))
        with exporter(environment_of(wrong), tmp_path / "refused.log") as page:
            assert samples(page) == {("lipsync_redis_up", frozenset()): 0}
    log = (tmp_path / "refused.log").read_text()
    assert "LIPSYNC_REDIS_URL" in log and PASSWORD not in log


def test_nobody_waits_long_for_a_redis_that_hangs_and_one_question_is_asked_for_all(
    server: RedisServer, url: str
) -> None:
    samples(url)
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            pages = list(pool.map(samples, [url] * 20))
        assert time.monotonic() - began < 9  # the limit is 5 s; Prometheus waits for 10
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert all(page == {("lipsync_redis_up", frozenset()): 0} for page in pages)
    wait_until(lambda: one(samples(url), "redis_up") == 1, 20, "Redis to be read again")


def test_a_scrape_costs_as_many_round_trips_for_a_thousand_jobs_as_for_one(
    settings: Settings, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0
    real: Any = AbstractConnection.send_packed_command

    def counting(self: AbstractConnection, *args: Any, **more: Any) -> Any:
        nonlocal sent
        sent += 1
        return real(self, *args, **more)

    collector = FleetCollector(FleetReader(settings))
    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)

    def cost() -> tuple[int, int, int]:
        """Round trips of a scrape, series of jobs and those of all else."""
        nonlocal sent
        list(collector.collect())  # connects, and loads the script
        sent = 0
        found = [sample for family in collector.collect() for sample in family.samples]
        of_jobs = sum("job_id" in sample.labels for sample in found)
        return sent, of_jobs, len(found) - of_jobs

    for number in range(100):
        ledger.worker_seen(f"gpu{number % 8}@host{number // 8}", facts(f"gpu{number % 8}@host{number // 8}"))
    open_job(ledger)
    few = cost()
    for _ in range(999):
        open_job(ledger)
    many = cost()
    assert many[0] == few[0] <= 3
    assert many[1] == few[1] * JOBS_SHOWN and many[2] == few[2]
    left_out = [sample for family in collector.collect() for sample in family.samples if "left_out" in sample.name]
    assert left_out[0].value == 1000 - JOBS_SHOWN


def test_pages_that_do_not_exist_and_calls_that_make_no_sense(url: str, settings: Settings) -> None:
    with pytest.raises(HTTPError, match="404"):
        fetch(f"{url}/")
    command = [sys.executable, "-m", "jobs.cli", "exporter", "--port", url.rpartition(":")[2]]
    done = subprocess.run(
        command, env=environment_of(settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and "choose another --address or --port" in done.stderr


def test_a_client_that_says_nothing_keeps_nobody_waiting(url: str) -> None:

    host, port = re.findall(r"//(.*):(\d+)", url)[0]
    with socket.create_connection((host, int(port))):
        assert one(samples(url), "redis_up") == 1


def test_an_exporter_that_is_told_to_stop_ends_with_0(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "exporter", "--port", "0"]
    log = tmp_path / "stop.log"
    with process(command, log, lambda: "exporter_listens" in log.read_text(), environment_of(settings)) as child:
        child.terminate()
        assert child.wait(20) == 0
