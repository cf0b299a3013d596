"""`python -m infra.artefact`: build the artefact of a release."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.artefact.building import VARIANTS, Built, Order, build
from infra.errors import LipsyncError
from infra.store_directory import file_error

_REPOSITORY = Path(__file__).parents[2]


def main(
    variant: Annotated[str, typer.Option(help=f"What the hosts are for: {', '.join(VARIANTS)}.")] = "cpu",
    label: Annotated[str, typer.Option("--build", help="Marks one of several builds of a version.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("dist"),
    python: Annotated[Path, typer.Option(help="The Python to copy.")] = Path("/usr/bin/python3"),
    cache: Annotated[Path, typer.Option(help="Folder of what is kept between builds.")] = Path("build/artefact"),
) -> None:
    """Build the artefact of a release: a squashfs image, an archive, their digests and the bill of materials."""
    try:
        built = build(Order(variant, label, _REPOSITORY, python, cache.resolve(), out))
    except LipsyncError as error:
        _refuse(error)
    except OSError as error:
        _refuse(file_error(f"Building an artefact in {out}", error))
    typer.echo(_table(built))


def _refuse(error: LipsyncError) -> None:
    typer.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _table(built: Built) -> str:
    record = built.record
    rows = [
        ("variant", record.variant),
        ("version", record.version),
        ("id", record.id),
        *([("needs", f"layer cuda {record.layer}")] if record.layer else []),
        ("tree", _megabytes(record.tree_bytes)),
        *((form, _megabytes(file.bytes)) for form, file in record.files.items()),
        ("seconds", f"{built.seconds:.1f}"),
        ("file", str(built.path)),
    ]
    return "\n".join(f"{name:<10}{value}" for name, value in rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


typer.run(main)
