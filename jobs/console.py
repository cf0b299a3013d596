"""How commands speak: results on standard output (with `--json` one document), all else on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]


def print_result(document: Mapping[str, Any] | list[Any], text: str, *, as_json: bool) -> None:
    """Print a command's result: `document` for machines, `text` for people."""
    print(json.dumps(document, ensure_ascii=False) if as_json else text, flush=True)


def say(text: str) -> None:
    """Tell a person something that is not the result."""
    print(text, file=sys.stderr, flush=True)
