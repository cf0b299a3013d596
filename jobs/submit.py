"""Submission: probe, refuse what cannot work, decode once, store, plan, write the manifest, open the ledger."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from ulid import ULID

from infra.errors import LipsyncError, NotFound, Rejected, Transient, Unreachable
from infra.media_decode import open_audio
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import AvatarSpec
from jobs.avatars import is_stored
from jobs.consent import demand_consent
from jobs.job_audio import store_job_audio
from jobs.ledger import JobTicket, Ledger
from jobs.manifest import Codec, Encoding, Manifest, Preset, write_manifest
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.states import JobState
from jobs.timing import MIN_SAMPLES, LengthMode, frame_count


@dataclass(frozen=True)
class JobRequest:
    """What somebody wants rendered."""

    audio: Path
    length: LengthMode = "exact"
    chunk_frames: int = DEFAULT_CHUNK_FRAMES
    crf: int = 20
    preset: Preset = "veryfast"
    codec: Codec = "libx264"
    owner: str = "nobody"
    idempotency_key: str | None = None
    allow_truncated: bool = False
    max_attempts: int = 3
    require_consent: bool = False
    """Refuse an avatar that shows a person and carries no consent that holds today."""


def new_job_id() -> str:
    """A fresh ULID: sortable by time, unguessable enough to name objects."""
    return str(ULID())


def prepare_job(request: JobRequest, digest: str, avatar: AvatarSpec, store: ObjectStore) -> Manifest:
    """Put everything that a job needs into the store, the manifest last.

    Raises:
        Rejected: the input or the call is wrong; nothing of the job stays in the store.
    """
    job = new_job_id()
    check_request(request, digest, avatar)
    try:
        with open_audio(request.audio, allow_truncated=request.allow_truncated) as source:
            samples = store_job_audio(source, job, store)
            extension = source.extension
        manifest = make_manifest(request, job, digest, avatar, samples, extension)
        store.put_file(keys.source(job, extension), request.audio)
        write_manifest(manifest, store)
    except BaseException:
        _forget(job, store)
        raise
    return manifest


def check_request(request: JobRequest, digest: str, avatar: AvatarSpec) -> None:
    """Refuse what cannot be, whatever the audio, before hours of it are decoded.

    Raises:
        Rejected: the request asks for what cannot be, or for an avatar that may not be used.
    """
    if request.require_consent:
        demand_consent(digest, avatar)
    make_manifest(request, new_job_id(), digest, avatar, MIN_SAMPLES, extension="")


def make_manifest(
    request: JobRequest, job: str, digest: str, avatar: AvatarSpec, samples: int, extension: str
) -> Manifest:
    """Plan a job whose audio has been decoded to `samples` samples.

    Raises:
        Rejected: the request asks for what cannot be.
    """
    size = avatar.frame_size
    try:
        return Manifest(
            job=job,
            owner=request.owner,
            idempotency_key=request.idempotency_key,
            avatar=digest,
            length=request.length,
            samples=samples,
            frames_total=frame_count(samples, request.length),
            chunk_frames=request.chunk_frames,
            width=size.width,
            height=size.height,
            encoding=Encoding(codec=request.codec, crf=request.crf, preset=request.preset),
            max_attempts=request.max_attempts,
            source_extension=extension,
            allow_truncated=request.allow_truncated,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise Rejected(f"The job cannot be made: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def open_job(manifest: Manifest, ledger: Ledger, store: ObjectStore) -> str:
    """Enter a prepared job in the ledger and return its id.

    With an idempotency key that was used before, that is the earlier job's id, and the new one is forgotten.

    Raises:
        NotFound: the avatar was removed meanwhile; the job has failed and can be retried.
    """
    try:
        opened = ledger.open(ticket_of(manifest))
    except Transient as error:  # Redis may have opened it all the same, so its objects stay
        raise Unreachable(f"{error} `lipsync status {manifest.job}` tells whether the job was opened.") from error
    except LipsyncError:
        _forget(manifest.job, store)
        raise
    if opened != manifest.job:
        _forget(manifest.job, store)
    else:
        fail_without_avatar(manifest, ledger, store)
    return opened


def fail_without_avatar(manifest: Manifest, ledger: Ledger, store: ObjectStore) -> None:
    """Let a job fail at once that goes on in the ledger while its avatar is gone; see `jobs.avatar_removal`.

    Raises:
        NotFound: it is gone.
    """
    with suppress(Transient):  # a store that does not answer now will tell the workers
        if not is_stored(manifest.avatar, store):
            error = (
                f"Avatar {manifest.avatar} is no longer in {store.url}: publish it again, then "
                f"`lipsync retry {manifest.job}`."
            )
            ledger.move(manifest.job, JobState.FAILED, error)
            raise NotFound(f"Job {manifest.job} failed: {error}")


def ticket_of(manifest: Manifest) -> JobTicket:
    """What the ledger must know of a job."""
    return JobTicket(
        job=manifest.job,
        chunks_total=manifest.chunks_total,
        frames_total=manifest.frames_total,
        max_attempts=manifest.max_attempts,
        avatar=manifest.avatar,
        owner=manifest.owner,
        idempotency_key=manifest.idempotency_key,
    )


def _forget(job: str, store: ObjectStore) -> None:
    """Leave nothing behind of a job that did not come to be; the first error is the one to report."""
    with suppress(LipsyncError):
        store.delete_prefix(keys.job_prefix(job))
