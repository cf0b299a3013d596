"""The control machine, which is this one: an inventory with its secrets, the playbooks, and the command `lipsync`."""

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

from infra.settings import Settings
from tests.hosts.commands import run
from tests.hosts.hosts import Hosts
from tests.servers import S3Server

_ROOT = Path(__file__).parents[2]
_PLAYBOOKS = _ROOT / "ansible"
_PROGRAMS = Path(sys.executable).parent
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
_HEAD = re.compile(r"(?:TASK|RUNNING HANDLER) \[(.*)\]")
_ANSWER = re.compile(r"(?:ok|changed|failed|fatal): \[([^\] ]+)")
_PLAY_S = 900.0
_USERS = ("fleet", "operator", "monitor", "flower")


@dataclass(frozen=True)
class Recap:
    """What a playbook did on one host: numbers of tasks."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class Task:
    """One task or handler, on all hosts.

    Attributes:
        name: its role and name.
        wall_s: from its beginning to that of the next.
        answers: when each host was done with it, in seconds from its beginning, and which.
    """

    name: str
    wall_s: float
    answers: list[tuple[float, str]]


@dataclass(frozen=True)
class Played:
    """One run of a playbook."""

    code: int
    output: str
    hosts: dict[str, Recap]
    tasks: list[Task]
    wall_s: float
    cpu_s: float
    """Of Ansible, its workers and its ssh on this machine."""

    @property
    def changed(self) -> dict[str, int]:
        """Hosts on which something was changed, and how much."""
        return {host: recap.changed for host, recap in self.hosts.items() if recap.changed}


@dataclass
class Control:
    """What an operator has: hosts to reach, a store, and a folder with the fleet's inventory."""

    hosts: Hosts
    s3: S3Server
    folder: Path
    passwords: dict[str, str] = field(default_factory=lambda: {who: token_urlsafe(12) for who in _USERS}, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.store = f"s3://{self.s3.make_bucket()}/fleet"
        self._sockets = self.folder / "ssh"
        self._sockets.mkdir()

    # --- the inventory -------------------------------------------------------------------------------------------

    @property
    def inventory(self) -> Path:
        """The inventory's folder."""
        return self.folder / "inventory"

    def describe(self, groups: Mapping[str, Sequence[str]], variables: Mapping[str, object]) -> None:
        """Write the inventory: hosts by group, and what this fleet sets besides where it is and its secrets."""
        fleet = {
            "lipsync_command": str(_PROGRAMS / "lipsync"),
            "lipsync_store": self.store,
            "lipsync_s3_endpoint": self.s3.endpoint,
            "lipsync_s3_region": "us-east-1",
            "lipsync_s3_access_key": self.s3.access_key,
            "lipsync_s3_secret_key": self.s3.secret_key,
            "lipsync_time_sync_required": False,  # the hosts' clock is this machine's
            "lipsync_redis_memory_mb": 128,
            **{f"lipsync_redis_{user}_password": self.passwords[user] for user in ("fleet", "operator", "monitor")},
            "lipsync_flower_password": self.passwords["flower"],
        }
        login = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.hosts.key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={self.hosts.known_hosts}",
        }
        described = {
            group: {"hosts": {name: {"ansible_host": self.hosts.address(name)} for name in names}}
            for group, names in groups.items()
        }
        described["workers"] = {"children": {group: {} for group in groups if group.startswith("workers_")}}
        (self.inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        (self.inventory / "hosts.json").write_text(json.dumps(described, indent=1))
        (self.inventory / "group_vars" / "all.json").write_text(json.dumps(fleet | login | dict(variables), indent=1))

    # --- what an operator does -----------------------------------------------------------------------------------

    def play(self, playbook: str, *arguments: str, code: int = 0, **variables: object) -> Played:
        """Run a playbook and expect it to succeed, or with another `code` to fail; variables are extra ones."""
        command = [
            *(str(_PROGRAMS / "ansible-playbook"), "--inventory", str(self.inventory / "hosts.json"), playbook),
            *arguments,
            *(["--extra-vars", json.dumps(variables)] if variables else []),
        ]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPSYNC_", "AWS_"))}
        here = {
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",  # else a task is named when its first host has answered
        }
        played = _run(command, kept | here, self.folder / "playbooks.log")
        assert (played.code == 0) is (code == 0), f"the playbook ended with {played.code}\n{played.output[-8000:]}"
        return played

    def lipsync(self, *arguments: str | Path, code: int = 0, timeout_s: float = 300.0) -> str:
        """Run `lipsync` on this machine as an operator, expect it to end with `code`, and give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def redis_url(self, user: str = "fleet", scheme: str = "rediss", password: str | None = None) -> str:
        """Where the fleet's Redis is, for one of its users; by default as everything but an operator calls it."""
        address = self.hosts.address("redis")
        tls = f"?ssl_ca_certs={self.inventory / 'tls' / 'ca.pem'}" if scheme == "rediss" else ""
        return f"{scheme}://{user}:{password or self.passwords[user]}@{address}:6379/0{tls}"

    def settings(self, **more: object) -> Settings:
        """The settings of a client of this fleet."""
        given = {
            "redis_url": self.redis_url(),
            "store": self.store,
            "s3_endpoint": self.s3.endpoint,
            "home": self.folder / "home",
            "cache": self.folder / "cache",
            "providers": "cpu",
        }
        return Settings.model_validate(given | more)

    def environment(self) -> dict[str, str]:
        """The same for another process."""
        settings = self.settings()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPSYNC_", "AWS_"))}
        return kept | {
            **self.s3.environment,
            "NO_PROXY": "*",
            "LIPSYNC_REDIS_URL": settings.redis,
            "LIPSYNC_STORE": settings.store,
            "LIPSYNC_S3_ENDPOINT": self.s3.endpoint,
            "LIPSYNC_HOME": str(settings.home),
            "LIPSYNC_CACHE": str(settings.cache),
            "LIPSYNC_PROVIDERS": settings.providers,
        }

    def close(self) -> None:
        """End the connections that Ansible keeps open."""
        for socket in self._sockets.iterdir():
            with suppress(RuntimeError):  # its host has gone, and soon it notices
                run("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "host")


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Played:
    began_s, cpu_before_s = time.monotonic(), _cpu_of_children_s()
    lines: list[tuple[float, str]] = []
    with (
        log.open("a", buffering=1) as book,
        subprocess.Popen(
            command,
            cwd=_PLAYBOOKS,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        limit = threading.Timer(_PLAY_S, process.terminate)
        limit.start()
        try:
            for line in process.stdout:
                lines.append((time.monotonic() - began_s, line))
                book.write(f"{lines[-1][0]:7.1f} {line}")
        except BaseException:
            process.terminate()
            raise
        finally:
            limit.cancel()
    output = "".join(line for _, line in lines)
    return Played(
        code=process.returncode,
        output=output,
        hosts=dict(_recaps(output)),
        tasks=list(_tasks(lines)),
        wall_s=time.monotonic() - began_s,
        cpu_s=_cpu_of_children_s() - cpu_before_s,
    )


def _tasks(lines: Sequence[tuple[float, str]]) -> Iterator[Task]:
    """What ran, in order: a task lasts until the next begins."""
    name, began_s, answers = "", 0.0, list[tuple[float, str]]()
    for at_s, line in [*lines, (lines[-1][0], "PLAY RECAP")]:
        if line.startswith(("TASK [", "RUNNING HANDLER [", "PLAY ")):
            if name:
                yield Task(name, at_s - began_s, answers)
            head = _HEAD.match(line)
            name, began_s, answers = head[1] if head else "", at_s, []
        elif answer := _ANSWER.match(line):
            answers.append((at_s - began_s, answer[1]))


def _recaps(output: str) -> Iterator[tuple[str, Recap]]:
    for host, *numbers in _RECAP.findall(output):
        yield host, Recap(*map(int, numbers))


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
