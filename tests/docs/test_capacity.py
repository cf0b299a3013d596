"""The tables of capacity and cost are what `lipsync plan` prints: every row is run again.

A table is known by its first cell, `lipsync plan …`; the first cell of each row has the options that are added.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.estimate import spell_duration
from tests.docs.pages import OPERATING

TABLE = re.compile(r"^\| `(lipsync plan [^`]*?)(?: …)?` \|(.*)\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)


def printed(capfd: pytest.CaptureFixture[str], command: str) -> dict[str, str]:
    """What a command says, by the names of the columns."""
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command)[1:], "--json"])
    assert not ended.value.code
    told = json.loads(capfd.readouterr().out)
    cells = {"workers": str(told["workers"]), "rendered after": spell_duration(told["finish_s"])}
    if "cost" in told:
        hours, cost, video = (told[name] for name in ("billed_h", "cost", "cost_per_video_hour"))
        cells |= {"worker hours": f"{hours:.2f}", "cost": f"{cost:.2f}", "an hour of video": f"{video:.3f}"}
    return cells


def rows(page: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Command lines and what a page says that they print."""
    for command, header, body in TABLE.findall(page.read_text()):
        columns = [cell.strip() for cell in header.strip(" |").split("|")]
        for line in body.splitlines():
            options, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield f"{command} {options.strip('`')}", dict(zip(columns, cells, strict=True))


def check(page: Path, capfd: pytest.CaptureFixture[str], at_least: int) -> None:
    """Run every row of a page again."""
    found = list(rows(page))
    assert len(found) >= at_least
    for command, told in found:
        assert told == {name: text for name, text in printed(capfd, command).items() if name in told}, command


def test_every_row_is_what_the_command_prints(capfd: pytest.CaptureFixture[str]) -> None:
    check(OPERATING, capfd, at_least=15)


def test_a_wrong_figure_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    table = "| `lipsync plan --duration 10h …` | workers |\n|---|---|\n| `--fps-per-worker 34.5 --deadline 1h` | {} |\n"
    page.write_text(table.format(8))
    check(page, capfd, at_least=1)
    page.write_text(table.format(9))
    with pytest.raises(AssertionError):
        check(page, capfd, at_least=1)
