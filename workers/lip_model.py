"""The two networks of an avatar in warm ONNX Runtime sessions, on what the session really got."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from infra.errors import Failed, Rejected
from infra.settings import Providers, Settings

log = structlog.get_logger(__name__)

Float32 = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]

FACES: Shape = (None, 6, 320, 320)
AUDIO: Shape = (None, 32, 16, 16)
PICTURES: Shape = (None, 3, 320, 320)
MEL_WINDOWS: Shape = (None, 1, 80, 16)
FEATURES: Shape = (None, 512)

_PROVIDER_NAMES = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
ACCELERATOR_BATCH = 8
PROVIDING = ("onnxruntime", "onnxruntime-gpu")
"""The packages of the extras `cpu` and `gpu`: both contain the same module."""


class NotANetwork(Failed):
    """ONNX Runtime cannot load the file, whatever network it should be."""


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


@dataclass(frozen=True)
class LipModel:
    """Audio encoder and generator of one avatar, loaded and checked."""

    audio_encoder: Network
    generator: Network
    provider: str
    """What the generator's session really runs on, as ONNX Runtime names it."""

    @property
    def batch(self) -> int:
        """Frames in one run of the generator."""
        return self.generator.batch

    def encode(self, windows: Float32) -> Float32:
        """Mel windows float32 (N, 1, 80, 16) → audio features float32 (N, 512)."""
        return self.audio_encoder.run(windows)

    def generate(self, faces: Float32, audio: Float32) -> Float32:
        """Faces (N, 6, 320, 320) and their audio (N, 32, 16, 16) → pictures (N, 3, 320, 320) in [0, 1]; all float32."""
        return self.generator.run(faces, audio)


def load_lip_model(generator: Path, audio_encoder: Path, settings: Settings) -> LipModel:
    """Load both networks and check their tensors.

    Raises:
        Failed: a file cannot be loaded, or the provider that was asked for is not there.
        Rejected: the networks are of another kind than the render contract's.
    """
    pictures, features = load_generator(generator, settings), load_audio_encoder(audio_encoder, settings)
    return LipModel(features, pictures, str(pictures.session.get_providers()[0]))


def load_generator(path: Path, settings: Settings) -> Network:
    """Load the network that draws; raises as `load_lip_model` does."""
    return _load(path, settings, (FACES, AUDIO), PICTURES)


def load_audio_encoder(path: Path, settings: Settings) -> Network:
    """Load the network that hears; raises as `load_lip_model` does."""
    return _load(path, settings, (MEL_WINDOWS,), FEATURES)


def _load(path: Path, settings: Settings, inputs: tuple[Shape, ...], output: Shape) -> Network:
    session = _open_session(path, settings)
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
    on_cpu = session.get_providers()[0] == _PROVIDER_NAMES["cpu"]
    batch = exported or settings.batch or (1 if on_cpu else ACCELERATOR_BATCH)
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


def _open_session(path: Path, settings: Settings) -> Any:
    try:
        import onnxruntime  # large, and absent on clients that only submit
    except ImportError:
        raise Failed("Rendering needs ONNX Runtime: install lipsync-fleet with its extra `cpu` or `gpu`.") from None
    if all(_is_installed(package) for package in PROVIDING):
        raise Failed(
            "Both onnxruntime and onnxruntime-gpu are installed and overwrite each other: keep only one extra."
        )
    onnxruntime.disable_telemetry_events()
    provider = choose_provider(settings.providers, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning burns the encoder's cores
    wanted: list[Any] = [_PROVIDER_NAMES["cpu"]]
    if provider != "cpu":
        onnxruntime.preload_dlls()
        # TF32 rounds to 10 bits of mantissa, more than the one grey level that machines may differ by.
        tuning = {"device_id": str(settings.device)} | ({"use_tf32": "0"} if provider == "cuda" else {})
        wanted.insert(0, (_PROVIDER_NAMES[provider], tuning))
    try:
        with redirect_stdout(sys.stderr):  # where it prints when it tries again without the accelerator
            session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).splitlines()[0][:300]
        raise NotANetwork(f"{path.name} cannot be loaded as an ONNX network: {reason}") from error
    got = session.get_providers()[0]
    if got != _PROVIDER_NAMES[provider] and settings.providers == "auto":
        log.warning("no_accelerator", asked=provider, got=got, network=path.name)
    elif got != _PROVIDER_NAMES[provider]:
        raise Failed(
            f"{provider} was asked of ONNX Runtime, but the session runs on {got}: check the driver and the CUDA "
            "libraries, or set LIPSYNC_PROVIDERS=cpu."
        )
    return session


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def choose_provider(asked: Providers, available: list[str]) -> str:
    """Which provider to ask of a session; `auto` takes CUDA where this build of ONNX Runtime has it, else the CPU.

    Raises:
        Failed: the provider that was asked for is not in this build.
    """
    if asked == "auto":
        return "cuda" if _PROVIDER_NAMES["cuda"] in available else "cpu"
    if _PROVIDER_NAMES[asked] not in available:
        raise Failed(
            f"LIPSYNC_PROVIDERS={asked} was asked for, but this ONNX Runtime offers only {', '.join(available)}: "
            "install the extra `gpu`, or set LIPSYNC_PROVIDERS=cpu."
        )
    return asked
