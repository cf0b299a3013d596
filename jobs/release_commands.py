"""`lipsync release`: artefacts between the machine that builds them, the store and the hosts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.tree_digest import Form
from jobs.console import Json, print_result

if TYPE_CHECKING:
    from infra.object_store import ObjectStore
    from infra.release_record import ReleaseRecord

release_app = typer.Typer(help="Releases of the product: push, list, show, rm, and addresses for hosts.")

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="A release's id, 8 digits of it, or its version and variant: 0.1.0-cpu.")
]


@release_app.command()
def push(
    record: Annotated[Path, typer.Argument(metavar="RELEASE.JSON", help="The file that `make artefact` names last.")],
    as_json: Json = False,
) -> None:
    """Publish a release in the store, proved byte by byte, and print its id."""
    from jobs import release_store

    pushed = release_store.push(record, _store())
    print_result(_document(pushed), pushed.id, as_json=as_json)


@release_app.command(name="list")
def list_command(as_json: Json = False) -> None:
    """List the releases of the store."""
    from jobs import release_store

    store = _store()
    found = release_store.releases(store)
    lines = [
        f"{one.id}  {release_store.name(one)}  {one.machine}  {one.files['squashfs'].bytes / 1e6:.1f} MB"
        for one in found
    ]
    nothing = f"There are no releases in {store.url} yet."
    print_result([_document(one) for one in found], "\n".join(lines) or nothing, as_json=as_json)


@release_app.command()
def show(ref: Ref, as_json: Json = False) -> None:
    """Say everything about one release."""
    from jobs import keys, release_store

    store = _store()
    found = release_store.find(ref, store)
    lines = [
        f"{release_store.name(found)}  {found.id}",
        f"tree      {found.tree_bytes / 1e6:.1f} MB, SHA-256 {found.tree_sha256}",
        f"runs on   Linux {found.machine}" + (f", glibc {found.glibc} or newer" if found.glibc else ""),
        *([f"Python    {found.python}, its own"] if found.python else []),
        *([f"needs     the layer {found.layer}-cuda beside it"] if found.layer else []),
    ]
    for form, file in found.files.items():
        lines.append(f"{form:<10}{file.bytes / 1e6:.1f} MB, SHA-256 {file.sha256}")
        lines.append(f"{'':<10}{store.location(keys.release_file(found.id, form))}")
    print_result(_document(found), "\n".join(lines), as_json=as_json)


@release_app.command()
def url(
    ref: Ref,
    form: Annotated[Form, typer.Option("--form", help="An image to mount, or an archive to unpack.")] = "squashfs",
    valid_s: Annotated[int, typer.Option("--valid", help="Seconds for which the address works.")] = 3600,
    as_json: Json = False,
) -> None:
    """Print an address from which a host fetches a release without credentials; whoever has it can do so, too."""
    from jobs import release_store

    store = _store()
    found = release_store.address(release_store.find(ref, store), form, valid_s, store)
    document = {
        "id": found.record.id,
        "form": found.form,
        "url": found.url,
        "sha256": found.file.sha256,
        "bytes": found.file.bytes,
        "version": found.record.version,
        "variant": found.record.variant,
    }
    print_result(document, found.url, as_json=as_json)


@release_app.command()
def rm(ref: Ref, as_json: Json = False) -> None:
    """Remove a release from the store, or by its whole id what is left of one; hosts that have it keep it."""
    from jobs import release_store

    store = _store()
    release_id, size = release_store.remove(ref, store)
    text = f"Removed from {store.url}: release {release_id}, {size / 1e6:.1f} MB."
    print_result({"id": release_id, "bytes": size}, text, as_json=as_json)


@release_app.command()
def verify(
    folder: Annotated[
        Path | None, typer.Argument(help="A release's tree; by default the one that this command runs from.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that no file of a mounted or unpacked release was changed since it was built; asks no store."""
    from jobs.release_proof import prove

    record = prove(folder)
    text = f"Release {record.id} ({record.version}-{record.variant}) is whole."
    document = {"id": record.id, "version": record.version, "variant": record.variant, "whole": True}
    print_result(document, text, as_json=as_json)


def _store() -> "ObjectStore":
    from infra.object_store import open_store
    from infra.settings import read_settings

    return open_store(read_settings())


def _document(record: "ReleaseRecord") -> dict[str, object]:
    return record.model_dump(mode="json", by_alias=True)
