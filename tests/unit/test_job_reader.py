"""A worker reads the next chunk's audio ahead, and what it reads is the same whether it guessed right or not."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from infra.errors import NotFound, Transient
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.job_audio import read_job_audio
from jobs.ledger import JobTicket
from jobs.ledger_memory import MemoryLedger
from jobs.manifest import Encoding, Manifest, write_manifest
from jobs.submit import new_job_id
from jobs.timing import Span, frame_count, hearing
from workers.job_reader import JobReader

SAMPLES = 16_000 * 8


class CountingStore(DirectoryStore):
    """Remembers what was read of which object."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[int, int]] = []
        self.gets = 0
        self.fails = False

    def get(self, key: str) -> bytes:
        self.gets += 1
        return super().get(key)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        self.ranges.append((start // 4, stop // 4))
        if self.fails:
            raise Transient("The store does not answer.")
        return super().get_range(key, start, stop)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path)


@pytest.fixture
def manifest(store: CountingStore) -> Manifest:
    total = frame_count(SAMPLES, "exact")
    made = Manifest(
        job=new_job_id(),
        owner="somebody",
        avatar="0" * 64,
        length="exact",
        samples=SAMPLES,
        frames_total=total,
        chunk_frames=50,
        width=64,
        height=64,
        encoding=Encoding(),
        max_attempts=3,
        source_extension=".wav",
    )
    write_manifest(made, store)
    sound = np.random.default_rng(0).normal(0, 0.1, SAMPLES).astype("<f4")
    store.put(keys.job_audio(made.job), sound.tobytes())
    return made


@pytest.fixture
def ledger(manifest: Manifest) -> MemoryLedger:
    made = MemoryLedger(clock=map(float, count()).__next__)
    ticket = JobTicket(manifest.job, manifest.chunks_total, manifest.frames_total, 3, manifest.avatar, "somebody")
    made.open(ticket)
    for window in (1, 2, 3):  # the audio track, then the first two chunks
        made.offer(manifest.job, window, 60.0)
    made.claim(manifest.job, "0", "w")
    return made


def span_of(manifest: Manifest, chunk: int) -> Span:
    return hearing(manifest.span(chunk), manifest.frames_total, manifest.samples).samples


def settled(reader: JobReader) -> None:
    assert reader._next is not None
    reader._next.result()


def test_the_audio_of_the_chunk_that_comes_next_is_there_before_it_is_asked_for(
    store: CountingStore, manifest: Manifest, ledger: MemoryLedger
) -> None:
    reader = JobReader(ledger, store)
    reader.audio(manifest, span_of(manifest, 0))
    settled(reader)
    assert store.ranges == [span_of(manifest, 0), span_of(manifest, 1)]
    ledger.claim(manifest.job, "1", "w")
    found = reader.audio(manifest, span_of(manifest, 1))
    settled(reader)
    assert store.ranges.count(span_of(manifest, 1)) == 1
    assert np.array_equal(found, read_job_audio(manifest.job, store, span_of(manifest, 1)))


def test_a_wrong_guess_changes_nothing(store: CountingStore, manifest: Manifest, ledger: MemoryLedger) -> None:
    reader = JobReader(ledger, store)
    reader.audio(manifest, span_of(manifest, 0))
    found = reader.audio(manifest, span_of(manifest, 3))
    assert np.array_equal(found, read_job_audio(manifest.job, store, span_of(manifest, 3)))


def test_a_guess_that_cannot_be_read_is_forgotten(
    store: CountingStore, manifest: Manifest, ledger: MemoryLedger
) -> None:
    reader = JobReader(ledger, store)
    reader.audio(manifest, span_of(manifest, 0))
    settled(reader)
    store.fails = True
    with pytest.raises(Transient):
        reader.audio(manifest, span_of(manifest, 2))
    store.fails = False
    assert len(reader.audio(manifest, span_of(manifest, 2))) == span_of(manifest, 2).size


def test_a_manifest_is_read_once_and_a_missing_one_every_time(
    store: CountingStore, manifest: Manifest, ledger: MemoryLedger
) -> None:
    reader, before = JobReader(ledger, store), store.gets
    assert reader.manifest(manifest.job) is reader.manifest(manifest.job)
    assert store.gets == before + 1
    for _ in range(2):
        with pytest.raises(NotFound):
            reader.manifest(new_job_id())


def test_a_guess_that_ends_in_an_error_nobody_foresaw_harms_no_later_chunk(
    store: CountingStore, manifest: Manifest, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(job: str) -> str:
        raise ZeroDivisionError(job)

    monkeypatch.setattr(ledger, "upcoming", broken)
    reader = JobReader(ledger, store)
    for chunk in range(3):
        assert len(reader.audio(manifest, span_of(manifest, chunk))) == span_of(manifest, chunk).size
        settled(reader)
