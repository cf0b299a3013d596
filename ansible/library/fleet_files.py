"""Ansible module: many files of a host in one visit."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible.module_utils.fleet_put import Put, now_at

DOCUMENTATION = """
module: fleet_files
short_description: Put many files of a host in place in one visit
description:
  - Every task costs a host some tenths of a second of CPU and the control machine a round trip, whatever it does; this
    one does for any number of files what C(template), C(copy) and C(file) do for one each.
  - A file is replaced in one step, and only when it differs. Missing folders above it are made.
options:
  files:
    description: The files, in the order in which they are put in place.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file shall be.
        type: path
        required: true
      content:
        description: Its text.
        type: str
      secret:
        description: Its text, when nobody shall read it in what Ansible prints.
        type: str
      link:
        description: Where a symbolic link shall lead, instead of a file.
        type: str
      mode:
        description: Permissions of the file, octal.
        type: str
        default: "0644"
      group:
        description: The group that it belongs to; by default that of who runs the module.
        type: str
      then:
        description:
          - Commands for when this file was changed. They run before the next file is written; one that several
            changed files name runs after the last of them.
          - Where one fails, the files that name it become what they were before, so that the next run does all that
            again.
        type: list
        elements: list
"""

EXAMPLES = """
- name: Describe a unit and start it whenever the host boots
  fleet_files:
    files:
      - path: /etc/systemd/system/example.service
        content: "{{ lookup('ansible.builtin.template', 'example.service.j2') }}"
        then: [[systemctl, daemon-reload]]
      - path: /etc/systemd/system/multi-user.target.wants/example.service
        link: /etc/systemd/system/example.service
        then: [[systemctl, daemon-reload]]
"""

RETURN = """
written:
  description: Paths of the files that were changed, or would be in check mode.
  type: list
  elements: str
  returned: always
"""


@dataclass(frozen=True)
class _Entry:
    put: Put
    then: list[list[str]]
    secret: bool


def main() -> None:
    """Run as a module of Ansible."""
    texts: dict[str, dict[str, Any]] = {"content": {"type": "str"}, "secret": {"type": "str", "no_log": True}}
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    **texts,
                    "link": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "group": {"type": "str"},
                    "then": {"type": "list", "elements": "list", "default": []},
                },
                "mutually_exclusive": [("content", "secret", "link")],
                "required_one_of": [("content", "secret", "link")],
            }
        },
        supports_check_mode=True,
    )
    try:
        entries = [_entry(**file) for file in module.params["files"]]
        changes = [entry for entry in entries if not entry.put.in_place()]
        diff = [_difference(entry.put) for entry in changes if not entry.secret]
        if not module.check_mode:
            _apply(changes)
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"{' '.join(error.cmd)} ended with {error.returncode}: {error.output.strip()}")
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changes), written=[str(entry.put.path) for entry in changes], diff=diff)


def _entry(
    path: str,
    content: str | None,
    secret: str | None,
    link: str | None,
    mode: str,
    group: str | None,
    then: list[list[str]],
) -> _Entry:
    text = secret if content is None else content
    data = None if text is None else text.encode()
    try:
        bits = int(mode, 8)
    except ValueError:
        raise ValueError(f"{mode} is no mode: give octal digits, such as 0644.") from None
    return _Entry(Put(Path(path), data, link, bits, group), then, secret is not None)


def _apply(changes: list[_Entry]) -> None:
    before = {entry.put.path: now_at(entry.put.path) for entry in changes}
    for at, entry in enumerate(changes):
        entry.put.put()
        for command in entry.then:
            if any(command in later.then for later in changes[at + 1 :]):
                continue
            try:
                _run(command)
            except (OSError, subprocess.CalledProcessError):
                _restore({each.put.path: before[each.put.path] for each in changes[: at + 1] if command in each.then})
                raise


def _run(command: list[str]) -> None:
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def _restore(before: dict[Path, Put | None]) -> None:
    for path, was in before.items():
        if was is None:
            path.unlink()
        else:
            was.put()


def _difference(put: Put) -> dict[str, str]:
    was = now_at(put.path)
    return {
        "before_header": str(put.path),
        "after_header": str(put.path),
        "before": _text(was) if was else "",
        "after": _text(put),
    }


def _text(put: Put) -> str:
    if put.data is None:
        return f"a link to {put.link}\n"
    return put.data.decode(errors="replace")


if __name__ == "__main__":
    main()
