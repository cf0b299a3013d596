"""One module of `ansible/library`, run on this machine by Ansible itself."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import missing

_PLAYBOOKS = Path(__file__).parents[2] / "ansible"
_ANSIBLE = Path(sys.executable).parent / "ansible"
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What a module said.

    Attributes:
        result: its result.
        printed: all that Ansible printed about it.
    """

    result: dict[str, Any]
    printed: str

    @property
    def changed(self) -> bool:
        """Whether it changed anything, or would."""
        return bool(self.result["changed"])


def call(module: str, arguments: Mapping[str, object], *options: str, failed: bool = False) -> Answer:
    """Run a module and expect it to succeed, or to fail; options are those of the command `ansible`."""
    if not _ANSIBLE.exists():
        missing("Ansible is not installed: run `make control`.")
    done = subprocess.run(
        [str(_ANSIBLE), "localhost", "--module-name", module, "--args", json.dumps(arguments), *options],
        cwd=_PLAYBOOKS,
        env=os.environ | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert (done.returncode != 0) is failed, done.stdout
    result, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("=> {") + 3)
    return Answer(result, done.stdout)
