"""Messages from the queue: good ones survive the journey, hostile ones are refused in one short sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import Rejected
from jobs.messages import ASSEMBLE, ENCODE_AUDIO, RENDER_CHUNK, message_for, part_of

JOB = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HUGE = "x" * 3_000_000

parts = st.integers(0, 9_999_999).map(str) | st.sampled_from(["audio", "assemble"])
ulids = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=25, max_size=25).map(lambda text: "0" + text)


@given(job=ulids, part=parts)
def test_a_message_says_again_what_it_was_made_for(job: str, part: str) -> None:
    task, payload = message_for(job, part)
    assert part_of(task, json.loads(json.dumps(payload))) == (job, part)


@pytest.mark.parametrize(
    ("part", "task", "payload"),
    [
        ("0", "lipsync.render_chunk", {"v": 1, "job": JOB, "chunk": 0}),
        ("79", "lipsync.render_chunk", {"v": 1, "job": JOB, "chunk": 79}),
        ("audio", "lipsync.encode_audio", {"v": 1, "job": JOB}),
        ("assemble", "lipsync.assemble", {"v": 1, "job": JOB}),
    ],
)
def test_names_and_payloads_are_the_pinned_ones(part: str, task: str, payload: dict[str, Any]) -> None:
    assert message_for(JOB, part) == (task, payload)


def refusal(task: str, payload: dict[Any, Any]) -> str:
    with pytest.raises(Rejected) as refused:
        part_of(task, payload)
    return str(refused.value)


def assert_one_short_sentence(text: str) -> None:
    assert len(text) < 300
    assert text.isprintable(), "nothing may break the line or steer a terminal"
    assert text.endswith(".")
    assert HUGE[:100] not in text


BAD_JOBS: dict[str, Any] = {
    "path": "../../etc/passwd",
    "path of 26": "../../../../../../../../aa",
    "slash inside": JOB[:-1] + "/",
    "lower case": JOB.lower(),
    "27 characters": JOB + "0",
    "25 characters": JOB[:-1],
    "empty": "",
    "newline": JOB + "\n",
    "newline of 26": JOB[:-1] + "\n",
    "escape sequence": "\x1b[2J" + JOB[4:],
    "unicode digits": "٠" + JOB[1:],
    "wide letters": JOB[:-1] + "Ｖ",
    "letters no ULID has": JOB[:-1] + "U",
    "later than ULIDs go": "8" + JOB[1:],
    "null byte": JOB[:-1] + "\0",
    "lone surrogate": JOB[:-1] + "\ud800",
    "huge": HUGE,
    "number": 1,
    "none": None,
    "list": [JOB],
    "nested": {"$ne": 1},
    "bytes": JOB.encode(),
}


@pytest.mark.parametrize("task", [RENDER_CHUNK, ENCODE_AUDIO, ASSEMBLE])
@pytest.mark.parametrize("job", BAD_JOBS.values(), ids=BAD_JOBS)
def test_what_is_no_job_id_is_refused(task: str, job: object) -> None:
    payload = {"v": 1, "job": job} | ({"chunk": 0} if task == RENDER_CHUNK else {})
    assert_one_short_sentence(refusal(task, payload))


BAD_CHUNKS: dict[str, Any] = {
    "negative": -1,
    "too large": 10_000_000,
    "huge": 10**4000,
    "true": True,
    "false": False,
    "float": 1.0,
    "nan": float("nan"),
    "infinite": float("inf"),
    "text": "1",
    "unicode digit": "１",
    "huge text": HUGE,
    "none": None,
    "list": [0],
    "nested": {"chunk": {"chunk": 0}},
}


@pytest.mark.parametrize("chunk", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_what_is_no_chunk_number_is_refused(chunk: object) -> None:
    assert_one_short_sentence(refusal(RENDER_CHUNK, {"v": 1, "job": JOB, "chunk": chunk}))


BAD_VERSIONS: dict[str, Any] = {
    "older": 0,
    "newer": 2,
    "text": "1",
    "true": True,
    "float": 1.0,
    "none": None,
    "list": [1],
    "huge": 10**4000,
}


@pytest.mark.parametrize("version", BAD_VERSIONS.values(), ids=BAD_VERSIONS)
def test_another_version_is_refused(version: object) -> None:
    assert_one_short_sentence(refusal(RENDER_CHUNK, {"v": version, "job": JOB, "chunk": 0}))


BAD_PAYLOADS: dict[str, dict[Any, Any]] = {
    "empty": {},
    "no version": {"job": JOB, "chunk": 0},
    "no job": {"v": 1, "chunk": 0},
    "no chunk": {"v": 1, "job": JOB},
    "one key more": {"v": 1, "job": JOB, "chunk": 0, "frames": 10},
    "huge key": {"v": 1, "job": JOB, "chunk": 0, HUGE: 1},
    "huge value": {"v": 1, "job": JOB, "chunk": 0, "extra": [HUGE] * 3},
    "key with a newline": {"v": 1, "job": JOB, "chunk": 0, "extra\nINFO all is well": 1},
    "key that steers a terminal": {"v": 1, "job": JOB, "chunk": 0, "\x1b[2J": 1},
    "number as key": {"v": 1, "job": JOB, "chunk": 0, 1: 1},
    "nested": {"payload": {"v": 1, "job": JOB, "chunk": 0}},
    "upper case": {"V": 1, "JOB": JOB, "CHUNK": 0},
}


@pytest.mark.parametrize("payload", BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
def test_a_payload_with_other_keys_is_refused(payload: dict[Any, Any]) -> None:
    assert_one_short_sentence(refusal(RENDER_CHUNK, payload))


@pytest.mark.parametrize("task", [ENCODE_AUDIO, ASSEMBLE])
def test_only_chunks_have_a_number(task: str) -> None:
    assert_one_short_sentence(refusal(task, {"v": 1, "job": JOB, "chunk": 0}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    task=st.sampled_from([RENDER_CHUNK, ENCODE_AUDIO, ASSEMBLE]),
    payload=st.dictionaries(st.sampled_from(["v", "job", "chunk"]), json_values | st.just(1) | st.just(JOB)),
)
def test_any_payload_is_either_refused_or_what_message_for_would_have_made(task: str, payload: dict[str, Any]) -> None:
    try:
        job, part = part_of(task, payload)
    except Rejected as refused:
        assert len(str(refused)) < 300
    else:
        assert repr(sorted(message_for(job, part)[1].items())) == repr(sorted(payload.items()))
