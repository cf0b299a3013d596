"""The ledger in memory: the same rules as `lua/`, for tests and simulations. It obeys the whole contract."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from jobs import tallies
from jobs.fleet_state import host_of
from jobs.ledger import (
    CLAIM_TTL_S,
    LEAVE_TO_OTHERS_S,
    MAX_DELAY_S,
    REMOVAL_TTL_S,
    WORKER_TTL_S,
    Claim,
    JobTicket,
    JobView,
    Record,
)
from jobs.ledger_memory_book import Book
from jobs.states import ASSEMBLE_PART, AUDIO_PART, OFFERING, JobState, PartState, may_move


class MemoryLedger:
    """See `jobs.ledger.Ledger`."""

    def __init__(self, claim_ttl_s: float = CLAIM_TTL_S, clock: Callable[[], float] = time.time) -> None:
        self._claim_ttl_s = claim_ttl_s
        self._clock = clock
        self._jobs: dict[str, Book] = {}
        self._once: dict[tuple[str, str], str] = {}
        self._workers: dict[str, float] = {}
        self._drained: set[str] = set()
        self._tallies: defaultdict[str, float] = defaultdict(float)
        self._told: set[str | None] = set()
        self._turns: dict[str, float] = {}
        self._removals: dict[str, tuple[str, float]] = {}

    def open(self, ticket: JobTicket, done: dict[str, Record] | None = None) -> str:
        if ticket.idempotency_key is not None:
            known = self._once.setdefault((ticket.owner, ticket.idempotency_key), ticket.job)
            if known != ticket.job:
                return known
        if ticket.job not in self._jobs:
            now_s = self._clock()
            book = Book(ticket, now_s, self._tallies, updated_s=now_s, swept_s=now_s)
            self._tallies[tallies.JOBS_SUBMITTED] += 1
            book.records.update(done or {})
            if AUDIO_PART not in book.records:
                book.again[AUDIO_PART] = 0.0
            self._jobs[ticket.job] = book
        return ticket.job

    def find(self, owner: str, idempotency_key: str) -> str | None:
        return self._once.get((owner, idempotency_key))

    def offer(self, job: str, window: int, stale_s: float) -> list[str]:
        book, now = self._jobs.get(job), self._clock()
        if book is None or book.state not in OFFERING:
            return []
        for part in [part for part, deadline in book.claims.items() if deadline <= now]:
            if book.void_claim(part, now):
                book.again[part] = now
        book.swept_s = now
        if book.quarantine:
            book.fail(next(iter(book.quarantine.values())))
            return []
        if book.state is not JobState.ASSEMBLING and book.all_done:
            book.state = JobState.ASSEMBLING
            book.again[ASSEMBLE_PART] = now
        ring = [part for part, since in book.offered.items() if since <= now - stale_s]
        room = max(window - len(book.offered) - len(book.claims), 0)
        due = sorted((part for part, since in book.again.items() if since <= now), key=book.again.__getitem__)
        for part in due[:room]:
            del book.again[part]
            ring.append(part)
            room -= 1
        while room > 0 and book.next_chunk < book.ticket.chunks_total:
            part = str(book.next_chunk)
            if part not in book.records and part not in book.claims:
                ring.append(part)
                room -= 1
            book.next_chunk += 1
        book.offered.update(dict.fromkeys(ring, now))
        return ring

    def upcoming(self, job: str) -> str | None:
        book = self._jobs.get(job)
        offered = {} if book is None else book.offered
        return max(offered, key=lambda part: (offered[part], part), default=None)

    def claim(self, job: str, part: str, worker: str) -> Claim:
        book, now = self._jobs.get(job), self._clock()
        if book is None:
            return Claim("unknown")
        refusal = self._refusal(book, part)
        if refusal:
            if refusal in (JobState.PAUSED, JobState.FAILED) and book.offered.pop(part, None) is not None:
                book.again[part] = now  # the message is used up: offer it again as soon as the job goes on
            return Claim(refusal)
        if part in book.claims:
            if book.claims[part] > now:
                return Claim("taken")
            if not book.void_claim(part, now):
                return Claim("quarantined")
        drained = host_of(worker) in self._drained
        if drained or (book.culprits.get(part) == worker and self.workers_alive() > 1):
            book.offered.pop(part, None)
            book.again[part] = now + LEAVE_TO_OTHERS_S
            return Claim("drained" if drained else "others")
        age = int(now - book.ticket.born_ms / 1000) + 1
        attempt = book.attempts[part] = max(book.attempts.get(part, 0) + 1, age)
        self._tallies[tallies.ATTEMPTS] += 1
        book.claims[part] = now + self._claim_ttl_s
        book.holders[part] = (attempt, worker)
        book.offered.pop(part, None)
        book.again.pop(part, None)
        book.started_s = now if book.started_s is None else book.started_s
        book.updated_s = now
        if book.state is JobState.QUEUED:
            book.state = JobState.RUNNING
        return Claim("claimed", attempt)

    @staticmethod
    def _refusal(book: Book, part: str) -> str | None:
        exists = part in (AUDIO_PART, ASSEMBLE_PART) or int(part) < book.ticket.chunks_total
        reasons = (
            (book.state in (JobState.CANCELLED, JobState.DONE), str(book.state)),
            (part in book.records, "done"),
            (part in book.quarantine, "quarantined"),
            (book.state in (JobState.PAUSED, JobState.FAILED), str(book.state)),
            (part == ASSEMBLE_PART and book.state is not JobState.ASSEMBLING, "early"),
            (not exists, "unknown"),
        )
        return next((reason for holds, reason in reasons if holds), None)

    def renew(self, job: str, part: str, attempt: int, frames: int) -> str:
        book = self._jobs.get(job)
        if book is None:
            return "lost"
        if book.tell_cancelled(part, attempt):
            return "cancelled"
        if not book.is_held(part, attempt):
            return "lost"
        book.claims[part] = self._clock() + self._claim_ttl_s
        book.progress[part] = frames
        book.under_way()
        return "held"

    def finish(self, job: str, part: str, record: Record, output: str | None = None) -> str:
        book = self._jobs.get(job)
        if book is None:
            return "unknown"
        if book.tell_cancelled(part, record.attempt):
            return "cancelled"
        if part in book.records:
            return "duplicate"
        book.records[part] = record
        book.release(part)
        if part.isdigit() and book.first_segment_s is None:
            book.first_segment_s = self._clock()
            waited_s = book.first_segment_s - book.created_s
            self.tally(tallies.observation(tallies.FIRST_SEGMENT_S, waited_s))
        mended = list(book.quarantine) == [part]
        for each in (book.offered, book.again, book.attempts, book.failures, book.quarantine, book.culprits):
            each.pop(part, None)
        book.updated_s = self._clock()
        book.under_way()
        if part == ASSEMBLE_PART:
            book.output, book.error = output, None
            book.enter(JobState.DONE)
        elif book.state is JobState.FAILED and mended:
            book.error, book.state = None, JobState.QUEUED
        elif book.state is JobState.RUNNING and book.all_done:
            book.state = JobState.ASSEMBLING
            book.again[ASSEMBLE_PART] = self._clock()
        return "recorded"

    def fail(self, job: str, part: str, attempt: int, error: str, weight: int, delay_s: float) -> str:
        book = self._jobs.get(job)
        if book is None or not book.is_held(part, attempt):
            return "lost"
        worker = book.holders[part][1]
        book.release(part)
        if book.state in (JobState.CANCELLED, JobState.DONE):
            return "lost"
        book.updated_s = self._clock()
        if not book.count_failure(part, worker, weight, error):
            return "quarantined"
        doubled = 2 ** (book.failures[part] / weight - 1) if weight else 0
        book.again[part] = self._clock() + min(delay_s * doubled, MAX_DELAY_S)
        return "again"

    def leave(self, job: str, part: str, attempt: int, reason: str) -> str:
        book = self._jobs.get(job)
        if book is None or not book.is_held(part, attempt):
            return "lost"
        book.release(part)
        if book.state in (JobState.CANCELLED, JobState.DONE):
            return "lost"
        book.culprits.pop(part, None)
        book.again[part] = self._clock() + LEAVE_TO_OTHERS_S
        if book.state in OFFERING and not book.claims:
            book.error = reason
        return "others"

    def move(self, job: str, target: JobState, error: str | None = None) -> JobState | None:
        book = self._jobs.get(job)
        if book is None:
            return None
        if may_move(book.state, target):
            book.under_way()
            book.enter(target)
            book.updated_s = self._clock()
            book.error = error or book.error
        return book.state

    def retry(self, job: str, parts: Iterable[str] | None = None) -> JobState | None:
        book = self._jobs.get(job)
        if book is None:
            return None
        if book.state is not JobState.FAILED:
            return book.state
        for part in list(parts or book.quarantine):
            if book.quarantine.pop(part, None) is not None:
                book.failures.pop(part, None)
                book.again[part] = self._clock()
        if not book.quarantine:
            book.error, book.state = None, JobState.QUEUED
            if book.all_done:
                book.state = JobState.ASSEMBLING
                book.again[ASSEMBLE_PART] = self._clock()
        return book.state

    def view(self, job: str) -> JobView | None:
        book = self._jobs.get(job)
        if book is None:
            return None
        return JobView(
            job=job,
            state=book.state,
            chunks_total=book.ticket.chunks_total,
            chunks_done=sum(part.isdigit() for part in book.records),
            chunks_failed=len(book.quarantine),
            frames_total=book.ticket.frames_total,
            frames_done=sum(record.frames for record in book.records.values()) + sum(book.progress.values()),
            avatar=book.ticket.avatar,
            owner=book.ticket.owner,
            created_s=book.created_s,
            started_s=book.started_s,
            updated_s=book.updated_s,
            now_s=self._clock(),
            output=book.output,
            error=book.error,
        )

    def part_state(self, job: str, part: str) -> PartState:
        book = self._jobs.get(job)
        if book is None:
            return PartState.PENDING
        found = (
            (part in book.records, PartState.DONE),
            (part in book.quarantine, PartState.QUARANTINED),
            (part in book.claims, PartState.CLAIMED),
            (part in book.offered, PartState.OFFERED),
        )
        return next((state for holds, state in found if holds), PartState.PENDING)

    def records(self, job: str) -> dict[str, Record]:
        book = self._jobs.get(job)
        return dict(book.records) if book else {}

    def quarantine(self, job: str) -> dict[str, str]:
        book = self._jobs.get(job)
        return dict(book.quarantine) if book else {}

    def unfinished(self) -> dict[str, int]:
        active = {job: book for job, book in self._jobs.items() if book.state in OFFERING}
        return {job: book.ticket.chunks_total + 2 - len(book.records) for job, book in active.items()}

    def jobs_of(self, avatar: str) -> dict[str, JobState]:
        return {job: book.state for job, book in self._jobs.items() if book.ticket.avatar == avatar}

    def begin_removal(self, avatar: str, token: str) -> bool:
        holder, until_s = self._removals.get(avatar, (token, 0.0))
        if holder != token and until_s > self._clock():
            return False
        self._removals[avatar] = (token, self._clock() + REMOVAL_TTL_S)
        return True

    def end_removal(self, avatar: str, token: str) -> None:
        if self._removals.get(avatar, ("", 0.0))[0] == token:
            del self._removals[avatar]

    def latest(self, count: int) -> list[JobView]:
        views = (self.view(job) for job in reversed(self._jobs))
        return [view for view in views if view is not None][:count]

    def worker_seen(self, worker: str, facts: str = "{}") -> bool:  # noqa: ARG002  (nobody looks at this fleet)
        if host_of(worker) in self._drained:
            self._workers.pop(worker, None)
            return False
        self._workers[worker] = self._clock()
        return True

    def worker_gone(self, worker: str) -> None:
        self._workers.pop(worker, None)

    def workers_alive(self) -> int:
        return sum(seen > self._clock() - WORKER_TTL_S for seen in self._workers.values())

    def drain(self, host: str) -> None:
        self._drained.add(host)
        self._workers = {worker: seen for worker, seen in self._workers.items() if host_of(worker) != host}

    def undrain(self, host: str) -> None:
        self._drained.discard(host)

    def drained(self) -> frozenset[str]:
        return frozenset(self._drained)

    def tally(self, increments: Mapping[str, float], token: str | None = None) -> None:
        if token in self._told:
            return
        self._told |= {token} - {None}
        for name, number in increments.items():
            self._tallies[name] += number

    def tallies(self) -> dict[str, float]:
        return dict(self._tallies)

    def my_turn(self, what: str, period_s: float) -> bool:
        if self._turns.get(what, 0.0) > self._clock():
            return False
        self._turns[what] = self._clock() + period_s
        return True
