"""The doctor: every fault gets its code and a sentence that says what to do, and no fault hides another."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from infra.errors import Failed, Rejected, Unreachable
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.avatar_spec import FrameSize
from tests import avatar_sources as made
from tests.docs.pages import AVATARS, rows
from workers.avatar.checking import check
from workers.avatar.findings import SEVERITY, Code, Finding, runs, usable, verdict
from workers.avatar.importing import import_avatar
from workers.avatar.pack import Pack, publish, seal
from workers.avatar.sources.geometry import box_findings
from workers.avatar.sources.masks import EXPECTED, find_mask, is_expected
from workers.avatar.sources.suitability import clip_findings, memory_findings
from workers.avatar.template import open_template

Networks = tuple[Path, Path]
Fault = Callable[[Path], Any]
FRAMES = 12


def training(root: Path, networks: Networks) -> Path:
    return made.training_folder(root, frames=FRAMES, parsing=True)


def package(root: Path, networks: Networks) -> Path:
    return made.package_v2(root, networks, frames=FRAMES)


def server(root: Path, networks: Networks) -> Path:
    return made.server_layout(root, networks[0], frames=FRAMES)


def codes(findings: list[Finding], *levels: str) -> set[str]:
    return {finding.code for finding in findings if finding.level in (levels or SEVERITY)}


def rectangles(source: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = source / "cache/crop_rectangles.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def server_rectangles(source: Path, edit: Callable[[list[Any]], Any]) -> None:
    path = source / "crop_rects.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def from_one(source: Path) -> None:
    shutil.rmtree(source / "full_body_img")
    made.write_pictures(source / "full_body_img", "{}.jpg", FRAMES, first=1)


def landmarks_from_one(source: Path) -> None:
    shutil.rmtree(source / "landmarks")
    made.write_landmarks(source / "landmarks", FRAMES, first=1)


def ends_without_landmarks(source: Path) -> None:
    landmarks_from_one(source)
    from_one(source)
    (source / f"landmarks/{FRAMES}.lms").unlink()


def without_landmarks(*frames: int) -> Fault:
    def fault(source: Path) -> None:
        for frame in frames:
            (source / f"landmarks/{frame}.lms").unlink()

    return fault


def odd(source: Path) -> None:
    made.write_pictures(source / "full_body_img", "{}.jpg", FRAMES, size=(97, 65))
    shutil.rmtree(source / "parsing")


def still(source: Path) -> None:
    for frame in range(FRAMES):
        shutil.copyfile(source / "full_body_img/0.jpg", source / f"full_body_img/{frame}.jpg.new")
        (source / f"full_body_img/{frame}.jpg.new").rename(source / f"full_body_img/{frame}.jpg")


def repeated(source: Path) -> None:
    shutil.copyfile(source / "full_body_img/4.jpg", source / "full_body_img/5.jpg")


def linked_to_itself(source: Path) -> None:
    (source / "full_body_img/5.jpg").unlink()
    (source / "full_body_img/5.jpg").symlink_to("5.jpg")


def numbered_far_off(source: Path) -> None:
    (source / "full_body_img/2.jpg").unlink()
    cv2.imwrite(str(source / "full_body_img/999999.jpg"), made.picture(12))


def varying_rate(source: Path) -> None:
    made.write_uneven_video(source / "full_body_video.mp4", FRAMES)


def extracted(source: Path, frames: int = FRAMES, other: int = 0) -> None:
    made.write_pictures(source / "full_body_img", "{}.jpg", frames, first=1)
    for number in range(1, frames + 1 if other else 1):
        cv2.imwrite(str(source / f"full_body_img/{number}.jpg"), 255 - made.picture(number))


def faces(rows: tuple[int, int] = (5, 310), columns: tuple[int, int] = (5, 315), side_px: int = 320) -> Fault:
    return lambda source: made.write_faces(source / "model_inputs", rows, columns, side_px)


def emptied(source: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()


def foreign_digest(source: Path) -> None:
    path = source / "onnx_dist_config.json"
    document = json.loads(path.read_text())
    document["models"]["audio_encoder"]["sha256"] = "0" * 64
    path.write_text(json.dumps(document))


# Layout, what is done to a sound source, level and code of the finding, and what its sentence must say.
FAULTS: list[tuple[Callable[[Path, Networks], Path], Fault, str, str, list[str]]] = [
    (training, from_one, "repair", "index-base", ["Pictures are numbered from 1, landmarks from 0"]),
    (training, landmarks_from_one, "repair", "index-base", ["Pictures are numbered from 0, landmarks from 1"]),
    (package, landmarks_from_one, "repair", "index-base", ["The video's frames are numbered from 0, landmarks from 1"]),
    (
        package,
        lambda s: rectangles(s, lambda boxes: boxes.update({str(FRAMES): boxes.pop("0")})),
        "repair",
        "index-base",
        ["the boxes of cache/crop_rectangles.json from 1"],
    ),
    (training, ends_without_landmarks, "warning", "index-base", ["lipsync avatar preview"]),
    (training, without_landmarks(2, 3, 7), "repair", "missing-landmarks", ["3 of 12 template frames", "(2, 3, 7)"]),
    (training, lambda s: shutil.rmtree(s / "landmarks"), "error", "missing-landmarks", ["detect the face again"]),
    (
        server,
        lambda s: server_rectangles(s, list.clear),
        "error",
        "missing-boxes",
        ["No template frame has a crop box"],
    ),
    (training, lambda s: made.set_landmarks(s, 4, (70, 10, 110, 50)), "error", "box-outside", ["template frame 4"]),
    (training, lambda s: made.set_landmarks(s, 4, (40, 15, 80, 55)), "warning", "box-jump", ["(4)", "40 %"]),
    (training, lambda s: made.set_landmarks(s, 4, (24, 10, 74, 60)), "warning", "box-jump", ["(4)", "25 %"]),
    (server, lambda s: server_rectangles(s, lambda b: b.insert(5, b.pop(11))), "warning", "box-jump", ["detect"]),
    (server, lambda s: server_rectangles(s, lambda b: b[3].__setitem__(3, 60)), "warning", "box-shape", ["(3)"]),
    (server, lambda s: server_rectangles(s, lambda b: b.__setitem__(3, None)), "error", "box-file", ["Entry 3"]),
    (server, lambda s: (s / "crop_rects.json").write_text("{"), "error", "box-file", ["not valid JSON"]),
    (server, lambda s: server_rectangles(s, lambda b: b.pop()), "repair", "length-mismatch", ["first 11 are kept"]),
    (training, lambda s: made.write_landmarks(s / "landmarks", 30), "error", "length-mismatch", ["boxes for 30"]),
    (
        package,
        lambda s: rectangles(s, lambda boxes: boxes.update({"3": [0, 0, 40, 40]})),
        "warning",
        "box-conflict",
        ["1 of 12", "(3)", "delete cache/crop_rectangles.json"],
    ),
    (training, lambda s: (s / "landmarks/1.lms").write_text("1 2\n"), "error", "landmark-file", ["1 lines, 110"]),
    (training, lambda s: (s / "full_body_img/5.jpg").write_bytes(b""), "error", "picture-file", ["5.jpg is not a"]),
    (training, linked_to_itself, "error", "picture-file", ["no file full_body_img/5.jpg"]),
    (training, lambda s: (s / "full_body_img/5.jpg").unlink(), "error", "missing-pictures", ["5 is missing"]),
    (training, numbered_far_off, "error", "missing-pictures", ["without a gap: 2, 12-999998 are missing"]),
    (server, lambda s: shutil.rmtree(s / "frames"), "error", "missing-pictures", ["in frames"]),
    (training, lambda s: cv2.imwrite(str(s / "full_body_img/12.png"), made.picture(12)), "error", "picture-format", []),
    (
        training,
        lambda s: cv2.imwrite(str(s / "full_body_img/0.jpg"), made.picture(0, 98, 64)),
        "error",
        "picture-size",
        ["full_body_img/0.jpg measures 98x64 pixels, but most 96x64"],
    ),
    (training, lambda s: (s / "parsing/5.png").write_bytes(b""), "error", "parsing-file", ["parsing/5.png"]),
    (training, lambda s: (s / "parsing/5.png").unlink(), "warning", "parsing-missing", ["1 of 12", "(5)"]),
    (training, odd, "repair", "odd-size", ["97x65"]),
    (training, still, "warning", "frozen-frames", ["one still picture"]),
    (training, repeated, "warning", "frozen-frames", ["1 of 12", "(5)", "stutter"]),
    (training, lambda s: None, "warning", "missing-network", ["--generator FILE and --audio-encoder FILE"]),
    (server, lambda s: None, "warning", "missing-network", ["needs --audio-encoder FILE."]),
    (package, lambda s: (s / "full_body_video.mp4").write_bytes(b""), "error", "video-file", ["cannot be read"]),
    (
        package,
        lambda s: made.write_video(s / "full_body_video.mp4", FRAMES, fps=30),
        "error",
        "frame-rate",
        ["30 frames per second", "fps=25"],
    ),
    (package, varying_rate, "warning", "variable-frame-rate", ["no constant frame rate", "fps=25"]),
    (package, lambda s: None, "note", "stale-cache", ["aud_ave.npy (", "can be deleted"]),
    (
        package,
        lambda s: (s / "aud_ave.npy").rename(s / "aud_hu.npy"),
        "warning",
        "front-end",
        ["aud_hu.npy", "front end `ave`"],
    ),
    (package, lambda s: extracted(s, 9), "warning", "stale-frames", ["full_body_img/ holds 9 frames instead of 12"]),
    (package, lambda s: extracted(s, other=1), "warning", "stale-frames", ["full_body_img/ shows something else"]),
    (server, lambda s: made.write_video(s / "full_body_video.mp4", 9), "warning", "stale-frames", ["mp4 holds 9"]),
    (server, lambda s: None, "note", "memory", ["MB for itself"]),
    (package, faces(), "note", "baked-pictures", ["model_inputs can be deleted"]),
    (
        package,
        faces((5, 300), (5, 310)),
        "warning",
        "baked-mask",
        ["rows 5 to 299, columns 5 to 309", "rows 5 to 309, columns 5 to 314"],
    ),
    (package, faces((9, 314), (9, 319), side_px=328), "note", "baked-pictures", []),
    (package, lambda s: (s / "onnx_dist_config.json").write_text("{"), "error", "config-file", ["not valid JSON"]),
    (package, lambda s: (s / "onnx_dist_config.json").unlink(), "warning", "network-digest", ["gives no digest"]),
    (package, foreign_digest, "error", "network-digest", ["audio_encoder.onnx is not the file"]),
    (
        server,
        lambda s: (s / "checkpoint/model_best.onnx").write_bytes(b"no network"),
        "error",
        "network-file",
        ["model_best.onnx cannot be loaded", "export the network again"],
    ),
    (
        server,
        lambda s: made.claiming(
            s / "checkpoint/model_best.onnx",
            {"input": ["N", 6, 320, 320], "audio": ["N", 32, 32, 32]},
            ["N", 3, 320, 320],
        ),
        "error",
        "network-shape",
        ["['N', 32, 32, 32]", "32, 16, 16", "train it with the front end `ave`"],
    ),
    (
        server,
        lambda s: made.claiming(
            s / "checkpoint/model_best.onnx",
            {"input": ["N", 6, 160, 160], "audio": ["N", 32, 16, 16]},
            ["N", 3, 160, 160],
        ),
        "error",
        "network-shape",
        ["160, 160", "320, 320", "export the one of the 328-pixel pipeline"],
    ),
    (server, emptied, "error", "source-layout", ["expected is"]),
]


@pytest.mark.parametrize(
    ("layout", "fault", "level", "code", "parts"),
    FAULTS,
    ids=[f"{row[3]}-{number}" for number, row in enumerate(FAULTS)],
)
def test_a_fault_gets_its_code_and_a_sentence(
    layout: Callable[[Path, Networks], Path],
    fault: Fault,
    level: str,
    code: str,
    parts: list[str],
    tmp_path: Path,
    networks: Networks,
    settings: Settings,
) -> None:
    source = layout(tmp_path / "source", networks)
    fault(source)
    findings = check(source, settings)
    told = [finding for finding in findings if (finding.level, finding.code) == (level, code)]
    assert told, findings
    for part in parts:
        assert any(part in finding.sentence for finding in told), told
    assert codes(findings, "error") <= {code}, "one fault, one kind of error"


@pytest.mark.parametrize("layout", [training, package, server])
def test_a_sound_source_is_told_nothing_but_what_importing_lacks(
    layout: Callable[[Path, Networks], Path], tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = layout(tmp_path / "source", networks)
    findings = made.told(check(source, settings, generator=networks[0], audio_encoder=networks[1]))
    assert codes(findings, "error", "warning", "repair") == set()
    assert codes(findings) <= {"stale-cache", "colour-untagged"}


def test_no_fault_hides_another(tmp_path: Path, networks: Networks, settings: Settings) -> None:
    source = package(tmp_path / "source", networks)
    (source / "landmarks/1.lms").write_text("1 2\n")
    (source / "landmarks/6.lms").unlink()
    made.set_landmarks(source, 4, (70, 10, 110, 50))
    made.set_landmarks(source, 9, (40, 15, 80, 55))
    made.write_video(source / "full_body_video.mp4", FRAMES + 2, fps=30)
    made.write_faces(source / "model_inputs", (5, 300), (5, 310))
    foreign_digest(source)
    shape: dict[str, list[int | str]] = {"input": ["N", 6, 160, 160], "audio": ["N", 32, 16, 16]}
    made.claiming(source / "models/generator.onnx", shape, ["N", 3, 160, 160])
    made.claiming(source / "models/audio_encoder.onnx", {"mel": ["N", 1, 80, 16]}, ["N", 1024])
    (source / "cache/crop_rectangles.json").write_text("[]")
    findings = check(source, settings)
    expected = {"box-file", "box-outside", "frame-rate", "landmark-file", "network-digest", "network-shape"}
    assert codes(findings, "error") == expected
    assert {"box-jump", "baked-mask"} <= codes(findings, "warning")
    assert codes(findings, "repair") == {"length-mismatch", "missing-landmarks"}
    shapes = [finding.sentence for finding in findings if finding.code == "network-shape"]
    assert len(shapes) == 2, "one network of another kind must not hide the other"
    levels = [SEVERITY.index(finding.level) for finding in findings]
    assert levels == sorted(levels), "the worst comes first"


def test_a_clip_that_cannot_be_read_does_not_hide_its_boxes(
    tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = package(tmp_path / "source", networks)
    (source / "full_body_video.mp4").write_bytes(b"no video")
    made.set_landmarks(source, 4, (40, 15, 80, 55))
    (source / "landmarks/6.lms").unlink()
    assert {"video-file", "box-jump", "missing-landmarks", "box-size"} <= codes(check(source, settings))


def test_many_broken_files_fill_no_screen(tmp_path: Path, networks: Networks, settings: Settings) -> None:
    source = training(tmp_path / "source", networks)
    for frame in range(2, FRAMES):
        (source / f"landmarks/{frame}.lms").write_text("")
    told = [finding.sentence for finding in check(source, settings) if finding.level == "error"]
    assert len(told) == 4
    assert told[-1].startswith("7 more are as bad: landmarks/5.lms,")


def test_importing_refuses_with_the_first_error_that_checking_finds(
    tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = training(tmp_path / "source", networks)
    (source / "landmarks/1.lms").write_text("1 2\n")
    made.set_landmarks(source, 4, (70, 10, 110, 50))
    first = next(finding for finding in check(source, settings) if finding.level == "error")
    with pytest.raises(Rejected) as refused:
        import_avatar(source, tmp_path, generator=networks[0], audio_encoder=networks[1], settings=settings)
    assert str(refused.value) == first.sentence


def test_a_long_gap_without_landmarks_is_more_than_a_repair(
    tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = made.training_folder(tmp_path / "source", frames=40)
    without_landmarks(3, *range(10, 23))(source)
    told = {f.level: f.sentence for f in check(source, settings) if f.code == "missing-landmarks"}
    assert "14 of 40 template frames have no landmarks (3, 10, 11, 12, 13 and 9 more)" in told["repair"]
    assert "10 to 22 in a row" in told["warning"] and "0.5 s" in told["warning"]


def test_networks_that_importing_would_be_given_are_tried(
    tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = training(tmp_path / "source", networks)
    swapped = check(source, settings, generator=networks[1], audio_encoder=networks[0])
    assert [finding.code for finding in swapped if finding.level == "error"] == ["network-shape", "network-shape"]
    (tmp_path / "best.pth").write_bytes(b"cos\nsystem\n")
    refused = check(source, settings, generator=tmp_path / "best.pth", audio_encoder=networks[1])
    assert codes(refused, "error") == {"network-file"}
    assert "missing-network" not in codes(refused)
    (source / "aud_wenet.npy").write_bytes(b"")
    refused = check(source, settings, generator=tmp_path / "best.pth", audio_encoder=networks[1])
    assert codes(refused, "error") == {"network-file", "front-end"}


def test_a_pack_is_looked_at_like_a_source(tmp_path: Path, networks: Networks, settings: Settings) -> None:
    source = training(tmp_path / "source", networks)
    made.set_landmarks(source, 4, (40, 15, 80, 55))
    repeated(source)
    without_landmarks(7)(source)
    pack = import_avatar(source, tmp_path, generator=networks[0], audio_encoder=networks[1], settings=settings).pack
    findings = check(pack.root, settings)
    expected = {"box-jump", "frozen-frames", "pack-repairs", "licence", *made.OF_SMALL_AVATARS}
    assert codes(findings) == expected
    shutil.rmtree(pack.root / "frames")
    assert codes(check(pack.root, settings)) == {"pack-damaged"}


def test_a_pack_whose_files_hold_something_else_than_they_promise_is_damaged(
    tmp_path: Path, pack: Pack, settings: Settings
) -> None:
    root = tmp_path / "broken"
    shutil.copytree(pack.root, root, ignore=shutil.ignore_patterns("avatar.json"))
    (root / "frames/000001.jpg").write_bytes(b"no picture")
    (root / "parsing").mkdir()
    (root / "parsing/000002.png").write_bytes(b"no picture")
    fields = {name: getattr(pack.spec, name) for name in ("frame_size", "template", "boxes", "provenance")}
    findings = check(seal(root, **fields).root, settings)
    damaged = [finding.sentence for finding in findings if finding.code == "pack-damaged"]
    assert len(damaged) == 2 and "Template frame 1" in damaged[0] and "parsing/000002.png" in damaged[1]
    assert {"licence", "memory"} <= codes(findings), "the look goes on"


def test_what_is_no_avatar_at_all_is_said(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("")
    assert codes(check(tmp_path / "file", settings)) == {"source-layout"}
    assert codes(check("nobody", settings)) == {"unknown-avatar"}


def test_a_store_that_does_not_answer_says_nothing_of_an_avatar(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "nobody")
    nowhere = {"store": "s3://bucket", "s3_endpoint": "http://127.0.0.1:9", "connect_timeout_s": 0.1}
    with pytest.raises(Unreachable):
        check("nobody", settings.model_copy(update=nowhere))


@pytest.mark.parametrize("size", [(96, 64), (1920, 1080)])
def test_the_memory_of_a_template_is_that_of_its_files(
    size: tuple[int, int], tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    from workers.avatar.synthetic import make_synthetic

    pack = make_synthetic(tmp_path, frames=3, width=size[0], height=size[1], small=True)
    open_template(pack, settings.cache)
    kept = sum(path.stat().st_size for path in settings.cache.rglob("planes*/*"))
    (note,) = (finding for finding in check(pack.root, settings) if finding.code == "memory")
    assert f"template {round(kept / 1e6)} MB" in note.sentence


def told_of_memory(settings: Settings, frames: int = 250, batch: int = 1) -> list[Finding]:
    return list(memory_findings(frames, FrameSize(width=1920, height=1080), [], 0, 60_000_000, batch, settings))


def test_a_huge_template_or_batch_is_warned_of_with_a_way_out(settings: Settings) -> None:
    (note,) = told_of_memory(settings)
    assert (note.level, "640 MB for itself" in note.sentence) == ("note", True)
    assert "a quarter of the free memory" in note.sentence
    assert "up to 70 MB more" in told_of_memory(settings.model_copy(update={"cache_mb": 70}))[0].sentence
    _, warning = told_of_memory(settings, frames=7500)
    assert warning.level == "warning" and "cut the clip to 2330 frames" in warning.sentence
    _, warning = told_of_memory(settings.model_copy(update={"cache_disk_mb": 1000}), frames=300)
    assert "LIPSYNC_CACHE_DISK_MB" in warning.sentence and "cut the clip to 291 frames" in warning.sentence
    _, warning = told_of_memory(settings, batch=16)
    assert "LIPSYNC_BATCH" in warning.sentence


@pytest.mark.parametrize(
    ("prints", "code"),
    [
        ([1], "frozen-frames"),
        (list(range(49)), "clip-length"),
        (list(range(50)), None),
        (list(range(7500)), None),
        (list(range(7501)), "clip-length"),
        ([frame - frame // 25 for frame in range(250)], "frozen-frames"),  # 24 frames per second made 25
        ([frame - frame // 50 for frame in range(250)], None),
        ([0] * 60, "frozen-frames"),
    ],
)
def test_the_length_and_the_repeated_frames_of_a_clip(prints: list[int], code: str | None) -> None:
    assert [finding.code for finding in clip_findings(prints)] == ([code] if code else [])


@pytest.mark.parametrize(("side_px", "part"), [(100, "3.3 times"), (163, "2.0 times"), (700, "2.1 times")])
def test_a_face_that_is_much_resized_is_warned_of(side_px: int, part: str) -> None:
    (warning,) = box_findings([(0, 0, side_px, side_px)] * 3, None)
    assert warning.code == "box-size" and part in warning.sentence


@pytest.mark.parametrize("side_px", [164, 328, 656])
def test_a_face_that_is_little_resized_is_not(side_px: int) -> None:
    assert list(box_findings([(0, 0, side_px, side_px)] * 3, None)) == []


@pytest.mark.parametrize("quality", [95, 75, 50])
@pytest.mark.parametrize(("rows", "columns"), [((5, 310), (5, 315)), ((5, 306), (5, 311)), ((60, 310), (20, 300))])
def test_a_mask_is_measured_through_compression(quality: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    face = made.picture(0, 320, 320) // 2 + 100
    face[slice(*rows), slice(*columns)] = 0
    packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    mask = find_mask(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8))
    assert mask is not None and mask == (rows[0], rows[1] - 1, columns[0], columns[1] - 1)
    assert is_expected(mask, 320) == (mask == EXPECTED)


def test_a_face_without_a_mask_has_none() -> None:
    assert find_mask(made.picture(0, 320, 320)) is None


def test_every_code_is_explained_and_every_explained_code_exists() -> None:
    table = rows(AVATARS, "code")
    assert {code.strip("`") for code in table} == set(get_args(Code))
    assert all(len(meaning) > 20 and len(remedy) > 3 for _, _, meaning, remedy in table.values())


NOT_CHECKED = Finding("error", "not-checked", "")
LICENCE = Finding("error", "licence", "")
LACKING = Finding("warning", "missing-network", "", "--audio-encoder FILE")


@pytest.mark.parametrize(
    ("findings", "can", "said"),
    [
        ([], True, "anna can be used: nothing to say."),
        ([LACKING], True, "anna can be imported with --audio-encoder FILE: 1 warning."),
        ([NOT_CHECKED, LACKING], None, "anna could not be checked: 1 error, 1 warning."),
        ([NOT_CHECKED, LICENCE], False, "anna cannot be used: 2 errors."),
        ([LICENCE, LACKING], False, "anna cannot be used: 1 error, 1 warning."),
    ],
)
def test_the_verdict_says_what_can_be_done(findings: list[Finding], can: bool | None, said: str) -> None:
    assert (usable(findings), verdict("anna", findings)) == (can, said)


def test_runs_are_spelled_by_their_ends() -> None:
    assert runs([]) == []
    assert runs([0, 2, 3, 4, 7, 9, 10]) == ["0", "2-4", "7", "9-10"]


def blamed(findings: list[Finding]) -> set[str]:
    assert usable(findings) is None, findings
    return codes(findings, "error")


def test_a_machine_without_pytorch_says_nothing_of_the_network(
    tmp_path: Path, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = training(tmp_path / "source", networks)
    shutil.copyfile(networks[0], tmp_path / "best.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    findings = check(source, settings, generator=tmp_path / "best.pth", audio_encoder=networks[1])
    assert blamed(findings) == {"not-checked"}
    assert "install lipsync-fleet[train]" in findings[0].sentence
    assert "box-size" in codes(findings), "the look goes on"
    with pytest.raises(Failed, match="needs PyTorch"):
        import_avatar(source, tmp_path, generator=tmp_path / "best.pth", audio_encoder=networks[1], settings=settings)


def test_a_cache_that_cannot_be_written_says_nothing_of_the_pack(
    pack: Pack, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    publish(pack, store, "anna")
    (tmp_path / "file").write_bytes(b"")
    findings = check("anna", settings.model_copy(update={"cache": tmp_path / "file" / "cache"}))
    assert blamed(findings) == {"not-checked"}
    assert "Opening the cache" in findings[0].sentence


def test_a_store_that_lets_nobody_in_says_nothing_of_the_avatar(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nowhere = {"store": "s3://bucket", "s3_endpoint": "http://127.0.0.1:9", "connect_timeout_s": 0.1}
    assert blamed(check("anna", settings.model_copy(update=nowhere))) == {"not-checked"}


def test_damage_in_the_store_is_the_avatars_own(pack: Pack, settings: Settings, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    store.put(f"{keys.avatar_pack(pack.digest)}generator.onnx", b"something else")
    findings = check("anna", settings)
    assert (usable(findings), codes(findings)) == (False, {"pack-damaged"})
    store.put(keys.avatar_pointer("anna"), b"{}")
    findings = check("anna", settings)
    assert (usable(findings), codes(findings)) == (False, {"unknown-avatar"})


@pytest.mark.parametrize("target", ["folder", "anna", "digest"])
def test_networks_are_given_for_a_source_alone(
    target: str, pack: Pack, settings: Settings, store: ObjectStore, networks: Networks
) -> None:
    publish(pack, store, "anna")
    named = {"folder": str(pack.root), "anna": "anna", "digest": pack.digest}[target]
    with pytest.raises(Rejected, match="is no source folder, and only one can be given --audio-encoder: "):
        check(named, settings, audio_encoder=networks[1])


@pytest.mark.parametrize("given", ["none.onnx", "folder", "none.pth", "folder.pth"])
def test_a_network_that_is_no_file_is_said_to_be_none(
    given: str, tmp_path: Path, networks: Networks, settings: Settings
) -> None:
    source = training(tmp_path / "source", networks)
    for name in ("folder", "folder.pth"):
        (tmp_path / name).mkdir()
    path = tmp_path / given
    said = f"{path} {'is a folder' if path.is_dir() else 'is not there'}: give the path of a file."
    (error,) = (f for f in check(source, settings, generator=path, audio_encoder=networks[1]) if f.level == "error")
    assert (error.code, error.sentence) == ("network-file", said)
    with pytest.raises(Rejected) as refused:
        import_avatar(source, tmp_path, generator=path, audio_encoder=networks[1], settings=settings)
    assert str(refused.value) == said


def test_a_source_is_told_that_jobs_will_need_a_consent(tmp_path: Path, networks: Networks, settings: Settings) -> None:
    source = package(tmp_path / "source", networks)
    required = settings.model_copy(update={"require_consent": True})
    assert "consent" not in codes(check(source, settings))
    assert "consent" in codes(check(source, required), "warning")


def test_the_verdict_counts() -> None:
    findings = [Finding("warning", "licence", ""), Finding("warning", "memory", ""), Finding("note", "memory", "")]
    assert verdict("anna", findings) == "anna can be used: 2 warnings, 1 note."
    assert verdict("anna", [Finding("error", "licence", ""), *findings]).startswith("anna cannot be used: 1 error, 2")
    assert verdict("anna", []) == "anna can be used: nothing to say."


def test_nothing_is_printed_but_what_the_command_prints(
    tmp_path: Path, networks: Networks, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    source = server(tmp_path / "source", networks)
    path = source / "checkpoint/model_best.onnx"
    path.write_bytes(path.read_bytes().replace(b"Sigmoid", b"\xffigmoid"))
    assert codes(check(source, settings), "error") == {"network-file"}
    assert capsys.readouterr().out == "", "ONNX Runtime tells of its second attempt, which would spoil --json"
