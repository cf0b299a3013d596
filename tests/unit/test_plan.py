"""From frames to chunks, and the manifest that fixes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.errors import Failed, NotFound, Rejected
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.manifest import Encoding, Manifest, read_manifest, write_manifest
from jobs.plan import DEFAULT_CHUNK_FRAMES, MAX_CHUNK_FRAMES, chunk_count, chunk_span

JOB, OTHER_JOB = "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"


@given(total=st.integers(1, 5000), chunk_frames=st.integers(1, 1500))
def test_chunks_tile_the_job_without_gap_or_overlap(total: int, chunk_frames: int) -> None:
    spans = [chunk_span(chunk, total, chunk_frames) for chunk in range(chunk_count(total, chunk_frames))]
    assert [frame for span in spans for frame in range(*span)] == list(range(total))
    assert all(span.size == chunk_frames for span in spans[:-1])
    assert 1 <= spans[-1].size <= chunk_frames


@pytest.mark.parametrize("chunk", [-1, 4, 10**9])
def test_there_is_no_chunk_outside_the_job(chunk: int) -> None:
    with pytest.raises(ValueError, match="4 chunks"):
        chunk_span(chunk, 1000, 250)


def test_chunk_sizes_are_the_pinned_ones() -> None:
    assert (DEFAULT_CHUNK_FRAMES, MAX_CHUNK_FRAMES) == (250, 1500)
    assert chunk_count(90_000, DEFAULT_CHUNK_FRAMES) == 360, "an hour"


def manifest(**fields: Any) -> Manifest:
    usual: dict[str, Any] = {
        "job": JOB,
        "owner": "anna@example.org",
        "avatar": "ab" * 32,
        "length": "exact",
        "samples": 164_900,
        "frames_total": 258,
        "chunk_frames": 100,
        "width": 1280,
        "height": 720,
        "encoding": Encoding(),
        "max_attempts": 3,
        "source_extension": ".wav",
    }
    return Manifest(**usual | fields)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def test_a_manifest_is_read_as_it_was_written(store: DirectoryStore) -> None:
    written = manifest(idempotency_key="take-7", encoding=Encoding(crf=0, preset="veryslow"), source_extension="")
    write_manifest(written, store)
    assert read_manifest(JOB, store) == written


def test_a_manifest_knows_its_chunks() -> None:
    assert manifest().chunks_total == 3
    assert [tuple(manifest().span(chunk)) for chunk in range(3)] == [(0, 100), (100, 200), (200, 258)]


@pytest.mark.parametrize(
    "fields",
    [
        {"samples": 2999},
        {"frames_total": 0},
        {"chunk_frames": 0},
        {"chunk_frames": 1501},
        {"owner": ""},
        {"owner": "a b"},
        {"owner": "anna\n"},
        {"owner": "a/b"},
        {"owner": "a" * 129},
        {"idempotency_key": "a:b"},
        {"avatar": "AB" * 32},
        {"avatar": "../" + "a" * 61},
        {"length": "longer"},
        {"source_extension": "/../x"},
        {"source_extension": ".WAV"},
        {"source_extension": ".wav\n"},
        {"max_attempts": 0},
        {"fps": 30},
        {"contract": 2},
        {"schema_version": 2},
        {"lane": "urgent"},
        {"password": "x"},
    ],
    ids=str,
)
def test_what_cannot_be_a_job_is_no_manifest(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        manifest(**fields)


@pytest.mark.parametrize("fields", [{"crf": -1}, {"crf": 52}, {"preset": "placebo"}, {"codec": "libx265"}], ids=str)
def test_what_cannot_be_encoded_is_no_encoding(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Encoding(**fields)


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(manifest(), "frames_total", 3)  # noqa: B010 - the type checker forbids the plain form


def test_an_absent_job_is_named(store: DirectoryStore) -> None:
    with pytest.raises(NotFound, match=JOB):
        read_manifest(JOB, store)


@pytest.mark.parametrize("job", ["../../etc", JOB.lower(), JOB + "/x", ""])
def test_what_is_no_job_id_is_never_looked_up(job: str, store: DirectoryStore) -> None:
    with pytest.raises(Rejected, match="not a job id"):
        read_manifest(job, store)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"contract": 7}, "contract"),
        ({"chunk_frames": 10**9}, "chunk_frames"),
        ({"surprise": 1}, "surprise"),
        ({"job": OTHER_JOB}, f"belongs to job {OTHER_JOB}"),
    ],
)
def test_a_manifest_of_another_version_or_job_is_refused(
    change: dict[str, Any], message: str, store: DirectoryStore
) -> None:
    document = json.loads(manifest().model_dump_json()) | change
    store.put(keys.manifest(JOB), json.dumps(document).encode())
    with pytest.raises(Failed, match=message) as failed:
        read_manifest(JOB, store)
    assert JOB in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"job": "' + JOB.encode()])
def test_a_damaged_manifest_is_named(data: bytes, store: DirectoryStore) -> None:
    store.put(keys.manifest(JOB), data)
    with pytest.raises(Failed, match=f"manifest of job {JOB}") as failed:
        read_manifest(JOB, store)
    assert "\n" not in str(failed.value)
