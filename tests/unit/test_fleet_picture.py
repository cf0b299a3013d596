"""The fleet on a terminal, whatever others wrote."""

from io import StringIO

from rich.console import Console

from jobs.fleet_picture import fleet_tables
from jobs.fleet_state import FleetView, JobLoad, LeftOut, WorkerFacts, WorkerView
from jobs.ledger import JobView
from jobs.states import JobState


def test_what_an_error_says_is_shown_to_the_letter() -> None:
    error = "[mp4 @ 0x55] writing [/opt/x] failed\x1b[31m"
    view = JobView("j" * 26, JobState.FAILED, 3, 1, 1, 30, 10, "a", "o", 0.0, 0.0, 0.0, 9.0, None, error)
    worker = WorkerView(WorkerFacts("gpu0@[/b]", "[/b]", version="[red]"), 9.0, True, False)
    fleet = FleetView(9.0, (worker,), frozenset(), (JobLoad(view, 0, 0, None),), LeftOut(), {}, 0)
    page = StringIO()
    Console(file=page, width=250).print(fleet_tables(fleet))
    assert "[mp4 @ 0x55] writing [/opt/x] failed\\x1b[31m" in page.getvalue()
    assert "[/b]" in page.getvalue() and "[red]" in page.getvalue()
