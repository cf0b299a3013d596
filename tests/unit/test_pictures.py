"""Crop, network input and paste, bit by bit against plain OpenCV."""

import cv2
import numpy as np
import pytest

from tests.unit import naive
from workers.render.composite import face_picture, paste
from workers.render.crop import crop_328, network_input

HEIGHT, WIDTH = 480, 640
BOXES = [
    (100, 50, 140, 90),
    (1, 2, 328, 329),
    (11, 22, 339, 350),
    (5, 6, 334, 335),
    (200, 0, 640, 440),
    (0, 40, 440, 480),
    (30, 30, 231, 330),
    (9, 9, 10, 10),
]
"""Smaller than 328 px, one less, equal, one more, larger at two corners of the picture, not square, a single pixel."""

boxes = pytest.mark.parametrize("box", BOXES, ids=lambda box: f"{box[2] - box[0]}x{box[3] - box[1]}")


@pytest.fixture(scope="module")
def frame() -> naive.Picture:
    """Smooth shades with noise in them; read-only, as frames of a template are."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    shades = np.stack([rows // 2, columns // 3, (rows + columns) // 5], axis=2)
    picture = (shades + np.random.default_rng(1).integers(0, 20, shades.shape)).clip(0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture


@pytest.fixture(scope="module")
def generated() -> naive.Float32:
    """A generator's output, both ends of its range included."""
    out = np.random.default_rng(2).random((3, 320, 320), np.float32)
    out[:, 0, :2] = [0.0, 1.0]
    return out


def parsing_map(seed: int = 3) -> naive.Picture:
    """Pure red and white, and colours that are almost red or white, pixel by pixel."""
    colours = np.array(
        [(0, 0, 255), (255, 255, 255), (0, 0, 254), (255, 255, 254), (255, 0, 0), (0, 0, 0), (1, 0, 255)], np.uint8
    )
    return colours[np.random.default_rng(seed).integers(0, len(colours), (HEIGHT, WIDTH))]


def keep_of(parsing: naive.Picture, box: naive.Box) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    x0, y0, x1, y1 = box
    part = parsing[y0:y1, x0:x1].tolist()
    return np.array([[pixel in ([0, 0, 255], [255, 255, 255]) for pixel in row] for row in part])


@boxes
def test_the_crop_is_opencvs_cubic(frame: naive.Picture, box: naive.Box) -> None:
    found = crop_328(frame, box)
    assert found.shape == (328, 328, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, naive.crop(frame, box))


@boxes
def test_the_network_sees_the_face_and_then_the_masked_face(frame: naive.Picture, box: naive.Box) -> None:
    crop = naive.crop(frame, box)
    found = network_input(crop)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, naive.generator_input(crop))


def test_every_grey_level_is_divided_by_255_and_rounded_once() -> None:
    crop = np.zeros((328, 328, 3), np.uint8)
    crop[4, 4 : 4 + 256] = np.arange(256, dtype=np.uint8)[:, None]
    expected = (np.arange(256) / 255.0).astype(np.float32)
    assert np.array_equal(network_input(crop)[:3, 0, :256], np.tile(expected, (3, 1)))


def test_the_mask_covers_rows_5_to_309_and_columns_5_to_314() -> None:
    masked = network_input(np.full((328, 328, 3), 255, np.uint8))[3:]
    rows, columns = np.nonzero(masked[0] == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 309, 5, 314)
    assert rows.size == 305 * 310
    assert (masked == masked[0]).all()


def test_the_output_is_truncated_not_rounded(generated: naive.Float32) -> None:
    assert np.array_equal(face_picture(generated), np.array(generated.transpose(1, 2, 0) * 255, dtype=np.uint8))
    levels = np.zeros((3, 320, 320), np.float32)
    levels[0, 0, :4] = [0.999, 1.0, 0.5, 0.00392]
    assert face_picture(levels)[0, :4, 0].tolist() == [254, 255, 127, 0]


@pytest.mark.parametrize("parsed", [False, True], ids=["no parsing map", "parsing map"])
@boxes
def test_paste_equals_the_plain_restatement(
    frame: naive.Picture, generated: naive.Float32, box: naive.Box, parsed: bool
) -> None:
    parsing = parsing_map() if parsed else None
    crop = naive.crop(frame, box)
    found = paste(frame, crop, face_picture(generated), box, None if parsing is None else keep_of(parsing, box))
    assert np.array_equal(found, naive.pasted(frame, crop, generated, box, parsing))


@boxes
def test_nothing_outside_the_box_changes(frame: naive.Picture, generated: naive.Float32, box: naive.Box) -> None:
    found = paste(frame, naive.crop(frame, box), face_picture(generated), box, None)
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[box[1] : box[3], box[0] : box[2]] = False
    assert np.array_equal(found[outside], frame[outside])
    assert not np.array_equal(found, frame), "inside the box something must have changed"


def test_frame_crop_and_face_are_left_as_they_were(frame: naive.Picture, generated: naive.Float32) -> None:
    box = (11, 22, 339, 350)
    inputs = [frame.copy(), naive.crop(frame, box), face_picture(generated)]
    before = [picture.copy() for picture in inputs]
    result = paste(inputs[0], inputs[1], inputs[2], box, None)
    result[...] = 0
    assert all(np.array_equal(now, then) for now, then in zip(inputs, before, strict=True))


def test_a_mask_that_keeps_everything_keeps_everything(frame: naive.Picture, generated: naive.Float32) -> None:
    box = (100, 50, 140, 90)
    found = paste(frame, naive.crop(frame, box), face_picture(generated), box, np.ones((40, 40), bool))
    assert np.array_equal(found, frame)


def test_the_rim_of_the_crop_is_not_touched_by_the_face(frame: naive.Picture) -> None:
    box = (11, 22, 339, 350)  # 328 px: nothing is resized
    black = np.zeros((320, 320, 3), np.uint8)
    found = paste(frame, naive.crop(frame, box), black, box, None)[22:350, 11:339]
    rim = np.ones((328, 328), bool)
    rim[4:324, 4:324] = False
    assert np.array_equal(found[rim], frame[22:350, 11:339][rim])
    assert not found[~rim].any()


def test_opencv_resizes_to_the_same_size_without_changing_a_bit(frame: naive.Picture) -> None:
    part = frame[22:350, 11:339]
    assert np.array_equal(cv2.resize(part, (328, 328), interpolation=cv2.INTER_CUBIC), part)
