"""Flower as a process of its own, behind a password."""

import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from tests.servers import free_port, process

USER, PASSWORD = "operator", "secret"


@dataclass(frozen=True)
class FlowerServer:
    """Where it listens."""

    port: int

    def page(self, path: str, login: str | None = f"{USER}:{PASSWORD}", data: bytes | None = None) -> str:
        """A page, as that user sees it; without a login with None. With `data` it is a POST."""
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
            return str(answer.read().decode())

    def shows(self, path: str, text: str) -> bool:
        """Whether a page can be had and holds a text."""
        try:
            return text in self.page(path)
        except OSError:
            return False

    def url(self, path: str) -> str:
        """An address for a browser."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}{path}"


@contextmanager
def flower(environment: dict[str, str], log: Path, *arguments: str) -> Iterator[FlowerServer]:
    """Run Flower until the block ends."""
    server = FlowerServer(free_port())
    command = [sys.executable, "-m", "infra.flower_app", "--port", str(server.port), *arguments]
    guarded = environment | {"FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}"}
    with process(command, log, lambda: server.shows("/healthcheck", "OK"), guarded):
        yield server
