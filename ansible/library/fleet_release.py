"""Ansible module: a release on a host, beside the one that runs."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.fleet_put import Put

DOCUMENTATION = """
module: fleet_release
short_description: Fetch releases, bring them up beside the ones that run, and have them examine the host
description:
  - Brings the program that handles releases on a host, fetches what is not there yet, and calls the program with
    C(prepare). All in one visit, since a hundred hosts are visited at once.
  - What is fetched is hashed while it is written, and gets its name when all of it is on the disk and right.
options:
  program:
    description: The text of C(lipsync-release).
    type: str
    required: true
  program_path:
    description: Where it lies on the host.
    type: path
    default: /usr/local/sbin/lipsync-release
  folder:
    description: The folder for what is fetched; setting up a host makes it.
    type: path
    default: /opt/lipsync/images
  files:
    description: What to fetch, as C(lipsync release url --json) says it.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The release's id, which is made from its content; the file gets it as its name.
        type: str
        required: true
      form:
        description: How the name ends.
        type: str
        required: true
      url:
        description: Where it lies; not repeated in what Ansible prints, since a store may have signed it.
        type: str
        required: true
      sha256:
        description: Its digest.
        type: str
        required: true
      bytes:
        description: Its length.
        type: int
        required: true
      version:
        description: Version of the release, for what is said of it.
        type: str
        required: true
      variant:
        description: What it is for.
        type: str
        required: true
  ca_path:
    description: The authority that signs the store's certificate, where the host does not know it.
    type: str
    default: ""
  timeout_s:
    description: Seconds after which a silent store is asked again.
    type: int
    default: 60
  tries:
    description: How often a store is asked that does not answer, or ends in the middle.
    type: int
    default: 3
  pause_s:
    description: Seconds between two tries.
    type: int
    default: 3
  prepare:
    description: Arguments for C(lipsync-release prepare), a list for each slot.
    type: list
    elements: list
    required: true
"""

EXAMPLES = """
- name: Bring a release
  fleet_release:
    program: "{{ lookup('ansible.builtin.file', 'lipsync-release.sh') }}"
    files:
      - id: 22a2193244d26bc1
        form: squashfs
        url: https://store.example/releases/22a2193244d26bc1/lipsync.squashfs
        sha256: 5f9d9cc81d94670b95880fc8cf0f804f2d97053a7d8414dc112fe3709903b474
        bytes: 164376576
        version: 0.2.0
        variant: cpu
    prepare:
      - [current, 22a2193244d26bc1, squashfs, none, doctor]
"""

RETURN = """
program:
  description: Whether the program was brought, or would be in check mode.
  type: bool
  returned: always
fetched:
  description: Names of the files that were fetched, or would be in check mode.
  type: list
  elements: str
  returned: always
reports:
  description: What C(lipsync-release prepare) said of each slot; nothing in check mode.
  type: list
  elements: dict
  returned: always
"""

_BLOCK_BYTES = 1 << 18
_SERVER_ERRORS = 500


class _Wrong(Exception):
    """What a store gave is not what was asked for."""


class _Obstacle(Exception):
    """Why this host does not get its release: one sentence."""


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "str", "required": True},
            "program_path": {"type": "path", "default": "/usr/local/sbin/lipsync-release"},
            "folder": {"type": "path", "default": "/opt/lipsync/images"},
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    **{
                        name: {"type": "str", "required": True}
                        for name in ("id", "form", "sha256", "version", "variant")
                    },
                    "url": {"type": "str", "required": True, "no_log": True},
                    "bytes": {"type": "int", "required": True},
                },
            },
            "ca_path": {"type": "str", "default": ""},
            "timeout_s": {"type": "int", "default": 60},
            "tries": {"type": "int", "default": 3},
            "pause_s": {"type": "int", "default": 3},
            "prepare": {"type": "list", "elements": "list", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    folder = Path(given["folder"])
    program = Put(Path(given["program_path"]), given["program"].encode(), mode=0o755)
    program_changes = not program.in_place()
    missing = [file for file in given["files"] if not _in_place(file, folder)]
    reports = []
    if not module.check_mode:
        try:
            if not folder.is_dir():
                raise _Obstacle("it has not been set up; run site.yml for it.")
            if program_changes:
                program.put()
            for file in missing:
                _fetch(file, folder, given)
            reports = [_prepare(program.path, arguments) for arguments in given["prepare"]]
        except _Obstacle as obstacle:
            module.fail_json(msg=f"This host keeps what it runs: {obstacle}")
        except OSError as error:
            module.fail_json(msg=f"This host keeps what it runs: {_why(error)}")
    module.exit_json(
        changed=program_changes or bool(missing),
        program=program_changes,
        fetched=[_name(file) for file in missing],
        reports=reports,
    )


def _in_place(file: dict[str, Any], folder: Path) -> bool:
    """Whether a file is there and right; what has been brought up proved that before."""
    path = folder / _name(file)
    if any(next((folder.parent / kind / file["id"]).glob("*"), None) for kind in ("releases", "layers")):
        return path.is_file()
    return path.is_file() and _sha256(path) == file["sha256"]


def _name(file: dict[str, Any]) -> str:
    return f"{file['id']}.{file['form']}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _fetch(file: dict[str, Any], folder: Path, given: dict[str, Any]) -> None:
    for left in reversed(range(given["tries"])):
        try:
            _fetch_once(file, folder, given)
        except (OSError, http.client.HTTPException, _Wrong) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < _SERVER_ERRORS
            if not left or refused or _full(error):
                what = f"release {file['version']} ({file['variant']})"
                raise _Obstacle(f"{what} could not be fetched: {_why(error)}") from None
            time.sleep(given["pause_s"])
        else:
            return


def _fetch_once(file: dict[str, Any], folder: Path, given: dict[str, Any]) -> None:
    part = folder / f".{_name(file)}.part"
    secure = file["url"].startswith("https:")
    context = ssl.create_default_context(cafile=given["ca_path"] or None) if secure else None
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    length = 0
    try:
        answer = urllib.request.urlopen(file["url"], timeout=given["timeout_s"], context=context)  # noqa: S310
        with answer, part.open("wb") as kept:
            while got := answer.readinto(block):
                length += got
                digest.update(block[:got])
                kept.write(block[:got])
            kept.flush()
            os.fsync(kept.fileno())
        if length < file["bytes"]:
            raise _Wrong(f"the store ended after {length} of {file['bytes']} bytes.")
        if digest.hexdigest() != file["sha256"]:
            raise _Wrong("what lies in the store does not match its digest; push it again.")
        part.replace(folder / _name(file))
    finally:
        if part.exists():
            part.unlink()


def _prepare(program: Path, arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [str(program), "prepare", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise _Obstacle(said[-1] if said else f"lipsync-release ended with {done.returncode} and no word.")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _why(error: Exception) -> str:
    """What happened, without the address, in a sentence."""
    if _full(error):
        return "the disk of /opt/lipsync is full; make room there."
    if isinstance(error, urllib.error.HTTPError):
        return f"the store answered {error.code} {error.reason}."
    if isinstance(error, urllib.error.URLError):
        return f"the store cannot be reached: {error.reason}."
    return str(error)


if __name__ == "__main__":
    main()
