"""Real artefacts, built once for all tests that want them, and stores to publish them in.

The slow part of a build is kept in `build/artefact`, so a second run of these tests is quick.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.artefact.building import Built, Order, build
from infra.artefact.running import patchelf
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from tests.servers import S3Server, missing, moto_server

ROOT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3")


@pytest.fixture(scope="session")
def tools() -> None:
    """What a build needs beside `make dev`."""
    for program, package in (("mksquashfs", "squashfs-tools"), ("zstd", "zstd"), ("unsquashfs", "squashfs-tools")):
        if not shutil.which(program):
            missing(f"there is no {program}; the package {package} brings it")
    if not patchelf():
        missing("there is no patchelf; `make dev` brings it")
    if not PYTHON.exists():
        missing(f"there is no {PYTHON} to make an artefact of")


def copy_sources(repository: Path, to: Path) -> Path:
    """A copy of what builds read, so that nothing changes between them."""
    to.mkdir(parents=True)
    for name in ("infra", "jobs", "workers", "requirements"):
        shutil.copytree(repository / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(repository / name, to / name)
    return to


@pytest.fixture(scope="session")
def sources(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sources(ROOT, tmp_path_factory.mktemp("a") / "repository")


@pytest.fixture(scope="session")
def order(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Order]:
    """Orders of builds into folders of this run, with what the repository's own builds kept."""

    def make(variant: str, label: str) -> Order:
        return Order(variant, label, sources, PYTHON, ROOT / "build" / "artefact", tmp_path_factory.mktemp("dist"))

    return make


@pytest.fixture(scope="session")
def cpu(order: Callable[[str, str], Order]) -> Built:
    """The artefact of hosts that render on their CPU."""
    return build(order("cpu", "test.1"))


@pytest.fixture(scope="session")
def watch(order: Callable[[str, str], Order]) -> Built:
    """The artefact of hosts that watch."""
    return build(order("watch", "twice"))


@pytest.fixture(scope="session")
def cpu_tree(cpu: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same, unpacked."""
    root = tmp_path_factory.mktemp("unpacked") / "tree"
    image = cpu.path.with_name(cpu.record.files["squashfs"].name)
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-dest", root, image], check=True)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(params=["directory", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store of each kind, which is this process' own, too."""
    if request.param == "directory":
        address = (tmp_path / "a store").as_uri()
        monkeypatch.setenv("LIPSYNC_STORE", address)
        return open_store(Settings(store=address))
    server: S3Server = request.getfixturevalue("moto")
    server.use(monkeypatch)
    settings = server.settings()
    monkeypatch.setenv("LIPSYNC_STORE", settings.store)
    monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", os.fspath(server.endpoint))
    return open_store(settings)
