"""Events of one process, counted where they happen, until somebody takes the counts to where they are kept."""

from collections import Counter
from threading import Lock


class Counts:
    """Named numbers that any thread may add to."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def add(self, name: str, number: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._counts[name] += number

    def take(self, name: str) -> int:
        """What was counted since it was taken last."""
        with self._lock:
            return self._counts.pop(name, 0)


STORE_ERRORS = "store_errors"

counts = Counts()
"""Those of this process."""
