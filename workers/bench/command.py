"""`lipsync bench`: every figure that the documentation quotes, measured on the machine it runs on."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infra.errors import Rejected
from jobs.console import Json, print_result, say

if TYPE_CHECKING:
    from infra.settings import Settings
    from workers.bench.report import Report

What = Literal["model", "pipeline", "precision", "fleet", "submission", "scheduler"]
DEFAULT_FRAMES = {"model": 97, "pipeline": 250, "precision": 97, "fleet": 500}
"""What is measured with an avatar, and how many frames are rendered, or how often its networks are called."""
TABLE_WIDTH = 120


def bench(
    what: Annotated[What, typer.Option(help="The networks alone, a whole render, or what surrounds it.")] = "pipeline",
    avatar: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Name, digest or folder; a synthetic one of the real size unless given."),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=2, max=100_000, help="Frames to render, or calls.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the figures: a .png or .svg.")] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Race a plain PyTorch loop of the same networks on the CPU, in turn.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure speed and memory on this machine, and say what they were measured on."""
    from infra.settings import read_settings
    from workers.bench.machine import machine
    from workers.bench.picture import check_picture, draw

    _check(what, {"avatar": avatar, "frames": frames, "plot": plot, "reference": reference or None})
    if plot is not None:
        check_picture(plot)

    def tell(text: str) -> None:
        if not as_json:
            say(f"{what}: {text}")

    report = _measure(what, avatar, frames, reference, read_settings(), tell)
    if plot is not None:
        draw(report, plot)
    print_result({"what": what, "machine": machine()} | report.document, _table(report), as_json=as_json)


def _check(what: What, options: dict[str, object]) -> None:
    """Refuse options that mean nothing for what is measured."""
    taken = set(options) if what in DEFAULT_FRAMES else set()
    if what != "pipeline":
        taken.discard("reference")
    for name, value in options.items():
        if value is not None and name not in taken:
            raise Rejected(f"--{name} says nothing about --what {what}: leave it out, or measure something else.")


def _measure(
    what: What,
    avatar: str | None,
    frames: int | None,
    reference: bool,
    settings: "Settings",
    tell: Callable[[str], object],
) -> "Report":
    if what == "submission":
        from workers.bench.submission import measure as measure_submission

        return measure_submission()
    if what == "scheduler":
        from workers.bench.scheduler import simulate

        return simulate()
    from workers.bench import fleet, model, pipeline, precision, race
    from workers.bench.subject import benchmark_subject

    measures = {
        "model": model.measure,
        "pipeline": race.measure if reference else pipeline.measure,
        "fleet": fleet.measure,
        "precision": precision.measure,
    }
    if reference:
        settings = settings.model_copy(update={"providers": "cpu"})  # as the loop that it races
    tell("making the avatar ready")
    with benchmark_subject(avatar, settings) as subject:
        return measures[what](subject, frames or DEFAULT_FRAMES[what], tell)


def _table(report: "Report") -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from workers.bench.machine import describe_machine

    table = Table("what", "figure", box=box.SIMPLE_HEAD, title=f"{report.what}: {describe_machine()}")
    table.title_justify = "left"
    for row in report.rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=TABLE_WIDTH).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
