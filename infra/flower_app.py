"""Flower on the fleet's queue: `python -m infra.flower_app --port 5555`, loopback unless told otherwise.

Flower's own options come from variables `FLOWER_…`; what is chosen here may be overruled there.
"""

import argparse
import ipaddress
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from infra.celery_app import make_celery_app
from infra.errors import LipsyncError, Rejected
from infra.settings import QUEUE, Settings, read_settings

LOOPBACK = "127.0.0.1"
GUARDS = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH")
CHOICES = {
    "FLOWER_INSPECT_TIMEOUT": "1000",
    "FLOWER_READ_ONLY": "true",  # it watches; the fleet is controlled with `lipsync`
    "FLOWER_ENABLE_EVENTS": "false",  # workers send events anyway, and obey no remote control
    "FLOWER_STATE_SAVE_INTERVAL": "60000",
}


def main(arguments: list[str] | None = None) -> None:
    """Run Flower with the fleet's own settings, so that it decodes the broker's keys as the workers do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=5555)
    parser.add_argument("--db", type=Path, help="File that keeps workers and tasks over a restart.")
    given = parser.parse_args(arguments)
    try:
        _refuse_the_open(given.address)
        settings = read_settings()
    except LipsyncError as error:
        sys.stderr.write(f"flower: {error}\n")
        sys.exit(error.exit_code)
    os.umask(0o077)  # what it keeps is a pickle: nobody else may write it
    for name, value in CHOICES.items():
        os.environ.setdefault(name, value)
    app = make_celery_app(settings, QUEUE)
    app.conf.broker_use_ssl = _tls_options(settings, app.conf.broker_use_ssl)
    kept = [f"--db={given.db}", "--persistent=True"] if given.db else []
    app.start(["flower", f"--address={given.address}", f"--port={given.port}", *kept])


def _refuse_the_open(address: str) -> None:
    """Refuse to show the fleet to a network without a password."""
    if not _is_loopback(address) and not any(os.environ.get(guard) for guard in GUARDS):
        raise Rejected(
            f"Flower on {address} would be open to everybody who reaches it: set FLOWER_BASIC_AUTH=user:password, or "
            f"keep --address {LOOPBACK}."
        )


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _tls_options(settings: Settings, chosen: dict[str, Any] | None) -> dict[str, Any] | None:
    """What Flower's page of the broker must know of TLS: it does not read the options of the address itself."""
    if chosen is None:
        return None
    return chosen | {name: value for name, value in parse_qsl(urlsplit(settings.redis).query) if name[:4] == "ssl_"}


if __name__ == "__main__":
    main()
