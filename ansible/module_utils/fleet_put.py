"""A file or a link that a host shall have. What the modules beside this share; runs on hosts, from Python 3.8."""

from __future__ import annotations

import grp
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Put:
    """A file with this content, mode and group, which belongs to who runs this, or a link.

    Attributes:
        path: where it shall be.
        data: its content; None for a link.
        link: where the link leads; None for a file.
        mode: permissions of a file.
        group: the group that a file belongs to, by name or number; None leaves that as it is.
    """

    path: Path
    data: bytes | None = None
    link: str | None = None
    mode: int = 0o644
    group: str | int | None = None

    def in_place(self) -> bool:
        """Whether it is there already, just so."""
        if self.link is not None:
            return self.path.is_symlink() and os.readlink(str(self.path)) == self.link
        if self.path.is_symlink() or not self.path.is_file():
            return False
        facts = self.path.stat()
        try:
            group_fits = self.group is None or self._gid() == facts.st_gid
        except ValueError:  # what comes before it makes the group
            return False
        ours = facts.st_uid == os.geteuid() and group_fits and stat.S_IMODE(facts.st_mode) == self.mode
        return ours and self.path.read_bytes() == self.data

    def put(self) -> None:
        """Put it in its place in one step, so that nobody ever sees half of it, with the folders above it.

        Raises:
            OSError: the disk is full, or may not be written.
            ValueError: there is no such group.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=str(self.path.parent))
        try:
            with os.fdopen(handle, "wb") as file:
                if self.group is not None:
                    os.fchown(handle, -1, self._gid())
                os.fchmod(handle, self.mode)
                file.write(self.data or b"")
                file.flush()
                os.fsync(handle)
            if self.link is not None:
                Path(name).unlink()
                Path(name).symlink_to(self.link)
            Path(name).replace(self.path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _gid(self) -> int:
        try:
            return grp.getgrnam(self.group).gr_gid if isinstance(self.group, str) else self.group or 0
        except KeyError:
            raise ValueError(f"There is no group {self.group}.") from None


def now_at(path: Path) -> Put | None:
    """What is there now, to be put back later; None when nothing is."""
    if path.is_symlink():
        return Put(path, link=os.readlink(str(path)))
    if not path.exists():
        return None
    facts = path.stat()
    return Put(path, path.read_bytes(), mode=stat.S_IMODE(facts.st_mode), group=facts.st_gid)
