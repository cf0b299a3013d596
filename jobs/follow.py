"""Follow a job until it ends."""

import time
from collections.abc import Callable, Iterator

from infra.errors import Transient
from infra.object_store import ObjectStore
from jobs.ledger import Ledger
from jobs.status import Status, read_status

PATIENCE_S = 60.0
POLL_S = 0.2  # the ledger has no bell for watchers, and a look costs five short commands


def follow(
    job: str, ledger: Ledger, store: ObjectStore, between: Callable[[], object] = lambda: None
) -> Iterator[Status]:
    """Yield a job's status whenever it has changed, the last time when it has ended.

    Args:
        job: its id.
        ledger: looked at again and again.
        store: knows the jobs that the ledger forgot.
        between: called between two looks; what it raises ends the following.

    Raises:
        NotFound: there is no such job.
        Transient: the ledger has not answered for a while; the job itself may be well.
    """
    last: Status | None = None
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            status = read_status(job, ledger, store)
        except Transient:
            if last is None or time.monotonic() > give_up_s:
                raise
        else:
            give_up_s = time.monotonic() + PATIENCE_S
            if status != last:
                yield status
                last = status
            if status.ended:
                return
        between()
        time.sleep(POLL_S)
