"""A frame pasted as planes has the very samples that the whole pasted picture is converted to."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.media_planes import to_planes
from infra.media_video import Matrix
from workers.render.composite import paste
from workers.render.crop import Box, Picture
from workers.render.planes import Planes, put, surrounds_of

HEIGHT, WIDTH = 720, 1280
BOXES = {
    "even": (100, 50, 428, 378),
    "odd offset": (101, 51, 429, 379),
    "odd size": (100, 50, 401, 351),
    "odd offset and size": (101, 51, 402, 352),
    "upper left corner": (0, 0, 328, 328),
    "one pixel from the upper left corner": (1, 1, 330, 330),
    "lower right corner": (WIDTH - 331, HEIGHT - 331, WIDTH, HEIGHT),
    "one pixel from the lower right corner": (WIDTH - 332, HEIGHT - 332, WIDTH - 1, HEIGHT - 1),
    "full height": (200, 0, 200 + HEIGHT, HEIGHT),
    "full width": (0, 3, WIDTH, 402),
    "a single pixel": (9, 9, 10, 10),
    "the last pixel": (WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT),
}


def noise(seed: int, height: int, width: int) -> Picture:
    """What shows every difference: no pixel is like its neighbours."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def assert_same_as_whole(frame: Picture, boxes: list[Box], matrix: Matrix, keep_part: float = 0) -> None:
    """Every box pasted both ways gives the same planes, bit by bit."""
    height, width = frame.shape[:2]
    crop, face, chance = noise(1, 328, 328), noise(2, 320, 320), np.random.default_rng(3)
    planes, places = to_planes(frame, matrix), surrounds_of(boxes, height, width)
    before = planes.copy()
    for box, (x, y) in zip(boxes, places.corners, strict=True):
        x0, y0, x1, y1 = box
        keep = chance.random((y1 - y0, x1 - x0)) < keep_part if keep_part else None
        surround = frame[y : y + places.height, x : x + places.width]
        pasted = paste(surround, crop, face, (x0 - x, y0 - y, x1 - x, y1 - y), keep)
        found = put(planes, to_planes(pasted, matrix), (x, y))
        whole = to_planes(paste(frame, crop, face, box, keep), matrix)
        assert np.array_equal(found, whole), f"box {box} of {boxes} in {width}x{height}"
        assert np.array_equal(planes, before), "the frame must stay as it is"


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
@pytest.mark.parametrize("keep_part", [0, 0.3], ids=["no parsing map", "parsing map"])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_pasted_box_shows_no_edge_anywhere(box: Box, keep_part: float, matrix: Matrix) -> None:
    assert_same_as_whole(noise(0, HEIGHT, WIDTH), [box], matrix, keep_part)


@st.composite
def frames_with_boxes(draw: st.DrawFn) -> tuple[int, int, list[Box]]:
    """Sizes of frames from the smallest that there may be, and boxes of different sizes in them."""
    height, width = (2 * draw(st.integers(8, 60)) for _ in range(2))

    def side(length: int) -> tuple[int, int]:
        low, high = sorted(draw(st.tuples(st.integers(0, length - 1), st.integers(0, length - 1))))
        return low, high + 1

    sides = [(side(width), side(height)) for _ in range(draw(st.integers(1, 3)))]
    return height, width, [(x0, y0, x1, y1) for (x0, x1), (y0, y1) in sides]


@given(frames_with_boxes(), st.sampled_from([0, 0.5]), st.integers(0, 9))
def test_no_size_or_place_of_boxes_shows_an_edge(
    given: tuple[int, int, list[Box]], keep_part: float, seed: int
) -> None:
    height, width, boxes = given
    assert_same_as_whole(noise(seed, height, width), boxes, "smpte170m", keep_part)


@given(frames_with_boxes())
def test_a_surround_holds_its_box_and_lies_in_the_frame_on_even_pixels(given: tuple[int, int, list[Box]]) -> None:
    height, width, boxes = given
    places = surrounds_of(boxes, height, width)
    for (x0, y0, x1, y1), (x, y) in zip(boxes, places.corners, strict=True):
        assert 0 <= x <= x0 and x1 <= x + places.width <= width
        assert 0 <= y <= y0 and y1 <= y + places.height <= height
        assert not any(length % 2 for length in (x, y, places.width, places.height))


def test_a_surround_is_little_more_than_its_box() -> None:
    places = surrounds_of([(101, 51, 429, 379), (200, 60, 400, 260)], HEIGHT, WIDTH)
    assert (places.height, places.width) == (346, 330)


def test_nothing_outside_the_surround_changes() -> None:
    planes = np.zeros((24, 16), np.uint8)
    found = put(planes, np.full((12, 8), 7, np.uint8), (8, 8))
    luma, chroma = found[:16], found[16:].reshape(2, 8, 8)
    assert luma[:12].max() == 0 and luma[:, :8].max() == 0 and (luma[12:, 8:] == 7).all(), "4 rows lie beside a cut"
    assert chroma[:, :6].max() == 0 and chroma[..., :4].max() == 0 and (chroma[:, 6:, 4:] == 7).all()


def test_pictures_of_different_sizes_are_converted_in_several_threads_at_once() -> None:
    pictures = [noise(seed, 64 + 2 * (seed % 5), 96) for seed in range(40)]
    alone: list[Planes] = [to_planes(picture, "bt709") for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: to_planes(picture, "bt709"), pictures))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


AT_THE_END_OF_MEMORY = """
import ctypes, mmap, sys
import numpy as np
from infra.media_planes import to_planes
height, width = int(sys.argv[1]), int(sys.argv[2])
page, size = mmap.PAGESIZE, height * width * 3
held = mmap.mmap(-1, (size // page + 2) * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(held))
last = len(held) - page
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + last), ctypes.c_size_t(page), 0) == 0
picture = np.frombuffer(held, np.uint8, size, last - size).reshape(height, width, 3)
to_planes(picture, "bt709")
"""


@pytest.mark.parametrize("width", [2, 10, 46, 162, 330])
def test_nothing_is_read_beyond_the_last_pixel(width: int) -> None:
    # swscale reads whole vectors, and where memory ends behind a picture that would end the process.
    command = [sys.executable, "-c", AT_THE_END_OF_MEMORY, "34", str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_part_of_a_picture_is_converted_wherever_it_lies_in_memory() -> None:
    picture = noise(0, 64, 96)
    assert np.array_equal(to_planes(picture[10:40, 20:60], "bt709"), to_planes(picture[10:40, 20:60].copy(), "bt709"))
