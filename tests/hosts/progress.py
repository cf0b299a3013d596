"""How a job comes along, as its owner sees it: when each chunk was finished, and what was done twice."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from types import TracebackType

from jobs import tallies
from jobs.ledger_redis import RedisLedger
from tests.servers import wait_until

_LOOK_EVERY_S = 0.05
_TELL_S = 10.0


class Progress:
    """Looks at one job in a thread until the block ends, and at what the fleet counts meanwhile."""

    def __init__(self, ledger: RedisLedger, submit: Callable[[], str]) -> None:
        self._ledger = ledger
        self._submit = submit
        self.job = ""
        self._before = ledger.tallies()
        self._finished_at_s: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Progress":
        self.job = self._submit()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if error is None:
            self._wait_until_told()  # else the next who counts would count the rest of this

    @property
    def slowest_pause_s(self) -> float:
        """The longest time between two chunks that were finished one after the other."""
        times = self._finished_at_s
        return max(later - sooner for sooner, later in pairwise(times))

    def counted(self) -> dict[str, float]:
        """What the fleet has counted since before the job: claims, and parts by what came of them."""
        self._wait_until_told()
        return self._count()

    def _wait_until_told(self) -> None:
        """Workers tell what came of a part a moment after the ledger knows."""

        def all_told() -> bool:
            counted = self._count()
            return 2 * counted["attempts"] == sum(counted.values())

        with suppress(TimeoutError):  # the dead tell nothing
            wait_until(all_told, _TELL_S, "the workers to have told all")

    def _count(self) -> dict[str, float]:
        now = self._ledger.tallies()
        gained = {name: now[name] - self._before.get(name, 0) for name in now}
        verdicts = {labels[0]: count for labels, count in tallies.counter_values(tallies.PARTS_ENDED, gained).items()}
        return {
            "attempts": gained.get(tallies.ATTEMPTS, 0),
            "claims_expired": gained.get(tallies.CLAIMS_EXPIRED, 0),
            **{verdict: count for verdict, count in sorted(verdicts.items()) if count},
        }

    def frames_by_host(self) -> dict[str, float]:
        """Frames that the workers of each host have recorded since the beginning."""
        now, before = (
            tallies.counter_values(tallies.FRAMES_RENDERED, book) for book in (self._ledger.tallies(), self._before)
        )
        frames: dict[str, float] = {}
        for (worker,), count in now.items():
            host = worker.rpartition("@")[2]
            frames[host] = frames.get(host, 0) + count - before.get((worker,), 0)
        return frames

    def _watch(self) -> None:
        known = 0
        while not self._end.wait(_LOOK_EVERY_S):
            view = self._ledger.view(self.job)
            done = view.chunks_done if view else 0
            self._finished_at_s += [time.monotonic()] * (done - known)
            known = max(done, known)
