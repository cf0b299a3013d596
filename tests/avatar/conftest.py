"""Small networks, packs and stores."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs.ledger_memory import MemoryLedger
from tests.avatar_sources import HEIGHT, WIDTH, make_networks
from tests.servers import free_port, redis_server
from workers.avatar.pack import Pack
from workers.avatar.synthetic import make_synthetic


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generator and audio encoder, ONNX files that belong to no avatar yet."""
    return make_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        store=(tmp_path / "store").as_uri(),
        cache=tmp_path / "cache",
        providers="cpu",
        threads=1,
    )


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return open_store(settings)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """A synthetic avatar of three small frames."""
    (tmp_path / "synthetic").mkdir()
    return make_synthetic(tmp_path / "synthetic", frames=3, width=WIDTH, height=HEIGHT, small=True)


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read the settings that the tests have, and no Redis answers."""
    for name in [name for name in os.environ if name.startswith("LIPSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSYNC_HOME", str(settings.home))
    monkeypatch.setenv("LIPSYNC_STORE", settings.store)
    monkeypatch.setenv("LIPSYNC_CACHE", str(settings.cache))
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")
    monkeypatch.setenv("LIPSYNC_THREADS", "1")
    monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    monkeypatch.setenv("LIPSYNC_CONNECT_TIMEOUT_S", "1")


@pytest.fixture
def redis(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Redis answers."""
    with redis_server() as server:
        monkeypatch.setenv("LIPSYNC_REDIS_URL", server.url)
        yield


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def other(tmp_path: Path) -> Pack:
    """Another avatar."""
    (tmp_path / "other").mkdir()
    return make_synthetic(tmp_path / "other", frames=2, width=WIDTH, height=HEIGHT, seed=1, small=True)
