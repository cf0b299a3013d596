"""What somebody may do to a job that exists: cancel, pause, resume, retry, fetch."""

import re
from pathlib import Path

from infra.errors import Failed, JobFailed, NotFound, Rejected
from infra.object_store import ObjectStore
from jobs import keys
from jobs.assemble import sha256_of
from jobs.console import check_output
from jobs.ledger import Ledger, Record
from jobs.manifest import Manifest, read_manifest
from jobs.scratch import scratch_folder
from jobs.states import AUDIO_PART, JobState
from jobs.status import read_status
from jobs.submit import fail_without_avatar, ticket_of


def cancel_job(job: str, ledger: Ledger, store: ObjectStore) -> JobState:
    """Cancel a job; workers notice within a batch. Cancelling twice is fine.

    Raises:
        NotFound: there is no such job.
        Rejected: the job is done.
    """
    state = read_status(job, ledger, store).state
    if state is not JobState.DONE:
        # The tombstone first: if the ledger is lost between the two, the job stays dead.
        store.put(keys.tombstone(job), b"")
        state = ledger.move(job, JobState.CANCELLED) or JobState.CANCELLED
    if state is JobState.DONE:
        store.delete(keys.tombstone(job))
        raise Rejected(f"Job {job} is done; there is nothing to cancel.")
    return state


def move_job(job: str, target: JobState, ledger: Ledger, store: ObjectStore) -> JobState:
    """Pause or resume a job.

    Raises:
        NotFound: there is no such job.
        Rejected: its state does not allow the move.
    """
    before = read_status(job, ledger, store).state
    if target is JobState.QUEUED and before is not JobState.PAUSED:
        hint = f"; `lipsync retry {job}` lets it go on" if before is JobState.FAILED else ""
        raise Rejected(f"Job {job} is {before}, and only a paused job can be resumed{hint}.")
    after = ledger.move(job, target)
    if after is not target:
        raise Rejected(f"Job {job} is {after or before} and cannot become {target}.")
    return after


def retry_job(job: str, ledger: Ledger, store: ObjectStore, parts: list[str] | None = None) -> JobState:
    """Let a failed job go on, all quarantined parts or those named tried again.

    A job that the ledger lost is opened again from the store, its finished segments included.

    Raises:
        NotFound: there is no such job, or its avatar was removed and it has frames left to render.
        Rejected: the job did not fail.
    """
    status = read_status(job, ledger, store)
    if status.state is not JobState.FAILED:
        raise Rejected(f"Job {job} is {status.state}; only a failed job can be retried.")
    unharmed = set(parts or ()) - set(ledger.quarantine(job))
    if unharmed and ledger.view(job) is not None:
        raise Rejected(f"Job {job} has no quarantined chunk {', '.join(sorted(unharmed))}.")
    manifest = read_manifest(job, store)
    state = ledger.retry(job, parts)
    if state is None:
        opened = ledger.open(ticket_of(manifest), finished_segments(manifest, store))
        if opened != job:
            raise Rejected(f"Job {job} was submitted again with the same idempotency key, as job {opened}.")
        state = JobState.QUEUED
    if state is JobState.QUEUED and status.chunks_done < status.chunks_total:
        fail_without_avatar(manifest, ledger, store)
    return state


_SEGMENT = re.compile(r"(\d{6,})-(\d{1,9})\.mp4")


def finished_segments(manifest: Manifest, store: ObjectStore) -> dict[str, Record]:
    """Records of the segments and the audio track that lie in the store, each read once for its digest.

    Objects appear whole or not at all, so what is listed is finished; of several attempts any one will do.
    """
    found: dict[str, tuple[str, int]] = {}
    prefix = keys.segments(manifest.job)
    for entry in store.list(prefix):
        match = _SEGMENT.fullmatch(entry.key.removeprefix(prefix))
        if match and int(match[1]) < manifest.chunks_total:
            found[str(int(match[1]))] = (entry.key, int(match[2]))
    if store.size(keys.encoded_audio(manifest.job)) is not None:
        found[AUDIO_PART] = (keys.encoded_audio(manifest.job), 0)
    records = {}
    with scratch_folder() as folder:
        for part, (key, attempt) in found.items():
            copy = folder / "object"
            store.get_file(key, copy)
            frames = 0 if part == AUDIO_PART else manifest.span(int(part)).size
            records[part] = Record(attempt, sha256_of(copy), copy.stat().st_size, frames)
    return records


def fetch_video(job: str, out: Path, ledger: Ledger, store: ObjectStore) -> Path:
    """Copy a finished video out of the store.

    Raises:
        NotFound: there is no such job.
        Rejected: the job is not done, or `out` lies in no folder.
    """
    status = read_status(job, ledger, store)
    if status.state is JobState.FAILED:
        raise JobFailed(f"Job {job} failed: {status.error}")
    if status.state is not JobState.DONE:
        raise Rejected(f"Job {job} is {status.state}; there is no video to fetch yet.")
    check_output(out)
    try:
        store.get_file(keys.video(job), out)
    except NotFound:
        raise Failed(f"The video of job {job} is gone from {store.url}.") from None
    return out
