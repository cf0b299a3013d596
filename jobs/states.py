"""States of jobs and of their parts, and which moves are legal. Pure.

A job consists of parts, each done exactly once: the chunks `0 … n-1`, the encoded audio track (`audio`), and, when all
of those are done, `assemble`. One mechanism (offer, claim, renew, finish, fail) serves all three kinds.
"""

from enum import StrEnum

AUDIO_PART = "audio"
ASSEMBLE_PART = "assemble"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    ASSEMBLING = "assembling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def offers(self) -> bool:
        """Whether parts are offered and may be claimed in this state."""
        return self in OFFERING


class PartState(StrEnum):
    """Where a part of a job stands."""

    PENDING = "pending"
    OFFERED = "offered"
    CLAIMED = "claimed"
    DONE = "done"
    QUARANTINED = "quarantined"


LEGAL_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.ASSEMBLING, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.ASSEMBLING, JobState.FAILED, JobState.CANCELLED}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.ASSEMBLING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.ASSEMBLING, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.CANCELLED: frozenset(),
}

ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""States in which nothing moves unless somebody asks for it."""

OFFERING = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.ASSEMBLING})
"""States in which parts are offered and may be claimed."""


def may_move(state: JobState, target: JobState) -> bool:
    """Whether a job in `state` may move to `target`."""
    return target in LEGAL_MOVES[state]


def states_before(target: JobState) -> frozenset[JobState]:
    """The states from which `target` may be reached in one move."""
    return frozenset(state for state, targets in LEGAL_MOVES.items() if target in targets)
