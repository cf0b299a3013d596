"""The stores that must keep the same contract: a directory, S3 by moto, S3 by OpenStack Swift."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from tests.servers import S3Server, moto_server, swift_server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with swift_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(params=["moto", "swift"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each S3 server, its credentials in the environment."""
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return server


@pytest.fixture(params=["directory", "moto", "swift"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "directory":
        return open_store(Settings(store=(tmp_path / "a store").as_uri()))
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return open_store(server.settings())
