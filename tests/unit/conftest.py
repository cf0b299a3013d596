"""Small networks, a small avatar, and a sound file."""

from pathlib import Path

import pytest
import soundfile
from hypothesis import HealthCheck
from hypothesis import settings as profile

from infra.settings import Settings
from tests.avatar_sources import HEIGHT, WIDTH, make_networks
from tests.unit.naive import speech
from workers.avatar.pack import Pack
from workers.avatar.synthetic import make_synthetic

# No check by the clock: on a fresh checkout Hypothesis first builds its table of characters, within an example.
profile.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
profile.load_profile("unit")


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generator and audio encoder: real ONNX networks, small ones."""
    return make_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="session")
def small_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A synthetic avatar of five small template frames."""
    return make_synthetic(tmp_path_factory.mktemp("avatar"), frames=5, width=WIDTH, height=HEIGHT, small=True)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One thread, one frame at a time, and a cache that the whole session shares."""
    folder = tmp_path_factory.mktemp("house")
    return Settings(home=folder / "home", cache=folder / "cache", providers="cpu", threads=1, batch=1)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10.3 s at 16 kHz, mono, float32: nothing is resampled, and there are more frames than in one default chunk."""
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    soundfile.write(path, speech(164_900), 16_000, subtype="FLOAT")
    return path
