"""Consent: when it holds, what a record must say, and that a job is refused before anything is decoded."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.errors import Failed, Rejected
from infra.settings import Settings
from infra.store_directory import DirectoryStore
from jobs.avatar_spec import AvatarSpec, Consent, FrameSize, Provenance, VideoTemplate, read_avatar_json
from jobs.consent import SHOWS_NOBODY, consent_problem, today_utc
from jobs.submit import JobRequest, prepare_job
from workers.avatar.consent_record import read_consent
from workers.avatar.copying import resealed
from workers.avatar.pack import Pack
from workers.local_render import Outputs, render_locally

TODAY = date(2027, 1, 31)
EVIDENCE = b"%PDF a signed form"
DIGEST = hashlib.sha256(EVIDENCE).hexdigest()
RECORD: dict[str, Any] = {
    "subject": "Anna Example",
    "scope": "videos of the intranet",
    "expires": "2027-01-31",
    "evidence": "form.pdf",
}


def consent(expires: date | None = None) -> Consent:
    return Consent(subject="Anna Example", scope="videos of the intranet", expires=expires, evidence=DIGEST)


def spec(layout: str = "training-folder", given: Consent | None = None) -> AvatarSpec:
    files = ("generator.onnx", "audio_encoder.onnx", "template.mp4")
    return AvatarSpec(
        frame_size=FrameSize(width=96, height=64),
        template=VideoTemplate(matrix="bt709"),
        boxes=((0, 0, 40, 40),),
        files=dict.fromkeys(files, "0" * 64),
        provenance=Provenance.model_validate({"layout": layout}),
        consent=given,
    )


@pytest.mark.parametrize(("days", "holds"), [(-1, False), (0, True), (1, True)])
def test_a_consent_holds_through_its_last_day(days: int, holds: bool) -> None:
    problem = consent_problem(spec(given=consent(TODAY + timedelta(days))), TODAY)
    assert (problem is None) == holds
    assert holds or "ended on 2027-01-30" in str(problem)


def test_a_consent_without_an_end_holds() -> None:
    assert consent_problem(spec(given=consent(None)), date.max) is None


def test_whoever_is_shown_must_have_consented() -> None:
    layouts = Provenance.model_fields["layout"].annotation.__args__  # type: ignore[union-attr]
    problems = {layout: consent_problem(spec(layout), TODAY) for layout in layouts}
    assert {layout for layout, problem in problems.items() if problem is None} == SHOWS_NOBODY
    assert all("no consent" in problem and "--consent" in problem for problem in problems.values() if problem)


def test_the_day_is_the_one_of_utc() -> None:
    before = datetime.now(UTC).date()
    assert before <= today_utc() <= datetime.now(UTC).date()


def test_avatar_json_of_old_packs_opens_and_new_ones_without_a_consent_are_the_same() -> None:
    old = spec().to_bytes()
    assert b"consent" not in old
    assert read_avatar_json(old, "avatar.json")[0].consent is None
    for given in (consent(), consent(TODAY)):
        data = spec(given=given).to_bytes()
        assert read_avatar_json(data, "avatar.json")[0].consent == given
        assert AvatarSpec.model_validate_json(data).to_bytes() == data


@pytest.mark.parametrize("expires", ["5", "true", '"2027-01-31T00:00:00"'])
def test_an_avatar_json_whose_consent_has_no_date_is_refused(expires: str) -> None:
    data = spec(given=consent(TODAY)).to_bytes().replace(b'"2027-01-31"', expires.encode())
    with pytest.raises(Failed, match="expires"):
        read_avatar_json(data, "avatar.json")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where a record lies, its evidence beside it."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "form.pdf").write_bytes(EVIDENCE)
    return folder / "consent.json"


@pytest.mark.parametrize("evidence", ["form.pdf", "./form.pdf", DIGEST, DIGEST.upper()])
def test_evidence_is_a_file_beside_the_record_or_its_digest(record: Path, evidence: str) -> None:
    record.write_text(json.dumps(RECORD | {"evidence": evidence}))
    assert read_consent(record) == consent(TODAY)


def test_a_record_may_have_no_end_but_must_say_so(record: Path) -> None:
    record.write_text(json.dumps(RECORD | {"expires": None}))
    assert read_consent(record).expires is None
    record.write_text(json.dumps({name: value for name, value in RECORD.items() if name != "expires"}))
    with pytest.raises(Rejected, match="expires is missing"):
        read_consent(record)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"expires": "31.01.2027"}, "expires is '31.01.2027' and must be the last day"),
        ({"expires": "2027-02-30"}, "expires is '2027-02-30'"),
        ({"expires": 1_800_000_000}, "expires is 1800000000"),
        ({"expires": False}, "expires is False"),
        ({"expiry": "2027-01-31"}, "'expiry' is no field"),
        ({"subject": ""}, "subject is ''"),
        ({"subject": "  "}, "subject is"),
        ({"subject": ["Anna"]}, "subject is"),
        ({"scope": "\u001b[2J"}, "scope is"),
        ({"scope": "x" * 1001}, "scope is"),
        ({"scope": "a\u2028b"}, "scope is"),
        ({"subject": "\u009b2J"}, "subject is"),
        ({"subject": "Anna \u202egnp.exe"}, "subject is"),
        ({"evidence": "x" * 5000}, "evidence is 'xxx"),
        ({"evidence": "gone.pdf"}, "evidence is 'gone.pdf' and must be the SHA-256"),
        ({"evidence": ""}, "evidence is ''"),
        ({"evidence": "."}, "evidence is '.'"),
        ({"evidence": "form\0pdf"}, "evidence is"),
        ({"evidence": None}, "evidence is None"),
        ({"evidence": DIGEST[:-1]}, "evidence is"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_must_be(record: Path, changed: dict[str, Any], said: str) -> None:
    record.write_text(json.dumps(RECORD | changed))
    with pytest.raises(Rejected) as refused:
        read_consent(record)
    assert said in str(refused.value) and str(record) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_all_that_is_wrong_is_said_in_one_sentence(record: Path) -> None:
    record.write_text(json.dumps({"subject": 7, "until": "never", "evidence": "gone.pdf"}))
    with pytest.raises(Rejected) as refused:
        read_consent(record)
    for said in ("subject is 7", "scope is missing", "expires is missing", "evidence is 'gone.pdf'", "'until' is no"):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"no JSON", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"subject": "\\ud800"}', b" " * 70_000 + b"{}"],
)
def test_what_is_no_record_is_refused(record: Path, content: bytes) -> None:
    record.write_bytes(content)
    with pytest.raises(Rejected, match="no JSON object with the fields subject, scope, expires, evidence"):
        read_consent(record)


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"none\.json is not there: give the path of a file"):
        read_consent(tmp_path / "none.json")
    with pytest.raises(Rejected, match="is a folder: give the path of a file"):
        read_consent(tmp_path)


def test_the_same_source_and_consent_give_the_same_pack(small_pack: Pack, tmp_path: Path) -> None:
    packs = [resealed(small_pack, tmp_path / name, consent=consent(TODAY)) for name in ("one", "two")]
    assert packs[0].digest == packs[1].digest != small_pack.digest
    assert packs[0].spec.model_copy(update={"consent": None}) == small_pack.spec
    assert resealed(packs[0], tmp_path / "three", consent=consent(TODAY)) == packs[0]
    assert not (tmp_path / "three").exists(), "what carries it already is not copied"


def test_a_job_without_consent_is_refused_before_its_audio_is_opened(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    request = JobRequest(audio=tmp_path / "not-there.wav", require_consent=True)
    with pytest.raises(Rejected, match=r"LIPSYNC_REQUIRE_CONSENT is set\. It carries no consent"):
        prepare_job(request, "a" * 64, spec(), store)
    with pytest.raises(Rejected, match=r"not-there\.wav"):
        prepare_job(request, "a" * 64, spec(given=consent()), store)
    assert not list(store.list(""))


def test_rendering_here_asks_for_the_same_consent(
    small_pack: Pack, settings: Settings, sound: Path, tmp_path: Path
) -> None:
    shown = small_pack.spec.model_copy(update={"provenance": Provenance(layout="training-folder")})
    root = tmp_path / "pack"
    for file in small_pack.spec.files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes((small_pack.root / file).read_bytes())
    request = JobRequest(audio=sound, require_consent=True)

    def render() -> list[str]:
        folder = tmp_path / "frames"
        render_locally(request, str(root), Outputs(frames=folder), settings, lambda *_: None, (0, 1))
        return [path.name for path in folder.iterdir()]

    (root / "avatar.json").write_bytes(shown.to_bytes())
    with pytest.raises(Rejected, match="no consent of the person"):
        render()
    (root / "avatar.json").write_bytes(shown.model_copy(update={"consent": consent()}).to_bytes())
    assert render() == ["000000.png"]
