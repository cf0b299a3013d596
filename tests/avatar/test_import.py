"""Every layout that people bring becomes a pack; every fault in one gets a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from infra.errors import Failed, Rejected
from infra.settings import Settings
from jobs.avatar_spec import read_avatar_json
from tests import avatar_sources as made
from workers.avatar.checking import check
from workers.avatar.importing import import_avatar
from workers.avatar.pack import Pack, file_digest
from workers.avatar.template import open_template

Networks = tuple[Path, Path]
Import = Callable[..., Pack]


@pytest.fixture
def bring(tmp_path: Path, networks: Networks, settings: Settings) -> Import:
    """Import a source with the small networks."""

    def run(source: Path, **options: Any) -> Pack:
        work_dir = tmp_path / f"work-{len(list(tmp_path.glob('work-*')))}"
        work_dir.mkdir()
        given: dict[str, Any] = {"generator": networks[0], "audio_encoder": networks[1], "settings": settings} | options
        return import_avatar(source, work_dir, **given).pack

    return run


def repairs(pack: Pack) -> str:
    return " ".join(pack.spec.provenance.repairs)


def build(layout: str, root: Path, networks: Networks) -> Path:
    if layout == "training-folder":
        return made.training_folder(root, parsing=True)
    if layout == "package-v2":
        return made.package_v2(root, networks)
    return made.server_layout(root, networks[0])


LAYOUTS = ("training-folder", "package-v2", "server")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_source_gives_the_same_digest_wherever_it_lies(
    layout: str, tmp_path: Path, networks: Networks, bring: Import
) -> None:
    first = bring(build(layout, tmp_path / "here", networks))
    second = bring(build(layout, tmp_path / "some" / "where" / "else", networks))
    assert first.root != second.root
    assert first.digest == second.digest
    assert first.spec.provenance.layout == layout
    assert first.spec.boxes == made.boxes()
    assert first.spec.provenance.repairs == ()
    assert str(tmp_path) not in (first.root / "avatar.json").read_text()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_template_keeps_the_sources_bytes(layout: str, tmp_path: Path, networks: Networks, bring: Import) -> None:
    source = build(layout, tmp_path / "source", networks)
    pack = bring(source)
    originals = {
        "training-folder": {f"frames/{n:06d}.jpg": f"full_body_img/{n}.jpg" for n in range(made.FRAMES)},
        "package-v2": {"template.mp4": "full_body_video.mp4"},
        "server": {f"frames/{n:06d}.jpg": f"frames/frame_{n:06d}.jpg" for n in range(made.FRAMES)},
    }[layout]
    for name, original in originals.items():
        assert (pack.root / name).read_bytes() == (source / original).read_bytes()


def test_a_package_brings_its_own_networks(tmp_path: Path, networks: Networks, bring: Import) -> None:
    own = made.make_networks(tmp_path / "own", seed=7)
    pack = bring(made.package_v2(tmp_path / "source", own), generator=None, audio_encoder=None)
    assert pack.spec.files["generator.onnx"] == file_digest(own[0]) != file_digest(networks[0])
    assert pack.spec.files["audio_encoder.onnx"] == file_digest(own[1])


def test_a_pack_imports_as_it_is(pack: Pack, bring: Import) -> None:
    assert bring(pack.root, generator=None, audio_encoder=None).root == pack.root


def test_a_pack_takes_another_licence_and_keeps_the_rest(
    pack: Pack, bring: Import, tmp_path: Path, settings: Settings
) -> None:
    none = {"generator": None, "audio_encoder": None}
    given = bring(pack.root, licence=" CC-BY ", **none)
    assert given.spec == pack.spec.model_copy(update={"licence": "CC-BY"}), "nothing else changes"
    assert given.digest != pack.digest
    assert bring(given.root, licence="CC-BY", **none).root == given.root, "it carries that licence already"
    without = bring(pack.root, licence="unspecified", **none)
    assert "licence" in {finding.code for finding in check(without.root, settings)}
    assert "licence" not in {finding.code for finding in check(given.root, settings)}, "the doctor's remedy helps"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"generator": Path("/nonexistent.onnx")}, "--generator"),
        ({"audio_encoder": Path("/nonexistent.onnx")}, "--audio-encoder"),
        ({"generator": Path("a.onnx"), "matrix": "bt709"}, "--generator and --matrix"),
    ],
)
def test_options_that_cannot_apply_to_a_pack_are_refused(
    options: dict[str, Any], named: str, pack: Pack, bring: Import
) -> None:
    with pytest.raises(Rejected, match=f"is no source folder, and only one can be given {named}: "):
        bring(pack.root, **({"generator": None, "audio_encoder": None} | options))


@pytest.mark.parametrize(
    "licence", ["", "  ", "two\nlines", "\x1b[2J", "\x9b2J", "a\u2028b", "a\u2029b", "\u202eevil", "\udcff", "x" * 1001]
)
def test_a_licence_is_one_line_that_can_be_printed(
    licence: str, pack: Pack, tmp_path: Path, settings: Settings
) -> None:
    for source in (pack.root, made.training_folder(tmp_path / "source")):
        with pytest.raises(Rejected, match="printable characters on one line") as refused:
            import_avatar(source, tmp_path, licence=licence, settings=settings)
        assert str(refused.value).isprintable()


def test_a_licence_of_any_script_is_taken(pack: Pack, bring: Import) -> None:
    words = "© Zoë, für 日本 – 100 % \u00a0‘nur intern’"
    assert bring(pack.root, licence=words, generator=None, audio_encoder=None).spec.licence == words


def test_packs_of_earlier_versions_open_whatever_their_licence_holds(pack: Pack) -> None:
    spec = pack.spec.model_copy(update={"licence": "two\nlines \u202e"})
    assert read_avatar_json(spec.to_bytes(), "avatar.json")[0] == spec


def test_what_a_pack_says_of_its_repairs_is_data(tmp_path: Path, networks: Networks, bring: Import) -> None:
    source = made.training_folder(tmp_path / "source", pictures_from=1, parsing=True)
    made.write_pictures(source / "full_body_img", "{}.jpg", first=1, size=(97, 65))
    shutil.rmtree(source / "parsing")
    for frame in (1, 2, 5):
        (source / f"landmarks/{frame}.lms").unlink()
    made.write_landmarks(source / "landmarks", frames=1, first=6)
    assert bring(source).spec.provenance.repairs == (
        "odd-size: 97x65 to 96x64",
        "index-base: frames from 1, landmarks from 0",
        "length-mismatch: 6 frames, 7 boxes",
        "missing-landmarks: 3 of 6 frames, 1-2 5",
    )


@pytest.mark.parametrize("layout", ["training-folder", "server"])
def test_pictures_numbered_from_one_are_matched_with_what_is_numbered_from_zero(
    layout: str, tmp_path: Path, networks: Networks, bring: Import
) -> None:
    root = tmp_path / "source"
    if layout == "server":
        source = made.server_layout(root, networks[0], pictures_from=1)
        first = "frames/frame_000001.jpg"
    else:
        source = made.training_folder(root, pictures_from=1, parsing=True)
        first = "full_body_img/1.jpg"
    pack = bring(source)
    assert pack.spec.boxes == made.boxes()
    assert (pack.root / "frames/000000.jpg").read_bytes() == (source / first).read_bytes()
    if layout == "training-folder":
        assert repairs(pack) == "index-base: frames from 1, landmarks from 0"
        assert (pack.root / "parsing/000000.png").read_bytes() == (source / "parsing/1.png").read_bytes()


def test_landmarks_numbered_from_one_like_their_pictures_are_understood(tmp_path: Path, bring: Import) -> None:
    source = made.training_folder(tmp_path / "source", pictures_from=1)
    shutil.rmtree(source / "landmarks")
    made.write_landmarks(source / "landmarks", first=1)
    pack = bring(source)
    assert (pack.spec.boxes, repairs(pack)) == (made.boxes(), "")


def test_frames_without_a_face_take_the_box_of_the_nearest_neighbour(tmp_path: Path, bring: Import) -> None:
    source = made.training_folder(tmp_path / "source")
    for frame in (0, 2, 3, 5):
        (source / f"landmarks/{frame}.lms").unlink()
    pack = bring(source)
    assert pack.spec.boxes == tuple(made.box(frame) for frame in (1, 1, 1, 4, 4, 4))
    assert repairs(pack) == "missing-landmarks: 4 of 6 frames, 0 2-3 5"


def test_coordinates_are_cut_to_whole_numbers_and_not_rounded(tmp_path: Path, bring: Import) -> None:
    source = made.training_folder(tmp_path / "source", frames=1)
    (source / "landmarks/0.lms").write_text(made.landmarks(20.99, 10.5, 60.01))
    assert bring(source).spec.boxes == ((20, 10, 60, 50),)


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65)])
def test_odd_pictures_lose_their_last_row_or_column(
    size: tuple[int, int], tmp_path: Path, bring: Import, settings: Settings
) -> None:
    source = made.training_folder(tmp_path / "source")
    made.write_pictures(source / "full_body_img", "{}.jpg", size=size)
    pack = bring(source)
    assert (pack.spec.frame_size.width, pack.spec.frame_size.height) == (96, 64)
    assert f"{size[0]}x{size[1]}" in repairs(pack)
    plain = cv2.imread(str(source / "full_body_img/3.jpg"))
    assert plain is not None
    assert np.array_equal(open_template(pack, settings.cache).frames[3], plain[:64, :96])


def test_a_packages_boxes_come_from_its_cache_when_it_has_no_landmarks(
    tmp_path: Path, networks: Networks, bring: Import
) -> None:
    source = made.package_v2(tmp_path / "source", networks)
    shutil.rmtree(source / "landmarks")
    document = json.loads((source / "cache/crop_rectangles.json").read_text())
    del document["2"]
    (source / "cache/crop_rectangles.json").write_text(json.dumps(document))
    pack = bring(source)
    assert pack.spec.boxes == tuple(made.box(frame) for frame in (0, 1, 1, 3, 4, 5))
    assert repairs(pack) == "missing-boxes: 1 of 6 frames, 2"


@pytest.mark.parametrize(("frames", "listed"), [(6, 5), (6, 8)])
def test_a_clip_and_boxes_of_slightly_different_length_share_their_beginning(
    frames: int, listed: int, tmp_path: Path, networks: Networks, bring: Import
) -> None:
    source = made.server_layout(tmp_path / "source", networks[0], frames=frames)
    (source / "crop_rects.json").write_text(json.dumps([list(made.box(frame)) for frame in range(listed)]))
    pack = bring(source)
    assert pack.spec.boxes == made.boxes(min(frames, listed))
    assert repairs(pack) == f"length-mismatch: {frames} frames, {listed} boxes"


@pytest.mark.parametrize(
    "digests",
    [
        lambda generator, encoder: {"generator": {"sha256": generator}, "audio_encoder": {"sha256": encoder}},
        lambda generator, encoder: {"generator_sha256": generator, "audio_encoder_sha256": encoder},
        lambda generator, encoder: {"hashes": {"models/generator.onnx": f"sha256:{generator.upper()}"}},
        lambda generator, encoder: {
            "files": [
                {"path": "models/generator.onnx", "hash": generator},
                {"path": "audio_encoder.onnx", "hash": encoder},
            ]
        },
    ],
)
def test_digests_are_found_in_any_shape_of_the_configuration_and_enforced(
    digests: Callable[[str, str], Any], tmp_path: Path, networks: Networks, bring: Import
) -> None:
    source = made.package_v2(tmp_path / "source", networks)
    right, wrong = digests(*map(file_digest, networks)), digests("0" * 64, file_digest(networks[1]))
    (source / "onnx_dist_config.json").write_text(json.dumps(right))
    bring(source)
    (source / "onnx_dist_config.json").write_text(json.dumps(wrong))
    with pytest.raises(Rejected, match=r"^generator\.onnx is not the file whose digest"):
        bring(source)


def test_an_untagged_video_is_read_by_its_height_unless_told(tmp_path: Path, networks: Networks, bring: Import) -> None:
    source = made.package_v2(tmp_path / "source", networks)
    assert bring(source).spec.template.model_dump()["matrix"] == "smpte170m"
    assert bring(source, matrix="bt709").spec.template.model_dump()["matrix"] == "bt709"


def cut_off(source: Path) -> None:
    path = source / "full_body_img/2.jpg"
    path.write_bytes(path.read_bytes()[:-40])


def emptied(source: Path) -> None:
    shutil.rmtree(source / "full_body_img")
    (source / "full_body_img").mkdir()


def resize(source: Path) -> None:
    cv2.imwrite(str(source / "full_body_img/3.jpg"), made.picture(3, 98, 64))


def leave(source: Path) -> None:
    (source / "landmarks/4.lms").write_text(made.landmarks(70, 10, 110))


def turned(source: Path) -> None:
    (source / "landmarks/4.lms").write_text(made.landmarks(60, 10, 20))


def link_out(source: Path) -> None:
    outside = source.parent / "outside.jpg"
    shutil.move(source / "full_body_img/1.jpg", outside)
    (source / "full_body_img/1.jpg").symlink_to(outside)


FAULTS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda s: (s / "full_body_img/2.jpg").write_bytes(b"no picture"), "full_body_img/2.jpg is not a picture"),
    (lambda s: (s / "full_body_img/2.jpg").write_bytes(b""), "full_body_img/2.jpg is not a picture"),
    (cut_off, "full_body_img/2.jpg is cut off"),
    (lambda s: (s / "full_body_img/2.jpg").unlink(), "without a gap: 2 is missing"),
    (lambda s: shutil.rmtree(s / "full_body_img"), "is no avatar that can be imported"),
    (emptied, "has no pictures"),
    (lambda s: shutil.copy(s / "full_body_img/2.jpg", s / "full_body_img/02.jpg"), "have the same number"),
    (lambda s: shutil.rmtree(s / "landmarks"), "No template frame has landmarks"),
    (lambda s: (s / "landmarks/1.lms").write_text("1 2\n" * 109), "landmarks/1.lms has 109 lines"),
    (lambda s: (s / "landmarks/1.lms").write_text("1 nan\n" * 110), "landmarks/1.lms has a line"),
    (lambda s: (s / "landmarks/1.lms").write_text("1\n" * 110), "landmarks/1.lms has a line"),
    (lambda s: (s / "landmarks/1.lms").write_bytes(b"\xff\xfe\x00"), "landmarks/1.lms is not a text file"),
    (lambda s: made.write_landmarks(s / "landmarks", 30), "do not belong together"),
    (resize, "full_body_img/3.jpg measures 98x64"),
    (leave, "template frame 4, [70, 10, 110, 50], is empty or leaves the 96x64 picture"),
    (turned, "template frame 4, [60, 10, 20, -30], is empty"),
    (link_out, "full_body_img/1.jpg is a link that leads out"),
    (lambda s: (s / "parsing/1.png").write_bytes(b"\x89PNG"), "parsing/1.png is not a picture"),
    (lambda s: cv2.imwrite(str(s / "parsing/1.png"), made.picture(0, 50, 50)), "parsing/1.png measures 50x50"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_a_faulty_training_folder_is_refused_with_the_fault_named(
    fault: Callable[[Path], Any], sentence: str, tmp_path: Path, bring: Import, settings: Settings
) -> None:
    source = made.training_folder(tmp_path / "source", parsing=True)
    fault(source)
    with pytest.raises(Rejected) as refused:
        bring(source)
    assert sentence in str(refused.value)
    (error,) = (finding for finding in check(source, settings) if finding.level == "error")
    assert sentence in error.sentence, "one fault, one error"


PACKAGE_FAULTS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda s: (s / "full_body_video.mp4").write_bytes(b"no video"), "full_body_video.mp4 cannot be read"),
    (lambda s: made.write_video(s / "full_body_video.mp4", fps=30), "has 30 frames per second"),
    (lambda s: made.write_video(s / "full_body_video.mp4", frames=20), "do not belong together"),
    (lambda s: (s / "onnx_dist_config.json").write_text("{"), "onnx_dist_config.json is not valid JSON"),
    (lambda s: (s / "cache/crop_rectangles.json").write_text("[]"), "must map frame numbers"),
    (lambda s: (s / "cache/crop_rectangles.json").write_text('{"0": {"rect": [1, 2]}}'), "Entry 0 of cache/crop"),
]


@pytest.mark.parametrize(("fault", "sentence"), PACKAGE_FAULTS, ids=[sentence for _, sentence in PACKAGE_FAULTS])
def test_a_faulty_package_is_refused_with_the_fault_named(
    fault: Callable[[Path], Any], sentence: str, tmp_path: Path, networks: Networks, bring: Import
) -> None:
    source = made.package_v2(tmp_path / "source", networks)
    fault(source)
    with pytest.raises(Rejected) as refused:
        bring(source)
    assert sentence in str(refused.value)


def test_a_checkpoint_that_is_not_named_is_not_opened(tmp_path: Path, bring: Import) -> None:
    source = made.training_folder(tmp_path / "source")
    (source / "best.pth").write_bytes(b"cos\nsystem\n")
    with pytest.raises(Rejected, match=r"--audio-encoder FILE, .*; best\.pth in it is not opened"):
        bring(source, audio_encoder=None)


def test_a_network_of_another_front_end_is_refused(tmp_path: Path, networks: Networks, bring: Import) -> None:
    model = onnx.load(networks[0])
    heard = model.graph.input[1]
    heard.type.tensor_type.shape.dim[2].dim_value = heard.type.tensor_type.shape.dim[3].dim_value = 32
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    (scales,) = (weights for weights in model.graph.initializer if weights.name == resize.input[2])
    # 32x32 audio gives a 26x26 map: the rest of the graph is fitted to it, so that only the front end is another one.
    scales.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 1, 320 / 26, 320 / 26], np.float32), scales.name))
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(Rejected, match="another audio front end"):
        bring(made.training_folder(tmp_path / "source"), generator=tmp_path / "old.onnx")


def test_weights_in_another_file_are_refused(tmp_path: Path, networks: Networks, bring: Import) -> None:
    target = tmp_path / "outside" / "generator.onnx"
    target.parent.mkdir()
    onnx.save(onnx.load(networks[0]), target, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(Rejected, match="keeps weights in another file"):
        bring(made.training_folder(tmp_path / "source"), generator=target)


def test_a_generator_without_its_sigmoid_is_refused(tmp_path: Path, networks: Networks, bring: Import) -> None:
    model = onnx.load(networks[0])
    model.graph.node[-1].op_type = "Neg"
    onnx.save(model, tmp_path / "raw.onnx")
    with pytest.raises(Rejected, match=r"in \[0, 1\] are expected"):
        bring(made.training_folder(tmp_path / "source"), generator=tmp_path / "raw.onnx")


@pytest.mark.parametrize("content", [b"", b"not onnx"])
def test_a_file_that_is_no_network_is_refused(content: bytes, tmp_path: Path, bring: Import) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises((Rejected, Failed), match=r"bad\.onnx"):
        bring(made.training_folder(tmp_path / "source"), generator=tmp_path / "bad.onnx")


def test_checking_a_source_lists_repairs_and_what_importing_will_need(tmp_path: Path, settings: Settings) -> None:
    source = made.training_folder(tmp_path / "source", pictures_from=1)
    (source / "landmarks/3.lms").unlink()
    findings = {finding.code: finding for finding in check(source, settings)}
    assert findings["index-base"].level == findings["missing-landmarks"].level == "repair"
    assert "--generator FILE and --audio-encoder FILE" in findings["missing-network"].sentence
