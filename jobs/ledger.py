"""The ledger: the truth about every job. The queue is only a doorbell.

One contract, two books: `ledger_redis` keeps it in Redis, each operation one atomic script; `ledger_memory` keeps the
same rules in a dictionary. All operations are safe to repeat: messages may arrive twice, late and in any order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ulid import ULID

from jobs.states import JobState, PartState

CLAIM_TTL_S = 30.0
"""A claim that is not renewed for so long is void."""
FAILURE_WEIGHT = 10
"""What one failure counts towards `max_attempts * FAILURE_WEIGHT`, at which a part is quarantined."""
TRANSIENT_WEIGHT = 1
"""A store or network that does not answer is forgiven ten times as often as a failure."""
MAX_DELAY_S = 60.0
LEAVE_TO_OTHERS_S = 1.0
"""How soon a part is offered again that a worker declined: it failed it last, or cannot do it."""
WORKER_TTL_S = 30.0
"""A worker that says nothing for so long is counted on no more."""
UNWATCHED_S = 30.0
"""Claims that run out while nobody looks after a job for so long are nobody's fault."""
REMOVAL_TTL_S = 60.0
"""How long a removal of an avatar keeps others away unless it says so again: more than the few answers of Redis and the
store, of some 10 s each at worst, that lie between two such words; and what one must wait for when it was killed."""
HANDED_BACK_WEIGHT = 0
"""A worker that is told to stop hands its part back, and that counts for nothing."""


@dataclass(frozen=True)
class JobTicket:
    """What the ledger must know of a job to run it; all else is in the manifest."""

    job: str
    chunks_total: int
    frames_total: int
    max_attempts: int
    avatar: str
    owner: str
    idempotency_key: str | None = None

    @property
    def born_ms(self) -> int:
        """When the job id was made, in milliseconds since the epoch; the same however often the job is opened."""
        return int(ULID.from_str(self.job).milliseconds)


class Claim(NamedTuple):
    """The answer to somebody who wants a part.

    `verdict` is `claimed`, or the reason why not: `done`, `taken`, `quarantined`, `early` (assembly before its time),
    `others` (the caller failed this part last, and other workers are alive), `drained` (the caller's host takes no more
    work), `unknown` (no such job or part), or the job's state when that forbids work: `paused`, `failed`,
    `cancelled`, `done`.
    """

    verdict: str
    attempt: int = 0

    @property
    def granted(self) -> bool:
        """Whether the part is the caller's now."""
        return self.verdict == "claimed"


class Record(NamedTuple):
    """What counts of a finished part: the attempt, the digest and size of its object, and its frames."""

    attempt: int
    sha256: str
    size: int
    frames: int = 0


@dataclass(frozen=True)
class JobView:
    """One job as the ledger sees it at one moment; times are seconds since the epoch by Redis' clock."""

    job: str
    state: JobState
    chunks_total: int
    chunks_done: int
    chunks_failed: int
    frames_total: int
    frames_done: int
    """Frames of finished chunks, and those that claimed ones report to have rendered."""
    avatar: str
    owner: str
    created_s: float
    started_s: float | None
    updated_s: float
    now_s: float
    output: str | None
    error: str | None


class Ledger(Protocol):
    """The contract. Every method may raise `Unreachable`."""

    def open(self, ticket: JobTicket, done: dict[str, Record] | None = None) -> str:
        """Open a job and return its id; with a known idempotency key, the id of the job that was opened with it.

        `done` are parts known to be finished, when a job is opened again from what the store holds.
        """

    def find(self, owner: str, idempotency_key: str) -> str | None:
        """The job that was opened with this idempotency key."""

    def offer(self, job: str, window: int, stale_s: float) -> list[str]:
        """Choose the parts to ring for now, so that at most `window` are offered or claimed.

        Claims past their deadline are voided and counted, offers older than `stale_s` are rung again.
        """

    def upcoming(self, job: str) -> str | None:
        """The part that was offered last and is not taken: what a busy worker is likely to be told of next.

        A hint and no more: when all workers are equally fast, each has taken one part by then.
        """

    def claim(self, job: str, part: str, worker: str) -> Claim:
        """Ask for a part."""

    def renew(self, job: str, part: str, attempt: int, frames: int) -> str:
        """Prolong a claim and report its frames so far: `held`, `lost`, or `cancelled`, which ends the claim."""

    def finish(self, job: str, part: str, record: Record, output: str | None = None) -> str:
        """Record a finished part once: `recorded`, `duplicate`, `cancelled` or `unknown`.

        The first finish wins, whoever holds the claim: the frames are the same by contract.
        """

    def fail(self, job: str, part: str, attempt: int, error: str, weight: int, delay_s: float) -> str:
        """Give a part back: `again`, `quarantined` (the job has failed now) or `lost` (it was not the caller's).

        It is offered again after `delay_s`, doubled with every failure up to `MAX_DELAY_S`; at once with weight 0.
        """

    def leave(self, job: str, part: str, attempt: int, reason: str) -> str:
        """Give a part back that the caller cannot do and another worker may: `others`, or `lost` (it was not its own).

        That counts for nothing, and the part is offered again after `LEAVE_TO_OTHERS_S`. While nobody works on the job,
        `reason` is its error: what it waits for.
        """

    def move(self, job: str, target: JobState, error: str | None = None) -> JobState | None:
        """Move a job if that is legal; return the state it is in afterwards, None when there is no such job."""

    def retry(self, job: str, parts: Iterable[str] | None = None) -> JobState | None:
        """Take quarantined parts (all, or those named) out of quarantine and let a failed job go on."""

    def view(self, job: str) -> JobView | None:
        """One job, None when the ledger does not know it."""

    def part_state(self, job: str, part: str) -> PartState:
        """Where one part stands."""

    def records(self, job: str) -> dict[str, Record]:
        """All finished parts."""

    def quarantine(self, job: str) -> dict[str, str]:
        """Quarantined parts and their last error."""

    def unfinished(self) -> dict[str, int]:
        """Jobs that may still move by themselves, oldest first, each with its parts that are not finished."""

    def jobs_of(self, avatar: str) -> dict[str, JobState]:
        """Jobs of an avatar that the ledger knows, each with its state; an opened job is never missing."""

    def begin_removal(self, avatar: str, token: str) -> bool:
        """Whether the one with this token may remove an avatar: nobody else does, for `REMOVAL_TTL_S` from now.

        Asked again with the same token, it says whether that still holds, and prolongs it.
        """

    def end_removal(self, avatar: str, token: str) -> None:
        """The one with this token removes the avatar no more; that of another goes on."""

    def latest(self, count: int) -> list[JobView]:
        """The newest jobs, newest first."""

    def worker_seen(self, worker: str, facts: str = "{}") -> bool:
        """A worker `name@host` is alive, with what it says of itself: whether it may take work.

        It may not while its host is drained, and then it does not count among the living.
        """

    def worker_gone(self, worker: str) -> None:
        """A worker takes its leave."""

    def workers_alive(self) -> int:
        """Workers that take work and were seen within the last half minute."""

    def drain(self, host: str) -> None:
        """Workers of a host take no more work; what they hold they finish."""

    def undrain(self, host: str) -> None:
        """Workers of a host take work again."""

    def drained(self) -> frozenset[str]:
        """Hosts that take no more work."""

    def tally(self, increments: Mapping[str, float], token: str | None = None) -> None:
        """Add to what is counted over the life of the fleet, see `jobs.tallies`.

        With a token, which is remembered for ten minutes, doing so twice does it once.
        """

    def tallies(self) -> dict[str, float]:
        """All that was counted."""

    def my_turn(self, what: str, period_s: float) -> bool:
        """Whether nobody has done `what` within the period; the one who is told True does it."""
