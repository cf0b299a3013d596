"""Releases to deploy: real ones, built here, and some that no host should keep."""

import os
import platform
import sys
from pathlib import Path

from infra.artefact.packing import normalise, pack_squashfs, pack_tar
from infra.release_record import ReleaseFile, ReleaseRecord, TreeRecord, record_json
from infra.tree_digest import ID_DIGITS, RELEASE_JSON, file_sha256, tree_files, tree_sha256
from tests.hosts.commands import run

_ROOT = Path(__file__).parents[2]
_BUILD_S = 600.0

REFUSED = """\
#!/bin/sh
# The running release's own examination, with a demand that no host here can meet.
export LIPSYNC_PROVIDERS=cuda
exec /opt/lipsync/current/bin/lipsync "$@"
"""
"""A release that is not fit for any host of the tests."""

STILLBORN = """\
#!/bin/sh
# Passes every examination, as the running release does, and cannot work.
[ "$1" != worker ] || { echo "this release has no worker" >&2; exit 1; }
exec /opt/lipsync/current/bin/lipsync "$@"
"""
"""A release whose fault shows only after the switch."""


def build(variant: str, label: str, out: Path) -> Path:
    """Build a release and give its record's file.

    Where `LIPSYNC_TEST_RELEASES` names a folder with a build of that label, whoever made it, that one is taken.
    """
    kept = os.environ.get("LIPSYNC_TEST_RELEASES")
    name = f"*+{label}-{variant}-linux-*.release.json"
    if kept and (found := sorted(Path(kept).absolute().glob(name))):
        return found[-1]
    command = (sys.executable, "-m", "infra.artefact", "--variant", variant, "--build", label, "--out", out)
    run(*command, timeout_s=_BUILD_S, cwd=_ROOT)
    return next(out.glob(name))


def make_faulty(launcher: str, label: str, out: Path) -> Path:
    """Make a release that is nothing but a launcher, and give its record's file."""
    tree = out / f"{label}-tree"
    program = tree / "bin" / "lipsync"
    program.parent.mkdir(parents=True)
    program.write_text(launcher)
    program.chmod(0o755)
    facts = TreeRecord(version=f"0.0.0+{label}", variant="cpu", machine=platform.machine(), python=None, glibc=None)
    (tree / RELEASE_JSON).write_bytes(record_json(facts))
    normalise(tree)
    sha256 = tree_sha256(tree)
    known = facts.model_copy(update={"id": sha256[:ID_DIGITS], "tree_sha256": sha256})
    (tree / RELEASE_JSON).write_bytes(record_json(known))
    pack_squashfs(tree, out / f"{label}.squashfs")
    pack_tar(tree, out / f"{label}.tar.zst")
    (out / f"{label}.bom.json").write_text("{}")
    files = {
        form: ReleaseFile(name=path.name, sha256=file_sha256(path), bytes=path.stat().st_size)
        for form, path in {
            "squashfs": out / f"{label}.squashfs",
            "tar.zst": out / f"{label}.tar.zst",
            "bom": out / f"{label}.bom.json",
        }.items()
    }
    size = sum(path.stat().st_size for path in tree_files(tree) if path.is_file())
    record = ReleaseRecord.model_validate({**known.model_dump(by_alias=True), "tree_bytes": size, "files": files})
    path = out / f"{label}.release.json"
    path.write_bytes(record_json(record))
    return path
