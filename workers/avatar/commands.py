"""`lipsync avatar`: import, check and draw avatars; `shelf_commands` moves them."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.errors import EXIT_REJECTED, Rejected
from jobs.console import Json, print_result, printable, say
from workers.avatar.shelf_commands import Name, add_shelf_commands

avatar_app = typer.Typer(name="avatar", help="Import, check, draw, move and remove avatars.", no_args_is_help=True)
add_shelf_commands(avatar_app)

Network = Annotated[
    Path | None, typer.Option(help="ONNX file, or trained checkpoint (.pth), to take instead of the source's own.")
]


@avatar_app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="Training folder, package v2, server layout, or a pack.")],
    name: Name,
    generator: Network = None,
    audio_encoder: Network = None,
    licence: Annotated[
        str | None, typer.Option(help="Terms of use of the face and its networks; those of a pack unless given.")
    ] = None,
    matrix: Annotated[
        Literal["auto", "bt709", "smpte170m"], typer.Option(help="Colour matrix of a template video.")
    ] = "auto",
    consent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON record of the consent of the person whom it shows.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a pack of an avatar's source folder and publish it under a name."""
    from infra.settings import read_settings
    from jobs import keys
    from jobs.avatar_spec import AVATAR_JSON
    from jobs.consent import consent_problem, today_utc
    from workers.avatar.consent_record import read_consent
    from workers.avatar.importing import import_avatar
    from workers.avatar.networks.comparing import ExportRecord
    from workers.avatar.pack import read_pack_spec
    from workers.avatar.publishing import publish_and_print

    keys.avatar_name(name)
    settings = read_settings()
    recorded = None if consent is None else read_consent(consent)
    with tempfile.TemporaryDirectory(prefix="lipsync-import-") as work_dir:
        pack, exports, repairs = import_avatar(
            source,
            Path(work_dir),
            generator=generator,
            audio_encoder=audio_encoder,
            licence=licence,
            settings=settings,
            matrix=None if matrix == "auto" else matrix,
            consent=recorded,
        )
        for repair in repairs:
            say(f"repair: {repair}")
        problem = consent_problem(pack.spec, today_utc())
        if recorded and problem:
            say(f"warning: {printable(problem)}")
        for export in exports:
            say("{network}: differs from {framework} by at most {difference:.1e} of its range".format(**dict(export)))
        publish_and_print(
            pack,
            name,
            settings,
            as_json=as_json,
            export_record=ExportRecord(exports=exports).model_dump_json().encode() if exports else None,
            made_of=read_pack_spec(source)[1] if (source / AVATAR_JSON).is_file() else None,
        )


@avatar_app.command("synth")
def synth_command(
    name: Name,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the template clip.")] = 100,
    size: Annotated[str, typer.Option(help="Of a frame in pixels, both even.")] = "1280x720",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same avatar.")] = 0,
    small: Annotated[bool, typer.Option("--small", help="Tiny networks, for tests.")] = False,
    as_json: Json = False,
) -> None:
    """Draw an avatar with seeded networks of the real size, for benchmarks and tests, and publish it."""
    from infra.settings import read_settings
    from jobs import keys
    from workers.avatar.publishing import publish_and_print
    from workers.avatar.synthetic import make_synthetic

    keys.avatar_name(name)
    width, height = _size(size)
    settings = read_settings()
    with tempfile.TemporaryDirectory(prefix="lipsync-synth-") as work_dir:
        pack = make_synthetic(Path(work_dir), frames=frames, width=width, height=height, seed=seed, small=small)
        publish_and_print(pack, name, settings, as_json=as_json)


@avatar_app.command("check")
def check_command(
    target: Annotated[str, typer.Argument(help="A pack or source folder, or an avatar's name or digest.")],
    generator: Network = None,
    audio_encoder: Network = None,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with an avatar and what to do; exit code 2 unless it can be used."""
    from infra.settings import read_settings
    from workers.avatar.checking import check
    from workers.avatar.findings import usable, verdict

    findings = check(target, read_settings(), generator=generator, audio_encoder=audio_encoder)
    lines = [f"{finding.level} ({finding.code}): {printable(finding.sentence)}" for finding in findings]
    document = {"target": target, "usable": usable(findings), "findings": [finding._asdict() for finding in findings]}
    print_result(document, "\n".join([*lines, verdict(target, findings)]), as_json=as_json)
    if not usable(findings):
        raise typer.Exit(EXIT_REJECTED)


@avatar_app.command("preview")
def preview_command(
    target: Annotated[str, typer.Argument(help="A pack's folder, or an avatar's name or digest.")],
    out: Annotated[Path, typer.Option(help="Picture to write, PNG or JPEG by its suffix.")],
    frames: Annotated[int, typer.Option(min=1, max=64, help="Template frames to show, and mouths.")] = 8,
    audio: Annotated[Path | None, typer.Option(help="What the mouths say, instead of the clip that ships.")] = None,
    as_json: Json = False,
) -> None:
    """Draw one picture to judge an avatar by: template frames with their crop boxes, and mouths that speak."""
    from infra.settings import read_settings
    from workers.avatar.preview import write_preview

    shown = write_preview(target, out, read_settings(), frames=frames, audio=audio)
    document = {"target": target, "output": str(out), **shown._asdict()}
    print_result(document, f"The contact sheet of {target} is {out}.", as_json=as_json)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()) or max(len(width), len(height)) > 5:
        raise Rejected(f"{text[:40]!r} is no size: write width and height in pixels, such as 1280x720.")
    return int(width), int(height)
