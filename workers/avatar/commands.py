"""`lipsync avatar`: import, check, list and draw avatars."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from infra.errors import EXIT_REJECTED, Rejected
from infra.object_store import open_store
from infra.settings import Settings, read_settings
from jobs import keys
from jobs.avatar_spec import AvatarSpec
from jobs.avatars import list_avatars, read_spec
from jobs.console import Json, print_result, say

if TYPE_CHECKING:
    from workers.avatar.pack import Pack

avatar_app = typer.Typer(name="avatar", help="Import, check, list and draw avatars.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="How jobs will call it: lower-case letters, digits, `.`, `_`, `-`.")]
Onnx = Annotated[Path | None, typer.Option(help="ONNX file to take instead of the source's own.")]


@avatar_app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="Training folder, package v2, server layout, or a pack.")],
    name: Name,
    generator: Onnx = None,
    audio_encoder: Onnx = None,
    licence: Annotated[str, typer.Option(help="Terms of use of the face and its networks.")] = "unspecified",
    matrix: Annotated[
        Literal["auto", "bt709", "smpte170m"], typer.Option(help="Colour matrix of a template video.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Make a pack of an avatar's source folder and publish it under a name."""
    from workers.avatar.importing import import_avatar

    keys.avatar_name(name)
    settings = read_settings()
    with tempfile.TemporaryDirectory(prefix="lipsync-import-") as work_dir:
        pack = import_avatar(
            source,
            Path(work_dir),
            generator=generator,
            audio_encoder=audio_encoder,
            licence=licence,
            settings=settings,
            matrix=None if matrix == "auto" else matrix,
        )
        for repair in pack.spec.provenance.repairs:
            say(f"repair: {repair}")
        _publish(pack, name, settings, as_json)


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
    from workers.avatar.synthetic import make_synthetic

    keys.avatar_name(name)
    width, height = _size(size)
    settings = read_settings()
    with tempfile.TemporaryDirectory(prefix="lipsync-synth-") as work_dir:
        pack = make_synthetic(Path(work_dir), frames=frames, width=width, height=height, seed=seed, small=small)
        _publish(pack, name, settings, as_json)


@avatar_app.command("check")
def check_command(
    target: Annotated[str, typer.Argument(help="A pack or source folder, or an avatar's name or digest.")],
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with an avatar; exit code 2 when it cannot be used."""
    from workers.avatar.checking import check

    findings = check(target, read_settings())
    usable = all(finding.level != "error" for finding in findings)
    lines = [f"{finding.level}: {finding.sentence}" for finding in findings]
    verdict = f"{target} can be used." if usable else f"{target} cannot be used."
    document = {"target": target, "usable": usable, "findings": [finding._asdict() for finding in findings]}
    print_result(document, "\n".join([*lines, verdict]), as_json=as_json)
    if not usable:
        raise typer.Exit(EXIT_REJECTED)


@avatar_app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the avatars of the store."""
    store = open_store(read_settings())
    rows = [_facts(name, digest, read_spec(store, digest)) for name, digest in list_avatars(store)]
    lines = (
        "{name:<24} {digest:.12} {width}x{height}, {frames} frames, licence {licence}".format(**row) for row in rows
    )
    print_result(rows, "\n".join(lines) or f"There are no avatars in {store.url} yet.", as_json=as_json)


def _publish(pack: "Pack", name: str, settings: Settings, as_json: bool) -> None:
    from workers.avatar.pack import publish
    from workers.canary import publish_canary

    store = open_store(settings)
    publish_canary(pack, store, settings)  # first: nobody may meet a named avatar that cannot be proved
    publish(pack, store, name)
    facts = _facts(name, pack.digest, pack.spec)
    print_result(facts, f"Avatar {name} is {pack.digest} in {store.url}.", as_json=as_json)


def _facts(name: str, digest: str, spec: AvatarSpec) -> dict[str, Any]:
    return {
        "name": name,
        "digest": digest,
        "frames": spec.frame_count,
        "width": spec.frame_size.width,
        "height": spec.frame_size.height,
        "template": spec.template.kind,
        "layout": spec.provenance.layout,
        "repairs": list(spec.provenance.repairs),
        "licence": spec.licence,
    }


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()) or max(len(width), len(height)) > 5:
        raise Rejected(f"{text[:40]!r} is no size: write width and height in pixels, such as 1280x720.")
    return int(width), int(height)
