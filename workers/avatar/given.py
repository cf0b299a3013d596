"""What a command is given beside the avatar: files that must be there, options that must fit, words for the pack."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infra.errors import Rejected
from jobs.avatar_spec import PrintableLine

_LINE = TypeAdapter[str](PrintableLine)


def check_file(path: Path) -> None:
    """Refuse a path that a person gave for a file and that is none.

    Raises:
        Rejected: it is not there, or is a folder or a device.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no file" if path.exists() else "is not there"
        raise Rejected(f"{path} {what}: give the path of a file.")


def refuse_options(target: object, options: Mapping[str, object | None]) -> None:
    """Refuse options that say how a source is to be imported, where the avatar is a pack already.

    Args:
        target: what was given as the avatar.
        options: name without its dashes → value; None where it was not given.

    Raises:
        Rejected: one was given.
    """
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise Rejected(
            f"{target} is no source folder, and only one can be given {' and '.join(given)}: leave that out, or name "
            "the folder that the avatar was imported from."
        )


def checked_licence(text: str) -> str:
    """The terms of use that a new pack shall carry.

    Raises:
        Rejected: they are no single line that can be printed.
    """
    try:
        return _LINE.validate_python(text)
    except ValidationError:
        raise Rejected(
            f"The licence {text[:60]!a} cannot be used: write 1 to 1000 printable characters on one line."
        ) from None
