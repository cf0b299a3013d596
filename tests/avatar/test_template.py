"""A decoded template equals what plain OpenCV and the plain decoder give."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from infra.errors import Failed
from infra.media_planes import to_planes
from infra.media_video import decode_video, matrix_for
from infra.settings import Settings
from jobs.avatar_spec import AVATAR_JSON, Matrix, VideoTemplate
from tests import avatar_sources as made
from workers.avatar.cache import Shelf
from workers.avatar.demo import demo_pack
from workers.avatar.importing import import_avatar
from workers.avatar.pack import Pack, seal
from workers.avatar.synthetic import make_synthetic
from workers.avatar.template import Template, open_template
from workers.render.composite import paste
from workers.render.crop import Picture


@pytest.fixture
def training(tmp_path: Path, networks: tuple[Path, Path], settings: Settings) -> Pack:
    source = made.training_folder(tmp_path / "source", parsing=True)
    (source / "parsing/2.png").unlink()
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    return import_avatar(source, work_dir, generator=networks[0], audio_encoder=networks[1], settings=settings).pack


def test_frames_and_crops_equal_plain_opencv(training: Pack, settings: Settings) -> None:
    template = open_template(training, settings.cache)
    assert len(template) == made.FRAMES
    assert template.frames.shape == (made.FRAMES, 64, 96, 3)
    assert template.frames.dtype == np.uint8
    for frame, (x0, y0, x1, y1) in enumerate(made.boxes()):
        plain = cv2.imread(str(training.root / f"frames/{frame:06d}.jpg"))
        assert plain is not None
        assert np.array_equal(template.frames[frame], plain)
        assert np.array_equal(template.planes[frame], to_planes(np.asarray(plain, np.uint8), "smpte170m"))
        crop = cv2.resize(plain[y0:y1, x0:x1], (328, 328), interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(template.crops[frame], crop)
        assert template.boxes[frame] == (x0, y0, x1, y1)


def test_only_pure_red_and_pure_white_keep_the_template(training: Pack, settings: Settings) -> None:
    template = open_template(training, settings.cache)
    expected = np.zeros((made.SIDE, made.SIDE), bool)
    expected[2:6, 3:8] = True
    expected[20:22, 10:30] = True
    for frame in (0, 1, 3, 5):
        mask = template.keep_mask(frame)
        assert mask is not None
        assert mask.dtype == np.bool_
        assert np.array_equal(mask, expected)
    assert template.keep_mask(2) is None


def test_an_avatar_without_parsing_maps_keeps_nothing(pack: Pack, settings: Settings) -> None:
    template = open_template(pack, settings.cache)
    assert [template.keep_mask(frame) for frame in range(len(template))] == [None] * 3


@pytest.mark.parametrize(("matrix", "other"), [("bt709", "smpte170m"), ("smpte170m", "bt709")])
def test_a_video_template_is_decoded_with_the_packs_matrix_whatever_its_tags(
    matrix: Matrix, other: Matrix, settings: Settings, tmp_path: Path
) -> None:
    demo = demo_pack()
    root = tmp_path / "pack"
    shutil.copytree(demo.root, root)
    (root / AVATAR_JSON).unlink()
    facts = demo.spec.model_copy(update={"template": VideoTemplate(matrix=matrix)})
    kept = {name: getattr(facts, name) for name in ("frame_size", "template", "boxes", "provenance", "licence")}
    template = open_template(seal(root, **kept), settings.cache)
    decoded = list(decode_video(root / "template.mp4", matrix))
    assert len(decoded) == len(template) == 100
    for frame in (0, 50, 99):
        x0, y0, x1, y1 = template.boxes[frame]
        assert np.array_equal(template.frames[frame], decoded[frame])
        assert np.array_equal(template.planes[frame], to_planes(decoded[frame], "bt709")), "by its height"
        assert np.array_equal(template.crops[frame], decoded[frame][y0:y1, x0:x1]), "328 px need no resampling"
    assert not np.array_equal(template.frames[0], next(decode_video(root / "template.mp4", other)))


def face(seed: int) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (320, 320, 3), np.uint8)


def whole_pasted(template: Template, index: int) -> Picture:
    """A frame pasted as a whole picture, as the render contract has it."""
    return paste(
        template.frames[index], template.crops[index], face(index), template.boxes[index], template.keep_mask(index)
    )


def test_a_pasted_frame_is_that_of_the_whole_picture_with_and_without_parsing_maps(
    training: Pack, settings: Settings
) -> None:
    template = open_template(training, settings.cache)
    for index in range(len(template)):
        pasted = template.paste(index, face(index))
        whole = whole_pasted(template, index)
        assert np.array_equal(template.picture(index, pasted), whole)
        assert np.array_equal(template.compose(index, pasted), to_planes(whole, "smpte170m"))
        assert not np.array_equal(template.compose(index, pasted), template.planes[index])


@pytest.mark.parametrize("size", [(16, 16), (18, 34), (1280, 720), (1280, 718)])
def test_frames_of_any_size_are_pasted_alike(size: tuple[int, int], settings: Settings, tmp_path: Path) -> None:
    pack = make_synthetic(tmp_path, frames=3, width=size[0], height=size[1], small=True)
    template = open_template(pack, settings.cache)
    for index in range(3):
        found = template.compose(index, template.paste(index, face(index)))
        assert np.array_equal(found, to_planes(whole_pasted(template, index), matrix_for(size[1])))


def test_several_threads_paste_at_once(training: Pack, settings: Settings) -> None:
    template = open_template(training, settings.cache)
    indices = [index % len(template) for index in range(100)]
    expected = [to_planes(whole_pasted(template, index), "smpte170m") for index in range(len(template))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: template.compose(index, template.paste(index, face(index))), indices))
    assert all(np.array_equal(planes, expected[index]) for index, planes in zip(indices, found, strict=True))


def test_whole_pictures_take_no_space_until_somebody_asks_for_them(pack: Pack, settings: Settings) -> None:
    template = open_template(pack, settings.cache)
    template.compose(0, template.paste(0, face(0)))
    assert not list(settings.cache.rglob("frames.bgr"))
    assert template.frames.shape == (3, 64, 96, 3)
    (path,) = settings.cache.rglob("frames.bgr")
    assert path.stat().st_size == 3 * 64 * 96 * 3


def test_whole_pictures_that_do_not_fit_into_the_cache_are_refused(settings: Settings, tmp_path: Path) -> None:
    pack = make_synthetic(tmp_path, frames=2, width=1280, height=720, small=True)  # 5.6 MB of pictures, 4.1 of planes
    template = open_template(pack, settings.cache, disk_mb=5)
    with pytest.raises(Failed, match=r"needs 6 MB in the cache .* LIPSYNC_CACHE_DISK_MB allows 5"):
        _ = template.frames


def test_a_template_is_decoded_once_and_nobody_can_write_to_it(training: Pack, settings: Settings) -> None:
    first = open_template(training, settings.cache)
    whole = first.frames
    shutil.rmtree(training.root / "frames")
    second = open_template(training, settings.cache)
    assert np.array_equal(first.planes, second.planes)
    assert np.array_equal(whole, second.frames)
    for kept in (second.planes, second.frames):
        with pytest.raises(ValueError, match="read-only"):
            kept.flat[0] = 1


def test_what_other_versions_decoded_leaves(training: Pack, settings: Settings) -> None:
    home = Shelf(settings.cache, training.digest).home
    for old in ("planes-opencv4.0-av1.0", "template-opencv4.0-av1.0", "pictures-opencv4.0-av1.0"):
        (home / old).mkdir(parents=True)
    template = open_template(training, settings.cache)
    assert sorted(path.name.partition("-")[0] for path in home.iterdir()) == ["pictures", "planes2"]
    assert len(template.frames) == len(template)
    assert sorted(path.name.partition("-")[0] for path in home.iterdir()) == ["pictures2", "planes2"]


@pytest.mark.parametrize("name", ["planes.yuv", "crops.bgr", "surrounds.bgr", "keep.bool", "frames.bgr"])
def test_a_cut_off_cache_file_is_made_again(name: str, training: Pack, settings: Settings) -> None:
    template = open_template(training, settings.cache)
    planes, whole = template.planes.copy(), template.frames.copy()
    (path,) = settings.cache.rglob(name)
    path.write_bytes(path.read_bytes()[:-1])
    again = open_template(training, settings.cache)
    assert np.array_equal(again.planes, planes)
    assert np.array_equal(again.frames, whole)
    (made_again,) = settings.cache.rglob(name)
    assert made_again.stat().st_size % 2 == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no picture", "frames/000001.jpg is not a picture"), (None, "frames/000001.jpg measures 90x64")],
)
def test_a_pack_with_an_unusable_frame_fails_with_the_frame_named(
    content: bytes | None, sentence: str, pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    root = tmp_path / "broken"
    shutil.copytree(pack.root, root, ignore=shutil.ignore_patterns("avatar.json"))
    data = content or cv2.imencode(".jpg", made.picture(1, 90, 64))[1].tobytes()
    (root / "frames/000001.jpg").write_bytes(data)
    fields = {name: getattr(pack.spec, name) for name in ("frame_size", "template", "boxes", "provenance")}
    broken = seal(root, **fields)
    with pytest.raises(Failed, match="Template frame 1 of avatar") as failed:
        open_template(broken, settings.cache)
    assert sentence in str(failed.value)
    assert not [path for path in settings.cache.rglob("*") if path.suffix in {".bgr", ".yuv"}], (
        "no half-decoded template may stay"
    )


def test_a_video_that_is_shorter_than_its_boxes_fails(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    root = tmp_path / "short"
    root.mkdir()
    for path, name in zip(networks, ("generator.onnx", "audio_encoder.onnx"), strict=True):
        shutil.copyfile(path, root / name)
    made.write_video(root / "template.mp4", frames=4)
    short = seal(
        root,
        frame_size={"width": made.WIDTH, "height": made.HEIGHT},
        template={"kind": "video", "matrix": "bt709"},
        boxes=made.boxes(),
        provenance={"layout": "drawn"},
    )
    with pytest.raises(Failed, match="ends after 4 frames, but has 6 crop boxes"):
        open_template(short, tmp_path / "cache")
