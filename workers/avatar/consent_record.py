"""The consent record that is given when an avatar is imported: a JSON file beside the evidence, which is hashed."""

import errno
import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from infra.errors import Rejected
from infra.store_directory import file_error
from jobs import keys
from jobs.avatar_spec import Consent, PrintableLine
from workers.avatar.given import check_file
from workers.avatar.pack import file_digest

_EXPECTED: Final = {
    "subject": "a line that says who consented",
    "scope": "a line that says to what",
    "expires": "the last day on which it holds, such as 2027-01-31, or null for a consent without an end",
    "evidence": "the SHA-256 digest of the document that proves it, or the path of that file, from the record's folder",
}
_MAX_BYTES: Final = 65_536  # a record has four short lines; anything larger is another file, given by mistake
_SHOWN: Final = 60


class _Record(Consent):
    """A consent as it is recorded now; packs may carry older ones."""

    subject: PrintableLine
    scope: PrintableLine


def read_consent(path: Path) -> Consent:
    """Read a consent record; when and where it is read makes no difference to the result.

    Args:
        path: JSON with `subject`, `scope`, `expires` and `evidence`.

    Raises:
        Rejected: the record or its evidence cannot be used; one sentence says all that is wrong.
        Failed: the evidence cannot be read.
    """
    document = _document(path)
    evidence = document.get("evidence")
    if isinstance(evidence, str):
        document["evidence"] = _digest(evidence, path.parent)
    try:
        return Consent(**dict(_Record.model_validate_json(json.dumps(document))))
    except ValidationError as error:
        problems = [_problem(str(each["loc"][0]), each["type"], each["input"]) for each in error.errors()]
        raise Rejected(f"The consent record {path} cannot be used: {'; '.join(problems)}.") from None


def _document(path: Path) -> dict[str, Any]:
    check_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise file_error(f"Reading the consent record {path}", error) from error
    try:
        document = json.loads(data) if len(data) <= _MAX_BYTES else None
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # neither JSON nor text, or nothing but brackets
        document = None
    if not isinstance(document, dict):
        fields = ", ".join(_EXPECTED)
        raise Rejected(f"The consent record {path} cannot be used: it is no JSON object with the fields {fields}.")
    return document


def _digest(evidence: str, folder: Path) -> str:
    """The digest of the evidence, be it given or that of a file; what is neither stays, for the model to refuse."""
    if keys.is_digest(evidence.lower()):
        return evidence.lower()
    path = folder / evidence
    try:
        return file_digest(path) if path.is_file() else evidence
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # so it is no path
            return evidence
        raise file_error(f"Looking for the evidence {path}", error) from error


def _problem(field: str, kind: str, found: object) -> str:
    if field not in _EXPECTED:
        return f"{field[:_SHOWN]!r} is no field of it"
    state = "is missing" if kind == "missing" else f"is {repr(found)[:_SHOWN]}"
    return f"{field} {state} and must be {_EXPECTED[field]}"
