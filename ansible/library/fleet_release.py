"""Ansible module: a release on a host, beside the one that runs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

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
_LATER = (408, 429)
_SERVER_ERRORS = 500


class _Wrong(Exception):
    """What a store gave is not what was asked for."""


class _Obstacle(Exception):
    """Why this host does not get its release: one sentence, and all that was said of it."""

    def __init__(self, sentence: str, said: str = "") -> None:
        super().__init__(sentence)
        self.said = said


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "str", "required": True, "no_log": True},  # too long for the host's log
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
            if given["ca_path"] and not Path(given["ca_path"]).is_file():
                raise _Obstacle(f"{given['ca_path']}, which signs the store's certificate, is missing; run site.yml.")
            if program_changes:
                program.put()
            with _alone(folder):
                missing = [file for file in missing if not _in_place(file, folder)]
                for file in missing:
                    _fetch(file, folder, given)
            reports = [_prepare(program.path, arguments) for arguments in given["prepare"]]
        except _Obstacle as obstacle:
            module.fail_json(msg=f"This host keeps what it runs: {obstacle}", stderr=obstacle.said)
        except OSError as error:
            module.fail_json(msg=f"This host keeps what it runs: {error}.")
    module.exit_json(
        changed=program_changes or bool(missing),
        program=program_changes,
        fetched=[_name(file) for file in missing],
        reports=reports,
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for a run that was interrupted on the control machine and still fetches here."""
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
            if not left or _final(error):
                what = f"release {file['version']} ({file['variant']})"
                raise _Obstacle(f"{what} could not be fetched: {_why(error, folder, given)}") from None
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
        lines = done.stderr.strip().splitlines()
        sentence = lines[-1] if lines else f"lipsync-release ended with {done.returncode} and no word."
        raise _Obstacle(sentence, done.stderr)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _final(error: Exception) -> bool:
    """Whether it would be the same a moment later."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < _SERVER_ERRORS and error.code not in _LATER
    return _full(error)


def _full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _why(error: Exception, folder: Path, given: dict[str, Any]) -> str:
    """What happened, without the address, in a sentence."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if _full(error):
        return f"the disk of {folder} is full; make room there."
    if isinstance(error, urllib.error.HTTPError):
        return f"the store answered {error.code} {error.reason}."
    if isinstance(reason, socket.timeout):
        return f"the store was silent for {given['timeout_s']} s."
    if isinstance(error, urllib.error.URLError):
        return f"the store cannot be reached: {reason}."
    if isinstance(error, http.client.HTTPException):
        return f"the store answered what is no HTTP: {error!r}."
    return str(error)


if __name__ == "__main__":
    main()
