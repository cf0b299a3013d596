"""Flower in a real browser: workers, the queue's true length, a password, and a memory that outlives it."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from selenium.webdriver.common.by import By

from infra.settings import Settings
from jobs.fleet import Fleet
from jobs.submit import new_job_id
from tests.fleet.conftest import FleetUnderTest, environment_of, new_fleet
from tests.servers import RedisServer, free_port, missing, redis_server, wait_until
from tests.watching.browser import chromium
from tests.watching.flower import FlowerServer, flower
from workers.avatar.pack import Pack


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(port=free_port(), password="of-redis") as running:
        yield running


@pytest.fixture
def fleet(server: RedisServer, tmp_path: Path, tiny_pack: Pack, cache: Path) -> Iterator[FleetUnderTest]:
    with ExitStack() as stack:
        made = new_fleet(tmp_path, server.url, tiny_pack, cache, stack)
        settings = made.settings.model_copy(update={"redis_prefix": "a:fleet:"})
        yield FleetUnderTest(settings, environment_of(settings), made.logs, stack)


def messages(watcher: FlowerServer) -> dict[str, int]:
    queues = json.loads(watcher.page("/api/queues/length"))["active_queues"]
    return {queue["name"]: queue["messages"] for queue in queues}


def test_a_browser_sees_workers_and_how_much_waits(fleet: FleetUnderTest, tmp_path: Path) -> None:
    with flower(fleet.environment, tmp_path / "flower.log") as watcher:
        for name in ("first", "second"):
            fleet.start_worker(name)
        fleet.finished(fleet.submit(2.0))
        for worker in fleet.workers.values():
            worker.send_signal(signal.SIGSTOP)  # so that what waits stays
        fleet.submit(60.0)
        waiting = fleet.fleet.ledger.queue_depth()
        assert waiting > 1
        with chromium(tmp_path / "profile") as browser:
            browser.get(watcher.url("/workers"))
            nodes = {f"{name}@{socket.gethostname()}" for name in fleet.workers}
            wait_until(lambda: all(node in browser.page_source for node in nodes), 30, "the workers' names")
            rows = browser.find_elements(By.CSS_SELECTOR, "#workers-table tbody tr")
            assert len(rows) == 2
            browser.get(watcher.url("/broker"))
            (row,) = browser.find_elements(By.CSS_SELECTOR, "#queue-table tbody tr")
            queue, length, *_ = row.find_elements(By.TAG_NAME, "td")
            assert (queue.text, length.text) == ("render", str(waiting))
            assert "of-redis" not in browser.page_source
            browser.get(watcher.url("/tasks"))
            wait_until(lambda: "lipsync.render_chunk" in browser.page_source, 30, "the tasks")
            told: Any = browser.get_log
            assert [entry for entry in told("browser") if entry["level"] == "SEVERE"] == []
        for name in list(fleet.workers):
            fleet.kill(name)


@pytest.mark.parametrize("path", ["/workers", "/broker", "/tasks", "/api/tasks", "/api/workers", "/api/queues/length"])
def test_without_the_password_there_is_nothing_to_see(path: str, watcher: FlowerServer) -> None:
    for login in (None, "operator:wrong"):
        with pytest.raises(HTTPError, match="401"):
            watcher.page(path, login)
    watcher.page(path)


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowerServer]:
    """A Flower on an empty fleet."""
    folder = tmp_path_factory.mktemp("flower")
    with redis_server() as server:
        settings = Settings(home=folder, redis_url=server.url)
        with flower(environment_of(settings), folder / "flower.log") as running:
            yield running


def test_it_listens_on_loopback_alone_and_only_watches(watcher: FlowerServer) -> None:
    if shutil.which("ss") is None:
        missing("there is no ss to ask who listens; Debian's package iproute2 has it")
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{watcher.port}"], capture_output=True, text=True, check=True)
    assert [line.split()[3] for line in listening.stdout.splitlines()] == [f"127.0.0.1:{watcher.port}"]
    with pytest.raises(HTTPError, match="403"):
        watcher.page("/api/worker/shutdown/first@here", data=b"")


def test_it_is_not_shown_to_a_network_without_a_password(tmp_path: Path) -> None:
    environment = environment_of(Settings(home=tmp_path))
    command = [sys.executable, "-m", "infra.flower_app", "--address", "0.0.0.0", "--port", str(free_port())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "FLOWER_BASIC_AUTH" in done.stderr and done.stderr.count("\n") == 1


def test_what_it_knows_outlives_it_and_is_nobody_else_s(fleet: FleetUnderTest, tmp_path: Path) -> None:
    kept = tmp_path / "state" / "flower"
    kept.parent.mkdir()

    def done(watcher: FlowerServer) -> set[str]:
        tasks = json.loads(watcher.page("/api/tasks"))
        return {uuid for uuid, task in tasks.items() if task["state"] == "SUCCESS"}

    with flower(fleet.environment, tmp_path / "flower.log", "--db", str(kept)) as watcher:
        fleet.start_worker("first")
        fleet.finished(fleet.submit(1.0))
        wait_until(lambda: len(done(watcher)) >= 5, 30, "five tasks: three chunks, the sound, the assembly")
        before = done(watcher)
    fleet.kill("first")
    files = list(kept.parent.iterdir())
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)
    with flower(fleet.environment, tmp_path / "flower.log", "--db", str(kept)) as watcher:
        assert done(watcher) >= before
        assert f"first@{socket.gethostname()}" in watcher.page("/workers")
    assert "Traceback" not in (tmp_path / "flower.log").read_text()


def test_over_tls_with_an_authority_of_one_s_own_the_length_is_right_as_well(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("there is no openssl to make certificates with")
    key, certificate, port = tmp_path / "own.key", tmp_path / "own.pem", free_port()
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    making += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(making, check=True, capture_output=True)
    files = {"tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": certificate}
    options = {name: str(path) for name, path in files.items()}
    with redis_server(options={"tls-port": str(port), "tls-auth-clients": "no"} | options):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        settings = Settings(home=tmp_path, redis_url=url)
        for part in ("0", "1", "2"):
            Fleet(settings).ring(new_job_id(), part)
        with flower(environment_of(settings), tmp_path / "flower.log") as watcher:
            assert messages(watcher) == {"render": 3}
            found = re.search(r'id="render">.*?</tr>', watcher.page("/broker"), re.DOTALL)
            assert found and ">3<" in re.sub(r"\s", "", found[0])
