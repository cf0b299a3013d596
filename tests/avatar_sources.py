"""Small avatar sources of every layout, as people bring them: 96x64 pictures, six frames, tiny networks."""

import hashlib
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from infra.media_planes import to_planes
from infra.media_video import SegmentEncoder, VideoFormat
from workers.avatar.findings import Finding
from workers.avatar.synthetic import make_synthetic

WIDTH, HEIGHT, FRAMES = 96, 64, 6
SIDE = 40
Box = tuple[int, int, int, int]


def box(frame: int) -> Box:
    """The crop box of a frame; it moves one pixel a frame."""
    return 20 + frame, 10, 20 + frame + SIDE, 10 + SIDE


def boxes(frames: int = FRAMES) -> tuple[Box, ...]:
    return tuple(box(frame) for frame in range(frames))


def picture(frame: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A smooth picture that differs from frame to frame: uint8 (height, width, 3), BGR."""
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * 3 + frame * 9, columns * 2, rows + columns + frame * 20]
    return np.stack([channel % 230 for channel in channels], axis=2).astype(np.uint8)


def make_networks(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Tiny generator and audio encoder with the contract's tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = make_synthetic(folder, frames=1, width=WIDTH, height=HEIGHT, seed=seed, small=True)
    return pack.generator, pack.audio_encoder


def write_pictures(
    folder: Path, pattern: str, frames: int = FRAMES, first: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(frames):
        assert cv2.imwrite(str(folder / pattern.format(frame + first)), picture(frame, *size))


def landmarks(x0: float, y0: float, x1: float) -> str:
    """110 lines `x y` of which three span the crop box."""
    points = [(1.0, 1.0)] * 110
    points[1], points[52], points[31] = (x0, 50.0), (44.0, y0), (x1, 50.0)
    return "".join(f"{x} {y}\n" for x, y in points)


def write_landmarks(folder: Path, frames: int = FRAMES, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(frames):
        x0, y0, x1, _ = box(frame)
        (folder / f"{frame + first}.lms").write_text(landmarks(x0 + 0.75, y0 + 0.5, x1 + 0.999))


def write_parsing(folder: Path, frames: int = FRAMES, first: int = 0) -> None:
    """Parsing maps with a red and a white square in the box, and colours that are nearly red and white."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(frames):
        x0, y0, _, _ = box(frame)
        colours = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        colours[y0 + 2 : y0 + 6, x0 + 3 : x0 + 8] = (0, 0, 255)
        colours[y0 + 20 : y0 + 22, x0 + 10 : x0 + 30] = (255, 255, 255)
        colours[y0 + 30, x0 : x0 + 4] = [(1, 0, 255), (0, 0, 254), (255, 255, 254), (0, 255, 255)]
        assert cv2.imwrite(str(folder / f"{frame + first}.png"), colours)


def training_folder(root: Path, *, frames: int = FRAMES, pictures_from: int = 0, parsing: bool = False) -> Path:
    """Layout A."""
    write_pictures(root / "full_body_img", "{}.jpg", frames, pictures_from)
    write_landmarks(root / "landmarks", frames)
    if parsing:
        write_parsing(root / "parsing", frames, pictures_from)
    return root


def write_video(path: Path, frames: int = FRAMES, fps: int = 25) -> None:
    video = VideoFormat(WIDTH, HEIGHT, fps=fps, crf=4)
    with SegmentEncoder(path, video) as encoder:
        for frame in range(frames):
            encoder.write(to_planes(picture(frame), video.matrix))


def write_uneven_video(path: Path, frames: int = FRAMES) -> None:
    """A video whose frames come 40 ms apart on average, but not each."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base, stream.codec_context.max_b_frames = Fraction(1, 1000), 0
        for frame in range(frames):
            shown = av.VideoFrame.from_ndarray(picture(frame), format="bgr24")
            shown.pts, shown.time_base = 40 * frame + 15 * (frame % 3 == 1), Fraction(1, 1000)
            output.mux(stream.encode(shown))
        output.mux(stream.encode(None))


def package_v2(root: Path, networks: tuple[Path, Path], *, frames: int = FRAMES, fps: int = 25) -> Path:
    """Layout B, with what must be ignored: crops of another mask and the features of the training audio."""
    for folder in ("models", "cache", "landmarks"):
        (root / folder).mkdir(parents=True)
    shutil.copyfile(networks[0], root / "models/generator.onnx")
    shutil.copyfile(networks[1], root / "models/audio_encoder.onnx")
    write_video(root / "full_body_video.mp4", frames, fps)
    write_landmarks(root / "landmarks", frames)
    rectangles = {str(frame): {"rect": list(box(frame)), "score": 0.9} for frame in range(frames)}
    (root / "cache/crop_rectangles.json").write_text(json.dumps(rectangles))
    digests = {
        name: {"file": f"models/{name}.onnx", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in zip(("generator", "audio_encoder"), networks, strict=True)
    }
    (root / "onnx_dist_config.json").write_text(json.dumps({"version": 2, "models": digests}))
    (root / "package_info.json").write_text('{"version": "2.0"}')
    (root / "dataset_manifest.json").write_text("{}")
    (root / "crops_328_video.mp4").write_bytes(b"never read")
    (root / "aud_ave.npy").write_bytes(b"never read")
    return root


def server_layout(root: Path, generator: Path, *, frames: int = FRAMES, pictures_from: int = 0) -> Path:
    """Layout C."""
    (root / "checkpoint").mkdir(parents=True)
    shutil.copyfile(generator, root / "checkpoint/model_best.onnx")
    write_pictures(root / "frames", "frame_{:06d}.jpg", frames, pictures_from)
    (root / "crop_rects.json").write_text(json.dumps([list(box(frame)) for frame in range(frames)]))
    return root


OF_SMALL_AVATARS = {"box-size", "clip-length", "memory"}
"""Codes of what checking says of every avatar as small as these: few frames, a face of few pixels."""


def told(findings: list[Finding]) -> list[Finding]:
    """Findings but those that every small avatar has."""
    return [finding for finding in findings if finding.code not in OF_SMALL_AVATARS]


def write_faces(
    folder: Path, rows: tuple[int, int] = (5, 310), columns: tuple[int, int] = (5, 315), side_px: int = 320
) -> None:
    """Prepared faces with a black rectangle, both ends half-open, as JPEG numbered from 1."""
    folder.mkdir(parents=True)
    for frame in range(3):
        face = picture(frame, side_px, side_px) // 2 + 100
        face[slice(*rows), slice(*columns)] = 0
        assert cv2.imwrite(str(folder / f"{frame + 1}.jpg"), face)


def set_landmarks(source: Path, frame: int, box: Box) -> None:
    """Give one frame the landmarks of another crop box."""
    (source / f"landmarks/{frame}.lms").write_text(landmarks(box[0], box[1], box[2]))


def claiming(path: Path, inputs: dict[str, list[int | str]], output: list[int | str]) -> Path:
    """A network that loads, with any tensors of float32: it answers zeros."""
    size = [dimension if isinstance(dimension, int) else 1 for dimension in output]
    zeros = helper.make_node(
        "ConstantOfShape", ["size"], ["output"], value=helper.make_tensor("", TensorProto.FLOAT, [1], [0])
    )
    graph = helper.make_graph(
        [zeros],
        "claiming",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
        [helper.make_tensor("size", TensorProto.INT64, [len(size)], size)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
