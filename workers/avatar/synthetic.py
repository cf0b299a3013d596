"""Synthetic avatars: the real networks' size and tensors with seeded weights, and a drawn face that moves.

They say nothing with their lips, but cost what a trained avatar costs: speed does not depend on the weights.
"""

import math
from pathlib import Path

import cv2
import numpy as np

from infra.errors import Rejected
from infra.store_directory import file_error
from jobs.avatar_spec import AUDIO_ENCODER_FILE, GENERATOR_FILE, Box, FrameSize, ImageTemplate, Provenance
from workers.avatar.networks.weights import Seeded
from workers.avatar.pack import Pack, seal
from workers.render.crop import Picture

_BOX_PART = 0.455  # of the shorter side: 328 px of 720, which the crop need not resize
_SWAY_PART = 0.03  # of the shorter side: how far the head moves from its place
_SUBPIXEL_BITS = 4  # fixed-point bits of OpenCV's drawing coordinates, for motion that is smooth when small


def make_synthetic(
    work_dir: Path,
    *,
    frames: int = 100,
    width: int = 1280,
    height: int = 720,
    seed: int = 0,
    small: bool = False,
) -> Pack:
    """Draw a template clip and make seeded networks for it.

    Args:
        work_dir: an existing folder; the pack becomes its subfolder `pack`.
        frames: of the template clip; its motion is a seamless loop.
        width: of a frame in pixels, even.
        height: of a frame in pixels, even.
        seed: of weights and face; the same seed gives the same pack with the same version of OpenCV.
        small: tiny networks with the same tensors, for tests: every pixel depends on the audio, a frame takes
            milliseconds.

    Raises:
        Rejected: there can be no clip of that size.
        Failed: the package `onnx` is missing, or the disk is full.
    """
    if frames < 1 or min(width, height) < 16 or max(width, height) > 8192 or width % 2 or height % 2:
        raise Rejected(
            f"A synthetic avatar cannot have {frames} frames of {width}x{height}: use at least one frame, and even "
            "sides of 16 to 8192 pixels."
        )
    from workers.avatar.networks import topology

    face, heard = Seeded(np.random.default_rng([seed, 0])), Seeded(np.random.default_rng([seed, 1]))
    if small:
        networks = topology.small_generator(face), topology.small_audio_encoder(heard)
    else:
        networks = topology.generator(face)[0], topology.audio_encoder(heard)[0]
    root = work_dir / "pack"
    template = ImageTemplate()
    boxes = [_box(frame, frames, width, height) for frame in range(frames)]
    try:
        (root / "frames").mkdir(parents=True)
        (root / GENERATOR_FILE).write_bytes(networks[0])
        (root / AUDIO_ENCODER_FILE).write_bytes(networks[1])
        for frame, box in enumerate(boxes):
            picture = _draw(box, frame / frames, width, height, np.random.default_rng([seed, 2]))
            (root / template.pattern.format(frame)).write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    except OSError as error:
        raise file_error(f"Writing a synthetic avatar to {root}", error) from error
    return seal(
        root,
        frame_size=FrameSize(width=width, height=height),
        template=template,
        boxes=tuple(boxes),
        provenance=Provenance(layout="synthetic", note=f"seed {seed}, {'small' if small else 'full-size'} networks"),
        licence="Apache-2.0",
    )


def _box(frame: int, frames: int, width: int, height: int) -> Box:
    """The crop box follows the head round a flat ellipse, once per loop."""
    short, turn = min(width, height), 2 * math.pi * frame / frames
    side = round(short * _BOX_PART)
    x0 = round((width - side) / 2 + short * _SWAY_PART * math.sin(turn))
    y0 = round((height - side) / 2 + short * _SWAY_PART / 2 * math.cos(turn))
    return x0, y0, x0 + side, y0 + side


def _draw(box: Box, phase: float, width: int, height: int, rng: np.random.Generator) -> Picture:
    """One frame: a plain background, a head in the crop box, eyes that blink once per loop, a closed mouth."""
    x0, y0, x1, _ = box
    side, turn = x1 - x0, 2 * math.pi * phase
    backdrop, skin, shirt = (tuple(int(value) for value in rng.integers(low, low + 90, 3)) for low in (20, 140, 60))
    picture = np.full((height, width, 3), backdrop, np.uint8)

    def oval(x: float, y: float, half_width: float, half_height: float, colour: tuple[int, ...]) -> None:
        scale = side * 2**_SUBPIXEL_BITS
        centre = round((x0 / side + x) * scale), round((y0 / side + y) * scale)
        axes = max(round(half_width * scale), 1), max(round(half_height * scale), 1)
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)

    oval(0.5, 1.75, 0.9, 0.75, shirt)
    oval(0.5, 0.5, 0.4, 0.52, skin)
    lid = 0.06 * max(1 - math.exp(-(((phase - 0.5) / 0.02) ** 2)), 0.05)
    for eye in (0.34, 0.66):
        oval(eye, 0.38, 0.07, lid, (245, 245, 245))
        oval(eye + 0.02 * math.sin(turn), 0.38, 0.03, min(lid, 0.03), (40, 30, 25))
    oval(0.5, 0.76, 0.14, 0.025, (90, 80, 170))
    return picture
