"""What a worker reads of jobs: manifests once, and the audio of the next chunk while the current one is rendered."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infra.object_store import ObjectStore
from jobs.job_audio import read_job_audio
from jobs.ledger import Ledger
from jobs.manifest import Manifest, read_manifest
from jobs.timing import Span, hearing

Float32 = npt.NDArray[np.float32]

MANIFESTS = 64
"""Jobs whose manifests are remembered: as many as a worker is likely to serve in turn."""


class _Heard(NamedTuple):
    job: str
    span: Span
    audio: Float32


class JobReader:
    """Reads from the store for one worker process.

    Which chunk comes next is a guess, and reading it claims nothing: a wrong one costs a request, a right one saves
    the wait for it at a moment when the device has nothing to do.
    """

    def __init__(self, ledger: Ledger, store: ObjectStore) -> None:
        self._ledger, self._store = ledger, store
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: Future[_Heard | None] | None = None
        self.manifest = lru_cache(MANIFESTS)(self._read_manifest)
        """Gives the manifest of a job; raises as `jobs.manifest.read_manifest` does."""

    def audio(self, manifest: Manifest, span: Span) -> Float32:
        """A range of samples of a job's audio, float32 of shape (span.size,); then begins to read what comes next."""
        guessed, self._next = self._next, None
        ready = guessed.result() if guessed else None
        found = ready.audio if ready and (ready.job, ready.span) == (manifest.job, span) else None
        audio = read_job_audio(manifest.job, self._store, span) if found is None else found
        self._next = self._reader.submit(self._read_next, manifest)
        return audio

    def _read_manifest(self, job: str) -> Manifest:
        return read_manifest(job, self._store)

    def _read_next(self, manifest: Manifest) -> _Heard | None:
        try:
            part = self._ledger.upcoming(manifest.job)
            if part is None or not part.isdigit():
                return None
            span = hearing(manifest.span(int(part)), manifest.frames_total, manifest.samples).samples
            return _Heard(manifest.job, span, read_job_audio(manifest.job, self._store, span))
        except Exception:  # whoever needs it will ask again, and be told
            return None
