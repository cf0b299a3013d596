"""The dispatcher: compares the ledger with time and rings for what should be under way.

Level-triggered and idempotent: submit, every finish and a timer in every worker call it, and it does not matter how
often. There is no scheduler process to lose.
"""

import math
from collections.abc import Callable

from jobs.ledger import Ledger

Ring = Callable[[str, str], None]
"""Put a message for (job, part) on the queue."""

MIN_WINDOW = 2
STALE_OFFER_S = 30.0
"""An offer that nobody took for so long, while the queue is empty, was lost on its way."""
FORGOTTEN_OFFER_S = 300.0
"""With messages still queued an offer may just be waiting; after so long it is rung again all the same."""


def window_size(workers: int, active_jobs: int) -> int:
    """Parts of one job that are offered or claimed at a time: twice its share of the workers."""
    return max(MIN_WINDOW, math.ceil(2 * workers / max(active_jobs, 1)))


def dispatch(ledger: Ledger, ring: Ring, queue_depth: int, jobs: list[str] | None = None) -> int:
    """Ring for every part that is due.

    Args:
        ledger: the truth.
        ring: puts one message on the queue.
        queue_depth: messages that wait there now.
        jobs: only these; by default all active ones.

    Returns:
        How many messages were sent.
    """
    active = ledger.active()
    window = window_size(ledger.workers_alive(), len(active))
    stale_s = FORGOTTEN_OFFER_S if queue_depth else STALE_OFFER_S
    rung = 0
    for job in active if jobs is None else jobs:
        for part in ledger.offer(job, window, stale_s):
            ring(job, part)
            rung += 1
    return rung
