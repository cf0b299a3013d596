"""Reading somebody else's folder: nothing outside it is touched, nothing in it is executed or unpickled."""

import json
import os
import re
from pathlib import Path
from typing import Any

from infra.errors import Rejected

_NUMBERED = re.compile(r"(?:frame_)?([0-9]{1,9})")


class SourceFolder:
    """A folder that an avatar is imported from. Links that lead out of it are refused; messages name relative paths."""

    def __init__(self, root: Path):
        if not root.is_dir():
            raise Rejected(f"{root} is not a folder: give the folder that holds the avatar's files.")
        self.root = root.resolve()

    def find(self, name: str) -> Path | None:
        """The file or folder `name` (relative), or None when there is none.

        Raises:
            Rejected: it is a link that leads out of the folder.
        """
        path = self.root / name
        if not os.path.lexists(path):
            return None
        if not path.resolve().is_relative_to(self.root):
            raise Rejected(f"{name} is a link that leads out of {self.root}: copy what it points to into the folder.")
        return path if path.is_file() or path.is_dir() else None

    def numbered(self, folder: str, *extensions: str) -> dict[int, str]:
        """Files `<n>.ext` or `frame_<n>.ext` of a subfolder as number → relative path, sorted by number.

        Raises:
            Rejected: two files have the same number, or one is a link that leads out of the folder.
        """
        directory = self.find(folder)
        found: dict[int, str] = {}
        for path in sorted(directory.iterdir()) if directory and directory.is_dir() else ():
            match = _NUMBERED.fullmatch(path.stem)
            if not match or path.suffix.lower() not in extensions:
                continue
            name, number = f"{folder}/{path.name}", int(match[1])
            if number in found:
                raise Rejected(f"{found[number]} and {name} have the same number: delete one of them.")
            if self.find(name):
                found[number] = name
        return dict(sorted(found.items()))

    def json(self, name: str) -> Any:
        """The content of a JSON file that must be there."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError):
            raise Rejected(f"{name} is not valid JSON: replace it.") from None

    def text(self, name: str) -> str:
        """The content of a UTF-8 file that must be there."""
        path = self.find(name)
        if path is None or not path.is_file():
            raise Rejected(f"{self.root} has no file {name}.")
        try:
            return path.read_text("utf-8")
        except OSError as error:
            raise Rejected(f"Reading {name} failed: {os.strerror(error.errno or 0)}.") from error
        except UnicodeDecodeError:
            raise Rejected(f"{name} is not a text file: replace it.") from None
