"""What is known of a job: from the ledger while it has it, from the store for good."""

import json
from dataclasses import asdict, dataclass

from infra.errors import NotFound
from infra.object_store import ObjectStore
from jobs import keys
from jobs.ledger import JobView, Ledger
from jobs.manifest import read_manifest
from jobs.states import ENDED, JobState


@dataclass(frozen=True)
class Status:
    """One job, as `lipsync status --json` prints it; `fps` in frames per second, `eta_s` in seconds."""

    job_id: str
    state: JobState
    frames_total: int
    frames_done: int
    chunks_total: int
    chunks_done: int
    chunks_failed: int
    fps: float | None
    eta_s: float | None
    output: str | None
    error: str | None

    def document(self) -> dict[str, object]:
        """The fields in JSON's types."""
        return asdict(self) | {"state": str(self.state)}

    @property
    def ended(self) -> bool:
        """Whether nothing moves any more unless somebody asks for it."""
        return self.state in ENDED


def status_from_view(view: JobView) -> Status:
    """Derive rate and remaining time: frames since the first claim, by the ledger's clock."""
    fps = None
    if view.started_s is not None and view.frames_done:
        until_s = view.updated_s if view.state in ENDED else view.now_s
        fps = view.frames_done / max(until_s - view.started_s, 0.001)
    left = view.frames_total - view.frames_done
    return Status(
        job_id=view.job,
        state=view.state,
        frames_total=view.frames_total,
        frames_done=view.frames_done,
        chunks_total=view.chunks_total,
        chunks_done=view.chunks_done,
        chunks_failed=view.chunks_failed,
        fps=None if fps is None else round(fps, 2),
        eta_s=None if fps is None or view.state in ENDED else round(left / fps, 1),
        output=view.output,
        error=view.error,
    )


def read_status(job: str, ledger: Ledger, store: ObjectStore) -> Status:
    """One job's status.

    Raises:
        NotFound: neither the ledger nor the store knows the job.
    """
    view = ledger.view(keys.job_id(job))
    return status_from_view(view) if view is not None else _status_from_store(job, store)


def _status_from_store(job: str, store: ObjectStore) -> Status:
    """A job that the ledger has forgotten: done, cancelled, or interrupted by the loss of Redis' data."""
    manifest = read_manifest(job, store)
    state, output, error = JobState.CANCELLED, None, None
    if store.size(keys.tombstone(job)) is None:
        try:
            state, output = JobState.DONE, str(json.loads(store.get(keys.result(job)))["output"])
        except NotFound:
            state, error = JobState.FAILED, f"The ledger lost this job; `lipsync retry {job}` takes it up again."
    done = state is JobState.DONE
    return Status(
        job_id=job,
        state=state,
        frames_total=manifest.frames_total,
        frames_done=manifest.frames_total if done else 0,
        chunks_total=manifest.chunks_total,
        chunks_done=manifest.chunks_total if done else 0,
        chunks_failed=0,
        fps=None,
        eta_s=None,
        output=output,
        error=error,
    )
