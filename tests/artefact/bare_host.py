"""A host with a C library, a shell and nothing else: no Python, no packages, no writable disk.

It is a folder that a process is locked into (`unshare` and `chroot`), with a release mounted read-only in it.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers import missing

_PROGRAMS = ("sh", "env", "readlink", "ln", "touch")
_LIBRARIES = ("libc", "libm", "libmvec", "libdl", "libpthread", "librt", "libutil", "libresolv")
_ENTER = """
set -e
mount --bind "$HOST" "$HOST"
mount --rbind /dev "$HOST/dev"
mount --rbind /proc "$HOST/proc"
if [ -f "$RELEASE" ]; then
    mount -t squashfs -o loop,ro "$RELEASE" "$HOST$PLACE"
else
    mount --bind "$RELEASE" "$HOST$PLACE"
    mount -o remount,bind,ro "$HOST$PLACE"
fi
mount -o remount,bind,ro "$HOST"
exec chroot "$HOST" /bin/sh -c 'cd "$1"; shift; exec "$@"' enter "$@"
"""


class BareHost:
    """One host; a release is mounted anew for each command that runs on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("bin", "dev", "proc", "tmp", "etc"):
            (root / folder).mkdir(parents=True)
        for program in _PROGRAMS:
            found = shutil.which(program)
            if not found:
                missing(f"there is no {program} here")
            shutil.copy(Path(found).resolve(), root / "bin" / program)
        for path in _shared_libraries():
            target = root / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.resolve(), target)

    def run(
        self,
        release: Path,
        place: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        folder: str = "/",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in `folder` of the host, with the release (an image or a tree) mounted at `place`."""
        (self.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        words = ["unshare", "--mount", *users, "env", "-i", f"PATH={os.environ['PATH']}"]
        words += [f"HOST={self.root}", f"RELEASE={release.absolute()}", f"PLACE={place}"]
        inside = ["/bin/env", "-i"]
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        return subprocess.run(
            [*words, "sh", "-c", _ENTER, "enter", folder, *inside, *given, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def _shared_libraries() -> list[Path]:
    """What the copied programs load, and the rest of the C library, at the paths where a loader looks."""
    paths: set[Path] = set()
    for program in _PROGRAMS:
        said = subprocess.run(["ldd", str(shutil.which(program))], capture_output=True, text=True, check=True).stdout
        paths.update(Path(word) for word in said.split() if word.startswith("/"))
    folder = next(path for path in paths if path.name == "libc.so.6").parent
    paths.update(path for name in _LIBRARIES for path in folder.glob(f"{name}.so.*"))
    return sorted(paths)
