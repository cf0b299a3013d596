"""`release.json`: what a release is, inside its tree and, with the files it travels as, beside them."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Damaged
from infra.tree_digest import FORMS, Form

BOM: Final = "bom"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class TreeRecord(BaseModel):
    """What a tree says about itself."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    layout: Annotated[Literal[1], Field(alias="schema")] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = ""
    """The first 16 digits of `tree_sha256`; empty only before the digest is known."""
    tree_sha256: Sha256 | Literal[""] = ""
    version: _Name
    variant: _Name
    machine: _Name
    python: str | None
    """Of the Python inside; None where there is none."""
    glibc: str | None
    """The oldest release of the C library that the tree runs on."""
    layer: _Name | None = None
    """Version of the layer `cuda` that has to lie beside the tree; None where none is needed."""


class ReleaseFile(BaseModel):
    """One file of a release, beside the record that names it."""

    model_config = ConfigDict(frozen=True)

    name: _Name
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class ReleaseRecord(TreeRecord):
    """What a release is and the files it travels as, by form; `bom` is its bill of materials."""

    tree_bytes: Annotated[int, Field(ge=0)]
    files: dict[Form | Literal["bom"], ReleaseFile]


def record_json(record: TreeRecord) -> bytes:
    """The record as it is written."""
    return record.model_dump_json(by_alias=True, indent=1).encode() + b"\n"


def read_tree_record(path: Path) -> TreeRecord | None:
    """What the tree with this `release.json` says, None when there is no such file.

    Raises:
        Damaged: the file is no such record.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return TreeRecord.model_validate_json(data)
    except ValidationError:
        raise _no_record(str(path)) from None


def parse_record(data: bytes, where: str) -> ReleaseRecord:
    """Read a record; `where` names its file in messages.

    Raises:
        Damaged: it is none.
    """
    try:
        record = ReleaseRecord.model_validate_json(data)
    except ValidationError:
        raise _no_record(where) from None
    if set(record.files) != {*FORMS, BOM}:
        raise _no_record(where)
    return record


def _no_record(where: str) -> Damaged:
    return Damaged(f"{where} does not describe a release: build it again with `make artefact`, or push it again.")
