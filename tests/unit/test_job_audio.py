"""The job audio: byte = 4 x sample, any range of it, and nothing that is no number."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import Failed, NotFound, Rejected
from infra.media_decode import open_audio
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.job_audio import read_job_audio, store_job_audio
from jobs.timing import Span
from tests.unit import naive

JOB = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SAMPLES = 5000
AUDIO = naive.speech(SAMPLES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """Holds a job whose audio was decoded from a file of 16 kHz."""
    folder = tmp_path_factory.mktemp("audio")
    store = DirectoryStore(folder / "store")
    soundfile.write(folder / "speech.wav", AUDIO, 16_000, subtype="FLOAT")
    with open_audio(folder / "speech.wav") as source:
        assert store_job_audio(source, JOB, store) == SAMPLES
    return store


def test_it_is_stored_as_raw_little_endian_floats(store: DirectoryStore) -> None:
    data = store.get(keys.job_audio(JOB))
    assert len(data) == 4 * SAMPLES
    assert np.array_equal(np.frombuffer(data, "<f4"), AUDIO)


@given(start=st.integers(0, SAMPLES - 1), data=st.data())
def test_any_range_is_read_as_it_was(store: DirectoryStore, start: int, data: st.DataObject) -> None:
    span = Span(start, data.draw(st.integers(start + 1, SAMPLES)))
    found = read_job_audio(JOB, store, span)
    assert found.dtype == np.float32
    assert np.array_equal(found, AUDIO[span.start : span.stop])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_damage_is_found_by_who_reads_it_and_only_there(value: float, tmp_path: Path) -> None:
    store, damaged = DirectoryStore(tmp_path), AUDIO.copy()
    damaged[2500] = value
    store.put(keys.job_audio(JOB), damaged.tobytes())
    with pytest.raises(Failed, match=f"job {JOB} is damaged between samples 2400 and 2600"):
        read_job_audio(JOB, store, Span(2400, 2600))
    assert np.array_equal(read_job_audio(JOB, store, Span(0, 2500)), AUDIO[:2500])


def test_a_range_beyond_the_end_is_damage_too(store: DirectoryStore) -> None:
    with pytest.raises(Failed, match="shorter than expected"):
        read_job_audio(JOB, store, Span(0, SAMPLES + 1))


def test_an_absent_audio_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_job_audio(JOB, DirectoryStore(tmp_path), Span(0, 1))


def test_a_source_that_is_too_short_leaves_nothing_behind(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    soundfile.write(tmp_path / "short.wav", AUDIO[:2999], 16_000, subtype="FLOAT")
    with open_audio(tmp_path / "short.wav") as source, pytest.raises(Rejected, match=r"short\.wav"):
        store_job_audio(source, JOB, store)
    assert list(store.list("")) == []
