"""The command `lipsync doctor`."""

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jobs.console import Json, print_result, printable
from workers.doctor.findings import exit_code, verdict

if TYPE_CHECKING:
    from workers.doctor.examination import Examination

_WIDEST: Final = 120
_NAME: Final = 11
_LEVEL: Final = 9
_CODE: Final = 20


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave Redis and the store alone: for a host that has yet to join.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether this host is fit to render, and what to change.

    Exit code 2: something must be mended; 3: Redis or the store does not answer, and nothing else is wrong.
    """
    from workers.doctor.examination import examine

    examination = examine(offline=offline)
    print_result(examination.document(), describe(examination, _width()), as_json=as_json)
    code = exit_code(examination.findings)
    if code:
        raise typer.Exit(code)


def describe(examination: "Examination", width: int) -> str:
    """What people read: a line for each check, one entry for each finding, and the verdict."""
    seen = [
        _hang(name.ljust(_NAME), outcome.line, width) for name, outcome in examination.outcomes.items() if outcome.line
    ]
    said = [
        _hang(f"{finding.level.ljust(_LEVEL)}{finding.code.ljust(_CODE)} ", finding.sentence, width)
        for finding in examination.findings
    ]
    end = f"This host is {verdict(examination.findings)} ({examination.seconds:.1f} s)."
    return "\n".join([*seen, *([""] if said else []), *said, "", end])


def _hang(head: str, text: str, width: int) -> str:
    return textwrap.fill(
        printable(text),
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    return min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
