"""How commands speak: results on standard output (with `--json` one document), all else on standard error."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.errors import Rejected

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]


def print_result(document: Mapping[str, Any] | list[Any], text: str, *, as_json: bool) -> None:
    """Print a command's result: `document` for machines, `text` for people."""
    print(json.dumps(document, ensure_ascii=False) if as_json else text, flush=True)


def say(text: str) -> None:
    """Tell a person something that is not the result."""
    print(text, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Text that others wrote, fit for a terminal: on one line, and what is no visible character is spelled out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Raises:
        Rejected: it lies in no folder, or is one.
    """
    if not path.absolute().parent.is_dir():
        raise Rejected(f"{path.parent} is not a folder, so {path.name} cannot be written there.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise Rejected(f"{path.absolute().parent} may not be written to, so {path.name} cannot be put there.")
    if path.is_dir():
        raise Rejected(f"{path} is a folder; name a file for the video.")
