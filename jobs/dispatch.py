"""The dispatcher: compares the ledger with time and rings for what should be under way.

Level-triggered and idempotent: submit, every finish and a timer in every worker call it, and it does not matter how
often. There is no scheduler process to lose.
"""

import math
from collections.abc import Callable, Collection

from jobs.ledger import Ledger

Ring = Callable[[str, str], None]
"""Put a message for (job, part) on the queue."""

MIN_WINDOW = 2
PARTS_PER_WORKER = 2
"""One that it works on, and one that waits in the queue so that it never has to."""
STALE_OFFER_S = 30.0
"""An offer that nobody took for so long, while the queue is empty, was lost on its way."""
FORGOTTEN_OFFER_S = 300.0
"""With messages still queued an offer may just be waiting; after so long it is rung again all the same."""
NEVER_S = 10 * 365 * 24 * 3600.0
"""While nobody takes messages, ringing again would only pile them up."""


def window_size(parts: int, unfinished: Collection[int]) -> int:
    """How many parts of one job, whichever it is, may be offered or claimed at a time.

    The share is the same for all jobs, and what those leave that have fewer parts goes to the others: a job that is
    down to its last part must not keep half of the workers idle.

    Args:
        parts: of all jobs together that should be offered or claimed.
        unfinished: parts of each job that are not finished.
    """
    for position, wanted in enumerate(sorted(unfinished)):
        share = parts / (len(unfinished) - position)
        if wanted > share:
            return max(MIN_WINDOW, math.ceil(share))
        parts -= wanted
    return max(MIN_WINDOW, max(unfinished, default=0))


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
    unfinished = ledger.unfinished()
    alive = ledger.workers_alive()
    window = window_size(PARTS_PER_WORKER * alive, unfinished.values())
    stale_s = STALE_OFFER_S
    if queue_depth:
        stale_s = FORGOTTEN_OFFER_S if alive else NEVER_S
    rung = 0
    for job in unfinished if jobs is None else jobs:
        for part in ledger.offer(job, window, stale_s):
            ring(job, part)
            rung += 1
    return rung
