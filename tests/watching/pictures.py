"""The pictures of Flower that the documentation shows: `python -m tests.watching.pictures`, as root on Linux.

A real fleet renders the demo avatar meanwhile. Its workers have host names of their own (`unshare --uts`), so that the
pictures do not show the name of the machine that they were taken on.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from infra.settings import Settings
from jobs.avatars import read_spec, resolve
from jobs.fleet import Fleet
from jobs.submit import JobRequest, open_job, prepare_job
from tests.fleet.conftest import environment_of
from tests.media_files import chirp, write_audio
from tests.servers import process, redis_server, wait_until
from tests.watching.browser import chromium
from tests.watching.flower import FlowerServer, flower
from workers.avatar.demo import publish_demo

DOCS = Path(__file__).parents[2] / "docs"
HOSTS, DEVICES = ("render-1", "render-2", "render-3"), 2
PAGES = {"workers": (1180, 900), "broker": (1180, 440)}
"""Flower's pages, and the size of the window in pixels."""
MOST_BYTES = 150_000


def main() -> None:
    """Start a fleet, give it work, take the pictures."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        server = stack.enter_context(redis_server(port=6379))
        settings = Settings(
            home=home, redis_url=server.url, store=(home / "store").as_uri(), providers="cpu", threads=1
        )
        environment = environment_of(settings)
        publish_demo(Fleet(settings).store)
        watcher = stack.enter_context(flower(environment, home / "flower.log"))
        for host in HOSTS:
            for device in range(DEVICES):
                stack.enter_context(_worker(host, device, home, environment))
        _submit(Fleet(settings), home, seconds=120.0, count=3)
        wait_until(lambda: watcher.page("/api/tasks").count("SUCCESS") >= 30, 300, "some chunks to be done")
        _take(watcher, home)


def _worker(host: str, device: int, home: Path, environment: dict[str, str]) -> AbstractContextManager[object]:
    log = home / f"{host}-{device}.log"
    worker = f"exec {sys.executable} -m jobs.cli worker --name cpu{device}"
    command = ["unshare", "--uts", "sh", "-c", f"hostname {host} && {worker}"]
    return process(command, log, lambda: "worker_ready" in log.read_text(), environment)


def _submit(fleet: Fleet, home: Path, seconds: float, count: int) -> None:
    digest = resolve("demo", fleet.store)
    for number in range(count):
        audio = write_audio(home / f"{number}.wav", chirp(seconds, 16_000), 16_000)
        request = JobRequest(audio=audio, chunk_frames=50, owner="studio")
        manifest = prepare_job(request, digest, read_spec(fleet.store, digest), fleet.store)
        open_job(manifest, fleet.ledger, fleet.store)
    fleet.dispatch()


def _take(watcher: FlowerServer, home: Path) -> None:
    with chromium(home / "profile") as browser:
        for page, size in PAGES.items():
            browser.set_window_size(*size)
            browser.get(watcher.url(f"/{page}"))
            wait_until(lambda: HOSTS[0] in browser.page_source or "render" in browser.page_source, 30, page)
            picture = DOCS / f"flower-{page}.png"
            browser.save_screenshot(str(picture))
            if shutil.which("convert"):  # ImageMagick: fewer colours, a third of the bytes
                subprocess.run(
                    ["convert", picture, "-strip", "+dither", "-colors", "64", f"PNG8:{picture}"], check=True
                )
            if picture.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{picture} has {picture.stat().st_size} bytes, more than {MOST_BYTES}.")


if __name__ == "__main__":
    main()
