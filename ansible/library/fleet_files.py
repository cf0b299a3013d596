"""Ansible module: many files of a host in one visit."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

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
        description: Its text is one of I(secrets), the one with this name.
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
            changed files name runs once, after the last of them, and so does what comes after it in a list.
          - Where one fails, the files that name it become what they were before, so that the next run does all that
            again.
        type: list
        elements: list
      proof:
        description:
          - A command that ends with 0 where those have been run. Where it does not, the file counts as changed.
        type: list
        elements: str
  secrets:
    description: Texts of files that nobody shall read in what Ansible prints, nor in the host's log.
    type: dict
    default: {}
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


_TEXTS = ("content", "secret", "link")


@dataclass(frozen=True)
class _Entry:
    put: Put
    then: list[list[str]]
    proof: list[str]
    secret: bool

    def settled(self) -> bool:
        return self.put.in_place() and (not self.proof or _ends_well(self.proof))


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    **{name: {"type": "str", "no_log": False} for name in _TEXTS},
                    "mode": {"type": "str", "default": "0644"},
                    "group": {"type": "str"},
                    "then": {"type": "list", "elements": "list", "default": []},
                    "proof": {"type": "list", "elements": "str", "default": []},
                },
                "mutually_exclusive": [_TEXTS],
                "required_one_of": [_TEXTS],
            },
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        entries = [_entry(module.params["secrets"], **file) for file in module.params["files"]]
        changes = [entry for entry in entries if not entry.settled()]
        diff = [_difference(entry.put) for entry in changes if not entry.secret]
        if not module.check_mode:
            _apply(changes)
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"{' '.join(error.cmd)} ended with {error.returncode}: {error.output.strip()}")
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changes), written=[str(entry.put.path) for entry in changes], diff=diff)


def _entry(
    secrets: dict[str, str],
    path: str,
    content: str | None,
    secret: str | None,
    link: str | None,
    mode: str,
    group: str | None,
    then: list[list[str]],
    proof: list[str],
) -> _Entry:
    if secret is not None and secret not in secrets:
        raise ValueError(f"There is no secret {secret} for {path}.")
    text = content if secret is None else secrets[secret]
    data = None if text is None else text.encode()
    try:
        bits = int(mode, 8)
    except ValueError:
        raise ValueError(f"{mode} is no mode: give octal digits, such as 0644.") from None
    return _Entry(Put(Path(path), data, link, bits, group), then, proof, secret is not None)


def _apply(changes: list[_Entry]) -> None:
    before = {entry.put.path: now_at(entry.put.path) for entry in changes}
    for entry, commands in zip(changes, _commands(changes)):
        entry.put.put()
        for command in commands:
            try:
                _run(command)
            except (OSError, subprocess.CalledProcessError):
                _restore({each.put.path: before[each.put.path] for each in changes if command in each.then})
                raise


def _commands(changes: list[_Entry]) -> list[list[list[str]]]:
    """What runs after each of the changed files has been written."""
    after: list[list[list[str]]] = [[] for _ in changes]
    for own, entry in enumerate(changes):
        at = own
        for command in entry.then:
            at = max([at, *(other for other, named in enumerate(changes) if command in named.then)])
            if command not in after[at]:
                after[at].append(command)
    return after


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


def _ends_well(command: list[str]) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False).returncode == 0


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
