"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 3.0


Report = Callable[[int, int, float | None, float | None, str], None]
"""Takes one state of affairs: frames done, frames in all, frames per second, seconds left, a word for the state."""


@contextmanager
def progress_report(quiet: bool = False) -> Iterator[Report]:
    """A bar or lines, whichever suits standard error."""
    if quiet:
        yield lambda *_: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines()


def describe(done: int, total: int, fps: float | None, eta_s: float | None, state: str) -> str:
    """One line: `running  120/250 frames  48.0 %  35.2 frames/s  4 s left`."""
    words = [f"{state:<10}", f"{done}/{total} frames", f"{100 * done / max(total, 1):.1f} %"]
    if fps is not None:
        words.append(f"{fps:.1f} frames/s")
    if eta_s is not None:
        words.append(f"{eta_s:.0f} s left")
    return "  ".join(words)


@contextmanager
def _bar() -> Iterator[Report]:
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("queued", total=None, rate="")

        def report(done: int, total: int, fps: float | None, _: float | None, state: str) -> None:
            rate = "" if fps is None else f"{fps:.1f} frames/s"
            bar.update(task, completed=done, total=total, description=state, rate=rate)

        yield report


def _lines() -> Report:
    last_s, last_state = 0.0, ""

    def report(done: int, total: int, fps: float | None, eta_s: float | None, state: str) -> None:
        nonlocal last_s, last_state
        now_s = time.monotonic()
        if state != last_state or now_s - last_s >= LINE_EVERY_S:
            print(describe(done, total, fps, eta_s, state), file=sys.stderr, flush=True)
            last_s, last_state = now_s, state

    return report
