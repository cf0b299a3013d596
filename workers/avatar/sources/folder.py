"""Reading somebody else's folder: nothing outside it is touched, nothing in it is executed or unpickled."""

import json
import os
import re
from pathlib import Path
from typing import Any

from infra.errors import Rejected
from workers.avatar.findings import Code, Finding, Reading, attempt

_NUMBERED = re.compile(r"(?:frame_)?0*([0-9]{1,6})")  # a million frames are the most that a pack may have


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
        target = Path(os.path.realpath(path))  # `Path.resolve` raises for a link to itself
        if not target.is_relative_to(self.root):
            raise Rejected(f"{name} is a link that leads out of {self.root}: copy what it points to into the folder.")
        return path if path.is_file() or path.is_dir() else None

    def file(self, name: str) -> Path:
        """The file `name` (relative), which must be there.

        Raises:
            Rejected: it is not, or is a link that leads out of the folder.
        """
        path = self.find(name)
        if path is None or not path.is_file():
            raise Rejected(f"{self.root} has no file {name}: put it there.")
        return path

    def numbered(self, code: Code, folder: str, *extensions: str) -> Reading[dict[int, str]]:
        """List the files `<n>.ext` or `frame_<n>.ext` of a subfolder; none is opened.

        Args:
            code: of the errors: two files with the same number, a subfolder that is a link out of the folder.
            folder: the subfolder, which may be missing.
            extensions: in lower case, with their dot.

        Returns:
            Number → relative path, sorted by number.
        """
        directory = yield from attempt(code, self.find, folder)
        found: dict[int, str] = {}
        for path in sorted(directory.iterdir()) if directory and directory.is_dir() else ():
            match = _NUMBERED.fullmatch(path.stem)
            if not match or path.suffix.lower() not in extensions:
                continue
            name, number = f"{folder}/{path.name}", int(match[1])
            if number in found:
                sentence = f"{found[number]} and {name} have the same number: delete one of them."
                yield Finding("error", code, sentence)
            else:
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
        path = self.file(name)
        try:
            return path.read_text("utf-8")
        except OSError as error:
            raise Rejected(f"Reading {name} failed: {os.strerror(error.errno or 0)}.") from error
        except UnicodeDecodeError:
            raise Rejected(f"{name} is not a text file: replace it.") from None
