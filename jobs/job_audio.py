"""The job audio: what the mouth hears. Raw little-endian float32 at 16 kHz, mono, so that byte = 4 x sample."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from infra.errors import Failed, Rejected
from infra.media_audio import mono_blocks
from infra.media_decode import AudioSource
from infra.object_store import ObjectStore
from jobs import keys
from jobs.timing import MIN_SAMPLES, SAMPLE_RATE_HZ, Span

BYTES_PER_SAMPLE = 4


def store_job_audio(source: AudioSource, job: str, store: ObjectStore) -> int:
    """Decode, mix down, resample and store a source as job audio, as one stream.

    Returns:
        The number of samples.

    Raises:
        Rejected: the source cannot be used or is too short; nothing stays in the store.
    """
    return store.put_stream(keys.job_audio(job), _byte_blocks(source)) // BYTES_PER_SAMPLE


def _byte_blocks(source: AudioSource) -> Iterator[bytes]:
    samples = 0
    for block in mono_blocks(source, SAMPLE_RATE_HZ):
        samples += len(block)
        yield block.astype("<f4").tobytes()
    if samples < MIN_SAMPLES:
        raise Rejected(
            f"{source.path.name} holds only {samples / SAMPLE_RATE_HZ:.3f} s of sound; "
            f"at least {MIN_SAMPLES / SAMPLE_RATE_HZ} s are needed."
        )


def read_job_audio(job: str, store: ObjectStore, span: Span) -> npt.NDArray[np.float32]:
    """A range of samples of a job's audio, float32 of shape (span.size,)."""
    data = store.get_range(keys.job_audio(job), span.start * BYTES_PER_SAMPLE, span.stop * BYTES_PER_SAMPLE)
    audio = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    if not np.isfinite(audio).all():
        raise Failed(f"The stored audio of job {job} is damaged between samples {span.start} and {span.stop}.")
    return audio
