"""One job in the ledger in memory."""

from collections import defaultdict
from dataclasses import dataclass, field

from jobs import tallies
from jobs.ledger import FAILURE_WEIGHT, UNWATCHED_S, JobTicket, Record
from jobs.states import ENDED, OFFERING, JobState


@dataclass
class Book:
    """One job. Times are seconds by the ledger's clock."""

    ticket: JobTicket
    created_s: float
    tallies: defaultdict[str, float]
    state: JobState = JobState.QUEUED
    next_chunk: int = 0
    started_s: float | None = None
    updated_s: float = 0.0
    output: str | None = None
    error: str | None = None
    offered: dict[str, float] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    holders: dict[str, tuple[int, str]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    quarantine: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)
    culprits: dict[str, str] = field(default_factory=dict)
    swept_s: float = 0.0
    first_segment_s: float | None = None

    def enter(self, state: JobState) -> None:
        self.state = state
        if state in ENDED:
            self.tallies[tallies.field(tallies.JOBS_ENDED, state)] += 1

    @property
    def all_done(self) -> bool:
        return len(self.records) >= self.ticket.chunks_total + 1

    def is_held(self, part: str, attempt: int) -> bool:
        return part in self.holders and self.holders[part][0] == attempt

    def release(self, part: str) -> None:
        for book in (self.claims, self.holders, self.progress):
            book.pop(part, None)

    def tell_cancelled(self, part: str, attempt: int) -> bool:
        """Whether the job was cancelled. Who is told so holds the part no more."""
        if self.state is not JobState.CANCELLED:
            return False
        if self.is_held(part, attempt):
            self.release(part)
        return True

    def fail(self, reason: str) -> None:
        if self.state in OFFERING:
            self.error = reason
            self.enter(JobState.FAILED)

    def under_way(self) -> None:
        """What an unfailed job waited for, it waits for no more."""
        if self.state is not JobState.FAILED:
            self.error = None

    def count_failure(self, part: str, worker: str, weight: int, reason: str) -> bool:
        """Whether the part may be tried again."""
        if weight == 0:
            return True
        self.culprits[part] = worker
        self.failures[part] = self.failures.get(part, 0) + weight
        if self.failures[part] < self.ticket.max_attempts * FAILURE_WEIGHT:
            return True
        self.quarantine[part] = reason
        self.tallies[tallies.QUARANTINES] += 1
        self.offered.pop(part, None)
        self.again.pop(part, None)
        self.fail(reason)
        return False

    def void_claim(self, part: str, now_s: float) -> bool:
        """Whether the part may be tried again."""
        _, worker = self.holders[part]
        self.release(part)
        self.tallies[tallies.CLAIMS_EXPIRED] += 1
        weight = 0 if now_s - self.swept_s > UNWATCHED_S else FAILURE_WEIGHT
        return self.count_failure(part, worker, weight, f"part {part}: its worker {worker} vanished")
