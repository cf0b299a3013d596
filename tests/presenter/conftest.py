"""The packages of the extra `train`: missing ones skip a test on a laptop and fail it where `CI=true`."""

import importlib

import pytest

from tests.servers import missing


@pytest.fixture(scope="session")
def skia() -> None:
    """Drawing needs it, and some libraries of the system."""
    need("skia")


@pytest.fixture(scope="session")
def torch() -> None:
    """Training needs it."""
    need("torch")


def need(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        missing(f"{package} cannot be imported ({error}): `make train` installs it")
