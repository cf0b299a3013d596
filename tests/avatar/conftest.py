"""Small networks, packs and stores."""

from pathlib import Path

import pytest

from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from tests.avatar_sources import HEIGHT, WIDTH, make_networks
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
