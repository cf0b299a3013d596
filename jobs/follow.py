"""Follow a job until it ends."""

import time
from collections.abc import Iterator

from infra.object_store import ObjectStore
from jobs.ledger import Ledger
from jobs.status import Status, read_status

POLL_S = 0.2  # the ledger has no bell for watchers, and a look costs five short commands


def follow(job: str, ledger: Ledger, store: ObjectStore) -> Iterator[Status]:
    """Yield a job's status whenever it has changed, the last time when it has ended.

    Raises:
        NotFound: there is no such job.
    """
    last: Status | None = None
    while True:
        status = read_status(job, ledger, store)
        if status != last:
            yield status
            last = status
        if status.ended:
            return
        time.sleep(POLL_S)
