"""A real fleet that is watched: its exporter and a Prometheus with the project's own rules, in a hurry."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import pytest
import yaml

from jobs import keys
from jobs.avatars import read_spec, resolve
from jobs.states import JobState
from jobs.submit import JobRequest, open_job, prepare_job
from tests.fleet.conftest import AVATAR, FleetUnderTest, cache, new_fleet, tiny_pack
from tests.media_files import chirp, write_audio
from tests.servers import free_port, missing, process, redis_server, wait_until
from workers.avatar.pack import Pack

__all__ = ["cache", "tiny_pack"]

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
JOB = "lipsync"


def fetch(url: str, timeout_s: float = 10.0) -> str:
    with build_opener(ProxyHandler({})).open(url, timeout=timeout_s) as answer:
        return str(answer.read().decode())


def answers(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True


@contextmanager
def exporter(environment: dict[str, str], log: Path) -> Iterator[str]:
    """`lipsync exporter`, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jobs.cli", "exporter", "--port", str(port)]
    with process(command, log, lambda: answers(f"{url}/healthz"), environment):
        yield url


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
        document = json.loads(fetch(f"{self.url}/api/v1/{path}?{query}"))
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expr: str, at: str | None = None) -> list[dict[str, Any]]:
        """The series that an expression gives now, or at another moment (RFC 3339, or seconds since the epoch)."""
        data = self.ask("query", query=expr, **({"time": at} if at else {}))
        assert data["resultType"] in {"vector", "scalar"}
        found: list[dict[str, Any]] = data["result"]
        return found


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Prometheus with the project's own configuration and rules, only faster, on an exporter of ours."""
    if shutil.which("prometheus") is None:
        missing("prometheus is not installed; Debian's package of that name has it")
    shutil.copytree(MONITORING / "rules", folder / "rules")
    document = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document.pop("alerting")
    document["scrape_configs"][0]["static_configs"][0]["targets"] = [target.removeprefix("http://")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=warn",
    ]
    with process(command, folder / "prometheus.log", lambda: answers(f"{url}/-/ready")):
        yield Prometheus(url)


@dataclass
class WatchedFleet:
    """A fleet with jobs in several states, and those who watch it."""

    fleet: FleetUnderTest
    exporter: str
    prometheus: Prometheus
    running: str
    """The job that is under way."""
    failed: str
    """The job that a part in quarantine failed."""


def submit_poison(fleet: FleetUnderTest) -> str:
    """Submit a job whose sound is gone before anybody has heard it."""
    hold = fleet.fleet
    audio = write_audio(fleet.logs / "poison.wav", chirp(1.0, 16_000), 16_000)
    digest = resolve(AVATAR, hold.store)
    request = JobRequest(audio=audio, chunk_frames=10, owner="tester", max_attempts=1)
    manifest = prepare_job(request, digest, read_spec(hold.store, digest), hold.store)
    hold.store.delete(keys.job_audio(manifest.job))
    job = open_job(manifest, hold.ledger, hold.store)
    hold.dispatch([job])
    return job


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_pack: Pack, cache: Path) -> Iterator[WatchedFleet]:
    """A fleet of two workers with a job that is done, one that failed, one that is paused, and a long one under way."""
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        fleet = new_fleet(folder, server.url, tiny_pack, cache, stack)
        page = stack.enter_context(exporter(fleet.environment, folder / "exporter.log"))
        watcher = stack.enter_context(prometheus(folder, page))
        wait_until(lambda: watcher.query("lipsync_quarantines_total == 0"), 30, "the first scrape")
        for name in ("first", "second"):
            fleet.start_worker(name)
        fleet.finished(fleet.submit(2.0))
        failed = submit_poison(fleet)
        fleet.wait_for(failed, JobState.FAILED)
        paused = fleet.submit(600.0, chunk_frames=100)
        fleet.cli("pause", paused)
        running = fleet.submit(1800.0, chunk_frames=100)
        rendered = f'deriv(lipsync_job_frames_done{{job_id="{running}"}}[2m]) > 0'
        wait_until(lambda: watcher.query(rendered), 60, "the long job to be under way")
        wait_until(lambda: watcher.query("fleet:lipsync_frames_rendered:rate5m > 0"), 60, "the rules to be evaluated")
        yield WatchedFleet(fleet, page, watcher, running, failed)
        for name in fleet.workers:  # they would finish what they hold
            fleet.kill(name)
