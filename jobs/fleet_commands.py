"""The commands `lipsync fleet`, `lipsync fleet drain` and `lipsync fleet resume`."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import Transient
from jobs.console import Json, print_result, say

if TYPE_CHECKING:
    from jobs.ledger_redis import RedisLedger

REFRESH_S = 1.0

fleet_app = typer.Typer(help="Look at the fleet, and take hosts out of its work.", add_completion=False)

Host = Annotated[str, typer.Argument(metavar="HOST", help="A host as `lipsync fleet` names it.")]


@fleet_app.callback(invoke_without_command=True)
def fleet(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print it once, on a terminal, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show hosts, devices, versions, rates, what each worker renders, and what waits; live on a terminal."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console

    from jobs.fleet_picture import fleet_document, fleet_tables

    ledger = _ledger()
    view = ledger.fleet()
    if as_json:
        print_result(fleet_document(view), "", as_json=True)
    elif once or not sys.stdout.isatty():
        Console(width=None if sys.stdout.isatty() else 200).print(fleet_tables(view))
    else:
        _live()


def _live() -> None:
    from rich.live import Live
    from rich.text import Text

    from jobs.fleet_picture import fleet_tables

    ledger = _ledger()
    with Live(fleet_tables(ledger.fleet()), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_S)
            try:
                live.update(fleet_tables(ledger.fleet()), refresh=True)
            except Transient as error:  # Redis may come back
                live.update(Text(str(error)), refresh=True)


@fleet_app.command()
def drain(
    host: Host,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="TIME", help="Wait until it holds no part, so long at most: 10m.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a host take no more work; what its workers hold they finish. It stays so until `lipsync fleet resume`."""
    from jobs.draining import drain_host, wait_until_free
    from jobs.estimate import parse_duration

    patience_s = parse_duration(wait) if wait is not None else None
    ledger = _ledger()
    busy = drain_host(host, ledger)
    if patience_s is not None:
        wait_until_free(host, ledger, patience_s, say)
        busy = []
    document = {
        "host": host,
        "drained": True,
        "holds": [{"worker": held.worker, "job_id": held.job, "part": held.part} for held in busy],
    }
    still = f"; {len(busy)} of its workers finish what they hold" if busy else "; it holds no part"
    print_result(document, f"{host} is drained{still}", as_json=as_json)


@fleet_app.command()
def resume(host: Host, as_json: Json = False) -> None:
    """Let a drained host take work again."""
    from jobs.draining import resume_host

    resume_host(host, _ledger())
    print_result({"host": host, "drained": False}, f"{host} takes work", as_json=as_json)


def _ledger() -> "RedisLedger":
    from infra.settings import read_settings
    from jobs.ledger_redis import RedisLedger

    return RedisLedger(read_settings())
