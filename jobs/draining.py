"""Taking hosts out of the fleet's work, and letting them back in."""

import time
from collections.abc import Callable

from infra.errors import Rejected, Transient
from jobs.fleet_state import FleetView, Held
from jobs.ledger_redis import RedisLedger

POLL_S = 0.5


def drain_host(host: str, ledger: RedisLedger) -> list[Held]:
    """Let a host take no more work; what its workers hold they finish.

    Returns:
        Parts that its workers hold.

    Raises:
        Rejected: no host of this name has workers, nor had any in the last hour.
    """
    fleet = ledger.fleet()
    _demand_known(host, fleet)
    ledger.drain(host)
    return ledger.holding(host)


def resume_host(host: str, ledger: RedisLedger) -> None:
    """Let a host take work again.

    Raises:
        Rejected: no host of this name is known.
    """
    fleet = ledger.fleet()
    _demand_known(host, fleet)
    ledger.undrain(host)


def wait_until_free(host: str, ledger: RedisLedger, patience_s: float, say: Callable[[str], object]) -> None:
    """Wait until no worker of a host holds a part.

    Raises:
        Transient: some still do after `patience_s`.
    """
    give_up_s = time.monotonic() + patience_s
    said = None
    while busy := ledger.holding(host):
        parts = ", ".join(f"{held.worker.partition('@')[0]}: {held.job} {held.part}" for held in busy)
        if parts != said:
            say(f"{host} still works: {parts}")
            said = parts
        if time.monotonic() > give_up_s:
            raise Transient(f"{host} still works after {patience_s:.0f} s ({parts}): wait longer, or stop its workers.")
        time.sleep(POLL_S)


def _demand_known(host: str, fleet: FleetView) -> None:
    known = {worker.facts.host for worker in fleet.workers} | fleet.drained_hosts
    if host not in known:
        there_are = ", ".join(sorted(known)) or "none"
        raise Rejected(f"There is no host {host[:80]!r} in this fleet; known are: {there_are}.")
