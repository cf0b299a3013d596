"""Real hosts with systemd, on a network of their own. These tests run when they are named: `pytest tests/hosts`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.hosts import Hosts
from tests.hosts.possible import require_hosts

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out of a run that does not name them: they take root and minutes."""
    named = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    return None if any(path.is_relative_to(_HERE) for path in named) else True


def folder_of_hosts() -> Path:
    """Where the hosts' root is kept and where they write: `$LIPSYNC_TEST_ROOT`, else below `build`."""
    return Path(os.environ.get("LIPSYNC_TEST_ROOT", _ROOT / "build" / "hosts")).absolute()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """The network, and no host yet."""
    require_hosts()
    with Hosts(folder_of_hosts()) as made:
        yield made


class Figures:
    """What was measured on the way, printed when all is over."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, what: str, measured: str) -> None:
        """Note a figure."""
        self.rows.append((what, measured))


_FIGURES = Figures()


@pytest.fixture
def figures() -> Figures:
    """Where a test notes what it measured."""
    return _FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if _FIGURES.rows:
        terminalreporter.section("measured")
        for what, measured in _FIGURES.rows:
            terminalreporter.line(f"{what}: {measured}")
