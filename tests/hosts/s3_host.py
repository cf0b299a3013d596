"""A host that serves S3: a network namespace in which a real S3 server runs, reached by hosts and by this machine.

Run as a program it is that server: it prints how it is reached as one line of JSON and serves until it is terminated.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from tests.hosts.hosts import Hosts
from tests.servers import S3Server, moto_server, process, swift_server

_ROOT = Path(__file__).parents[2]


@contextmanager
def s3_host(hosts: Hosts, name: str = "s3") -> Iterator[S3Server]:
    """A host that serves S3, by moto, or by Swift where `LIPSYNC_TEST_SWIFT` names one."""
    address, within = hosts.space(name)
    folder = hosts.folder / name
    folder.mkdir()
    ready = folder / "ready.json"
    command = [*within, sys.executable, "-m", "tests.hosts.s3_host", "--address", address, "--folder", folder]
    with process(command, hosts.log(name), ready.exists, os.environ | {"PYTHONPATH": str(_ROOT)}):
        yield S3Server(**json.loads(ready.read_text()))


def main() -> None:
    """Serve on one address until SIGTERM."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--address", required=True)
    options.add_argument("--folder", type=Path, required=True)
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, _end)
    server = swift_server if os.environ.get("LIPSYNC_TEST_SWIFT") else moto_server
    with server(chosen.folder, chosen.address) as running:
        unfinished = chosen.folder / "ready.json.part"
        unfinished.write_text(json.dumps(asdict(running)))
        unfinished.rename(chosen.folder / "ready.json")
        signal.pause()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
