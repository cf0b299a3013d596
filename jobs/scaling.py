"""How many workers a fleet should have: a hint that an autoscaler may follow. Pure; the clock is that of Redis.

Up at once, since work waits. Down only when fewer have been enough for a while, and by more than a little, since
starting a worker costs more than letting one idle.
"""

import math
from collections import deque
from typing import Final

from infra.settings import Settings
from jobs.fleet_state import FleetView

TOLERANCE: Final = 0.1
"""A fleet that is larger than needed by no more than this share of it stays as it is."""


class ScaleHint:
    """The hint, with the memory that it needs to be calm; one object for the life of whoever tells it."""

    def __init__(self, target_s: float, minimum: int, maximum: int, hold_s: float) -> None:
        """Begin with no memory.

        Args:
            target_s: seconds in which all that is queued shall be rendered.
            minimum: workers that are kept when there is nothing to do.
            maximum: workers that are never exceeded; it wins over all else.
            hold_s: for so long fewer workers must have been enough before the hint goes down.
        """
        self._target_s = target_s
        self._bounds = minimum, maximum
        self._hold_s = hold_s
        self._hint: int | None = None
        self._worker_fps: float | None = None
        self._needs: deque[tuple[float, int]] = deque()  # when, and how many workers were needed then
        self._since_s = 0.0

    @classmethod
    def of(cls, settings: Settings) -> "ScaleHint":
        """What the settings `LIPSYNC_SCALE_…` say."""
        return cls(settings.scale_target_s, settings.scale_min, settings.scale_max, settings.scale_hold_s)

    def update(self, fleet: FleetView) -> int:
        """Look at the fleet and say how many workers it should have; never fewer than are busy, within the bounds."""
        self._worker_fps = worker_fps(fleet) or self._worker_fps
        need = workers_needed(fleet, self._worker_fps, self._target_s)
        if self._hint is None or fleet.now_s < self._needs[-1][0]:  # the beginning, or a Redis with another clock
            self._hint = max(need, len(fleet.able), self._hint or 0)
            self._needs.clear()
            self._since_s = fleet.now_s
        self._needs.append((fleet.now_s, need))
        while self._needs[0][0] < fleet.now_s - self._hold_s:
            self._needs.popleft()
        lately = max(need for _, need in self._needs)
        if need > self._hint:
            self._hint = need
        elif fleet.now_s - self._since_s >= self._hold_s and self._hint - lately > TOLERANCE * self._hint:
            self._hint = lately
        self._hint = self._bounded(max(self._hint, busy_workers(fleet)))
        return self._hint

    def _bounded(self, workers: int) -> int:
        least, most = self._bounds
        return min(max(workers, least), most)


def worker_fps(fleet: FleetView) -> float | None:
    """Frames per second of one worker that has work, the mean of those that have shown it; None when none has."""
    return fleet.pace_fps / len(fleet.able) if fleet.pace_fps else None


def busy_workers(fleet: FleetView) -> int:
    """Workers that hold a part, those of drained hosts left out: they go in any case."""
    return sum(worker.part is not None for worker in fleet.able)


def workers_needed(fleet: FleetView, fps: float | None, target_s: float) -> int:
    """Workers that render what is queued within the target; no more than there are parts.

    Args:
        fleet: with its backlog.
        fps: of one worker; None when nobody knows, and then one is needed to find out.
        target_s: seconds.
    """
    parts = fleet.waiting_parts + sum(job.in_flight_parts for job in fleet.offering)
    if not parts:
        return 0
    wanted = math.ceil(fleet.frames_left / (fps * target_s)) if fps else 1
    return min(max(wanted, 1), parts)
