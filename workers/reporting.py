"""What a worker adds to the fleet's counts, and what it shows its parent: nothing here may disturb the work."""

import time
from collections import defaultdict
from contextlib import suppress
from uuid import uuid4

from infra.counting import STORE_ERRORS, counts
from infra.errors import LipsyncError
from jobs import tallies
from jobs.fleet_state import host_of
from jobs.ledger import Ledger
from workers.noticeboard import Noticeboard
from workers.stopwatch import Stage, Stopwatch

WHOLE = "whole"


class Reporter:
    """Reports for one worker process; what the ledger does not take is told it again after the next part."""

    def __init__(self, ledger: Ledger, worker: str, board: Noticeboard) -> None:
        self._ledger = ledger
        self._worker = worker
        self._board = board
        self._untold: defaultdict[str, float] = defaultdict(float)
        self._batches: dict[str, dict[str, float]] = {}

    def ready(self, provider: str, device_name: str, started_s: float) -> None:
        """Loaded and proved: a worker from now on.

        Args:
            provider: what its networks run on.
            device_name: what that is.
            started_s: when the worker's process began, seconds since the epoch.
        """
        cold_start_s = max(time.time() - started_s, 0.0)
        self._board.introduce(
            {"provider": provider, "device_name": device_name, "cold_start_s": round(cold_start_s, 3)}
        )
        self._count({tallies.field(tallies.WORKER_STARTS, host_of(self._worker)): 1})
        self._count(tallies.observation(tallies.COLD_START_S, cold_start_s))
        self._tell()

    def frame(self) -> None:
        """One more frame is rendered."""
        self._board.frame()

    def chunk(self, frames: int, seconds: float, stopwatch: Stopwatch) -> None:
        """A chunk is rendered and stored, `seconds` after it was begun."""
        self._board.chunk(frames, seconds)
        for stage in Stage:
            self._count(tallies.observation(tallies.STAGE_S, stopwatch.spent_s(stage), stage.replace(" ", "_")))
        self._count(tallies.observation(tallies.STAGE_S, seconds, WHOLE))

    def ended(self, verdict: str, frames: int = 0) -> None:
        """A part is done with; `frames` were recorded by it."""
        self._count({tallies.field(tallies.PARTS_ENDED, verdict): 1})
        if verdict == "lost":
            self._count({tallies.CLAIMS_LOST: 1})
        if frames:
            self._count({tallies.field(tallies.FRAMES_RENDERED, self._worker): frames})
        self._tell()

    def _count(self, increments: dict[str, float]) -> None:
        for name, number in increments.items():
            self._untold[name] += number

    def _tell(self) -> None:
        errors = counts.take(STORE_ERRORS)
        if errors:
            self._count({tallies.field(tallies.STORE_ERRORS, self._worker): errors})
        self._batches[uuid4().hex] = dict(self._untold)
        self._untold.clear()
        with suppress(LipsyncError):
            for token in list(self._batches):
                self._ledger.tally(self._batches[token], token)  # said twice, where the answer was lost, it counts once
                del self._batches[token]
