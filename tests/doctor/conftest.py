"""A host for the doctor: its settings in the environment, its folders new."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer, S3Server, free_port, moto_server, redis_server, swift_server

ADMIN_PASSWORD = "of-the-administrator"
PASSWORD = "of-the-fleet"
DURABLE = {"appendonly": "yes", "maxmemory-policy": "noeviction"}


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis as the documentation wants it, on a port of loopback."""
    with redis_server(port=free_port(), password=ADMIN_PASSWORD, options=DURABLE) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with swift_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: RedisServer) -> Path:
    """The environment of a host that is fit; gives the folder with all that is its own."""
    monkeypatch.setenv("LIPSYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIPSYNC_CACHE_DISK_MB", "500")
    monkeypatch.setenv("LIPSYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIPSYNC_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("LIPSYNC_REDIS_URL", redis.url)
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")
    monkeypatch.delenv("LIPSYNC_TEST_SWIFT", raising=False)
    return tmp_path
