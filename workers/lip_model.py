"""The two networks of an avatar as its pack holds them: loaded, checked, and run in batches of one fixed size.

Rendering takes the generator apart (see `workers.painter`); this is the whole, which packs are made and checked with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import Rejected
from infra.settings import Settings
from workers.sessions import open_session, runs_on
from workers.stopwatch import Stage, Stopwatch

Float32 = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]

FACES: Shape = (None, 6, 320, 320)
AUDIO: Shape = (None, 32, 16, 16)
PICTURES: Shape = (None, 3, 320, 320)
MEL_WINDOWS: Shape = (None, 1, 80, 16)
FEATURES: Shape = (None, 512)

ACCELERATOR_BATCH = 8


@dataclass(frozen=True)
class Network:
    """One session and the names of its tensors, bound by position."""

    session: Any
    inputs: tuple[str, ...]
    output: str
    batch: int

    def run(self, *tensors: Float32) -> Float32:
        """Run any number of rows in batches of one fixed size, the last one filled up with its first row.

        Kernels are chosen by shape: with one size only, a frame's pixels cannot depend on its place in a chunk.
        """
        count = len(tensors[0])
        parts: list[Float32] = []
        for start in range(0, count, self.batch):
            rows = [tensor[start : start + self.batch] for tensor in tensors]
            missing = self.batch - len(rows[0])
            if missing:
                rows = [np.concatenate([row, np.repeat(row[:1], missing, axis=0)]) for row in rows]
            (part,) = self.session.run([self.output], dict(zip(self.inputs, rows, strict=True)))
            parts.append(part[: self.batch - missing])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def hear_windows(audio_encoder: Network, windows: Float32, stopwatch: Stopwatch) -> Float32:
    """Mel windows float32 (N, 1, 80, 16) → audio features float32 (N, 512)."""
    with stopwatch.measure(Stage.AUDIO):
        return audio_encoder.run(windows)


@dataclass(frozen=True)
class LipModel:
    """Audio encoder and generator of one avatar, loaded and checked."""

    audio_encoder: Network
    generator: Network

    def encode(self, windows: Float32, stopwatch: Stopwatch | None = None) -> Float32:
        """Mel windows float32 (N, 1, 80, 16) → audio features float32 (N, 512)."""
        return hear_windows(self.audio_encoder, windows, stopwatch or Stopwatch())

    def generate(self, faces: Float32, audio: Float32) -> Float32:
        """Faces (N, 6, 320, 320) and their audio (N, 32, 16, 16) → pictures (N, 3, 320, 320) in [0, 1]; all float32."""
        return self.generator.run(faces, audio)


def load_lip_model(generator: Path, audio_encoder: Path, settings: Settings) -> LipModel:
    """Load both networks and check their tensors.

    Raises:
        Failed: a file cannot be loaded, or the provider that was asked for is not there.
        Rejected: the networks are of another kind than the render contract's.
    """
    return LipModel(load_audio_encoder(audio_encoder, settings), load_generator(generator, settings))


def load_generator(path: Path, settings: Settings) -> Network:
    """Load the network that draws; raises as `load_lip_model` does."""
    return _load(path, settings, (FACES, AUDIO), PICTURES)


def load_audio_encoder(path: Path, settings: Settings, engines: Path | None = None) -> Network:
    """Load the network that hears; raises as `load_lip_model` does. For `engines` see `sessions.open_session`."""
    return _load(path, settings, (MEL_WINDOWS,), FEATURES, engines)


def _load(
    path: Path, settings: Settings, inputs: tuple[Shape, ...], output: Shape, engines: Path | None = None
) -> Network:
    session = open_session(path, settings, engines=engines)
    found = session.get_inputs()
    if len(found) != len(inputs):
        raise Rejected(
            f"{path.name} takes {len(found)} inputs, but {len(inputs)} are expected: another kind of network."
        )
    for tensor, expected in zip(found, inputs, strict=True):
        _check_tensor(path, "input", tensor, expected)
    _check_tensor(path, "output", session.get_outputs()[0], output)
    sizes = {tensor.shape[0] for tensor in (*found, session.get_outputs()[0]) if isinstance(tensor.shape[0], int)}
    if len(sizes) > 1:
        raise Rejected(f"{path.name} was exported for several batch sizes at once, {sorted(sizes)}: export it anew.")
    exported = sizes.pop() if sizes else None
    batch = exported or settings.batch or (1 if runs_on(session) == "cpu" else ACCELERATOR_BATCH)
    return Network(session, tuple(tensor.name for tensor in found), session.get_outputs()[0].name, batch)


def _check_tensor(path: Path, role: str, tensor: Any, expected: Shape) -> None:
    shape = list(tensor.shape)
    fits = len(shape) == len(expected) and all(
        want is None or not isinstance(have, int) or have == want for have, want in zip(shape, expected, strict=True)
    )
    if fits and tensor.type == "tensor(float)":
        return
    other = shape[1:] in ([32, 32, 32], [256, 16, 32])
    known = "another audio front end: train it with the front end `ave`"
    hint = known if other else "another network: export the one of the 328-pixel pipeline"
    wanted = ["N", *expected[1:]]
    raise Rejected(
        f"The {role} {tensor.name!r} of {path.name} is {tensor.type} of shape {shape}, but float32 {wanted} is "
        f"expected. That is the export of {hint}."
    )
