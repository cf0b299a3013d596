"""Holding a claim while the work is done: renewed in the background, checked between batches."""

import threading
import time
from types import TracebackType
from typing import Self

import structlog

from infra.errors import ClaimLost, LipsyncError, Transient
from jobs.ledger import CLAIM_TTL_S, Ledger

log = structlog.get_logger(__name__)

RENEW_EVERY_S = 10.0
CHECK_EVERY_S = 0.25
"""Asking the ledger after every frame would cost a busy GPU more than it is worth."""


class ClaimKeeper:
    """Keeps one claim alive from a thread, and tells the working thread when to stop.

    A ledger that does not answer is no reason to stop before the claim has run out.
    """

    def __init__(self, ledger: Ledger, job: str, part: str, attempt: int) -> None:
        self._ledger, self._job, self._part, self._attempt = ledger, job, part, attempt
        self._frames = 0
        self._verdict = "held"
        self._held_at_s = self._asked_at_s = time.monotonic()
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._handed_back = False
        self._thread = threading.Thread(target=self._keep, name=f"claim-{part}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join()

    def hand_back(self) -> None:
        """Make the next check raise; safe in a signal handler, as no lock is taken."""
        self._handed_back = True

    @property
    def handed_back(self) -> bool:
        """Whether the worker was told to give its work back."""
        return self._handed_back

    def check(self, frames: int | None = None) -> None:
        """Between batches: is the work still wanted?

        Args:
            frames: frames rendered so far, reported to the ledger.

        Raises:
            ClaimLost: it is not, or no longer ours.
        """
        if frames is not None:
            self._frames = frames
        if self._handed_back:
            raise ClaimLost("This worker was told to stop.")
        if time.monotonic() - self._asked_at_s >= CHECK_EVERY_S:
            self._renew()
        if self._verdict != "held":
            raise ClaimLost(f"The claim on part {self._part} of job {self._job} is {self._verdict}.")

    def _keep(self) -> None:
        while not self._leaving.wait(RENEW_EVERY_S):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            now_s = self._asked_at_s = time.monotonic()
            try:
                self._verdict = self._ledger.renew(self._job, self._part, self._attempt, self._frames)
                self._held_at_s = now_s
            except Transient as error:
                log.warning("claim_not_renewed", error=str(error))
                self._asked_at_s = time.monotonic() + RENEW_EVERY_S  # leave the asking to the thread for a while
                if now_s - self._held_at_s > CLAIM_TTL_S:
                    self._verdict = "lost"
            except LipsyncError as error:
                log.error("claim_not_renewed", error=str(error))
                self._verdict = "lost"
