"""`python -m workers.presenter`: draw and train the demo avatar from nothing."""

import json
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import Failed, LipsyncError, Rejected
from infra.settings import Settings, read_settings
from infra.store_directory import file_error
from jobs.console import say

_REPOSITORY = Path(__file__).parent.parent.parent


def main(
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("build/demo-avatar"),
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 1,
    hearing_steps: Annotated[int, typer.Option(min=1)] = 5000,
    painting_steps: Annotated[int, typer.Option(min=1)] = 3000,
    clips: Annotated[int, typer.Option(min=20, help="Utterances to learn from.")] = 3000,
    ship: Annotated[bool, typer.Option("--ship", help="Put the result into the package and its tests.")] = False,
) -> None:
    """Draw and train the demo avatar from nothing."""
    try:
        _make(out, seed, (hearing_steps, painting_steps, clips), ship, read_settings())
    except ImportError as error:
        _refuse(Failed(f"Training needs what `make train` installs: {error}."))
    except OSError as error:
        _refuse(file_error(f"Making {out}", error))
    except LipsyncError as error:
        _refuse(error)
    say(f"The demo avatar is in {out / 'demo'}, what was measured in {out / 'figures.json'}.")


def _make(out: Path, seed: int, effort: tuple[int, int, int], ship: bool, settings: Settings) -> None:
    from workers.presenter import recipe
    from workers.presenter.speech.held_out import long_clips

    if out.exists():
        raise Rejected(f"{out} exists: move it away, or choose another folder with --out.")
    pack = recipe.make_demo_avatar(out, recipe.Effort(*effort), seed, settings)
    figures = []
    for found in recipe.measure(pack, long_clips(), settings):
        figures.append(found)
        say(
            f"{found.voice}: correlation {found.correlation:.3f}, best lag {found.lag_frames} frames, 200 ms early "
            f"{found.early:.2f}, late {found.late:.2f}; border {found.border_step:.2f} grey levels"
        )
    (out / "figures.json").write_text(json.dumps([found._asdict() for found in figures], indent=1) + "\n")
    faults = recipe.shortcomings(figures)
    if faults:
        raise Failed(f"The avatar in {out} is not good enough to ship: {'; '.join(faults)}. Train it longer.")
    if ship:
        recipe.ship(out, _REPOSITORY)


def _refuse(error: LipsyncError) -> None:
    say(f"error: {error}")
    raise typer.Exit(2)


typer.run(main)
