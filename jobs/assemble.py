"""The parts of a job that no frame is rendered in: the encoded audio track, and joining everything into one video."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from infra.errors import Failed
from infra.media_audio import encode_m4a
from infra.media_decode import open_audio
from infra.media_mux import remux
from infra.object_store import ObjectStore
from infra.store_directory import file_blocks
from jobs import keys
from jobs.ledger import Record
from jobs.manifest import Manifest
from jobs.scratch import scratch_folder

Check = Callable[[], None]
"""Called between steps; raises when the work is no longer wanted."""

AUDIO_BIT_RATE = 128_000


def encode_audio_track(manifest: Manifest, attempt: int, store: ObjectStore, check: Check) -> Record:
    """Encode the source's sound once, as a whole, at its own rate, and store it."""
    with scratch_folder() as folder:
        source_file = folder / f"source{manifest.source_extension}"
        store.get_file(keys.source(manifest.job, manifest.source_extension), source_file)
        check()
        track = folder / "audio.m4a"
        with open_audio(source_file, allow_truncated=manifest.allow_truncated) as source:
            encode_m4a(source, track, bit_rate=AUDIO_BIT_RATE, watch=check)
        return store_part(track, keys.encoded_audio(manifest.job), attempt, store, check)


def assemble_video(
    manifest: Manifest, records: Mapping[str, Record], attempt: int, store: ObjectStore, check: Check
) -> Record:
    """Join the recorded segments and the audio track, verify the result and publish it.

    The records say which segments count, never a listing, so that a late duplicate disturbs nothing. One segment at a
    time is on disk beside the video.
    """
    with scratch_folder() as folder:
        track = folder / "audio.m4a"
        store.get_file(keys.encoded_audio(manifest.job), track)
        joined = folder / "video.mp4"
        remux(
            _segments(manifest, records, folder, store, check),
            track,
            joined,
            fps=manifest.fps,
            frames=manifest.frames_total,
            audio_may_exceed=manifest.length == "reference",
        )
        return store_part(joined, keys.video(manifest.job), attempt, store, check)


def _segments(
    manifest: Manifest, records: Mapping[str, Record], folder: Path, store: ObjectStore, check: Check
) -> Iterator[Path]:
    for chunk in range(manifest.chunks_total):
        check()
        record = records.get(str(chunk))
        if record is None:
            raise Failed(f"Job {manifest.job} cannot be assembled: no segment is recorded for chunk {chunk}.")
        segment = folder / f"{chunk:06d}.mp4"
        _fetch(keys.segment(manifest.job, chunk, record.attempt), record, segment, store)
        yield segment
        segment.unlink()


def _fetch(key: str, record: Record, path: Path, store: ObjectStore) -> None:
    """Fetch a recorded object and make sure that it is the one that was recorded."""
    store.get_file(key, path)
    if sha256_of(path) != record.sha256:
        raise Failed(f"{store.location(key)} is not what was recorded for it: it was changed or damaged.")


def store_part(path: Path, key: str, attempt: int, store: ObjectStore, check: Check, frames: int = 0) -> Record:
    """Upload a finished file, as long as it is wanted, and return the record that the ledger keeps of it."""

    def wanted_blocks() -> Iterator[bytes]:
        for block in file_blocks(path):
            check()
            yield block

    return store_blocks(wanted_blocks(), key, attempt, store, frames)


def store_blocks(blocks: Iterable[bytes], key: str, attempt: int, store: ObjectStore, frames: int = 0) -> Record:
    """Upload a part while it is being made, and return its record; when `blocks` raises, nothing is stored."""
    sha256 = hashlib.sha256()

    def seen() -> Iterator[bytes]:
        for block in blocks:
            sha256.update(block)
            yield block

    size = store.put_stream(key, seen())
    return Record(attempt, sha256.hexdigest(), size, frames)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
