"""One submission, timed from the inside. It imports what a submitting client imports, so that its memory tells."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from infra.settings import Settings
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.avatars import read_spec, resolve
from jobs.fleet import Fleet
from jobs.submit import JobRequest, open_job, prepare_job
from workers.bench.machine import peak_memory_mb


@dataclass(frozen=True)
class Submission:
    """A job that was submitted.

    Attributes:
        job: its id.
        frames: of the video.
        chunks: of the job.
        decode_s: to decode, resample and store the sound.
        source_s: to store the source as it is.
        rest_s: for all else: to check, plan, write the manifest, open the ledger, and ring for the first parts.
        peak_mb: the most memory that the process held.
    """

    job: str
    frames: int
    chunks: int
    decode_s: float
    source_s: float
    rest_s: float
    peak_mb: float


class _TimedStore(DirectoryStore):
    """Counts the seconds that it takes to write objects, by their name; the making of their bytes included."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.spent_s: dict[str, float] = defaultdict(float)

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        start_s = time.monotonic()
        size = super().put_stream(key, blocks)
        self.spent_s[PurePosixPath(key).name] += time.monotonic() - start_s
        return size


def submit(settings: Settings, store: Path, speech: Path, avatar: str) -> Submission:
    """Do what `lipsync submit` does.

    Args:
        settings: of the fleet.
        store: its directory, in which the avatar is.
        speech: what to submit.
        avatar: name or digest.
    """
    fleet, timed = Fleet(settings), _TimedStore(store)
    start_s = time.monotonic()
    digest = resolve(avatar, timed)
    manifest = prepare_job(JobRequest(audio=speech, owner="bench"), digest, read_spec(timed, digest), timed)
    job = open_job(manifest, fleet.ledger, timed)
    fleet.dispatch([job])
    total_s = time.monotonic() - start_s
    decode_s = timed.spent_s[PurePosixPath(keys.job_audio(job)).name]
    source_s = timed.spent_s[PurePosixPath(keys.source(job, manifest.source_extension)).name]
    rest_s = total_s - decode_s - source_s
    return Submission(job, manifest.frames_total, manifest.chunks_total, decode_s, source_s, rest_s, peak_memory_mb())
