"""How far networks that were made of checkpoints are from what PyTorch makes of the same weights.

The figure depends on the machine in its last bits: it lies beside the pack in the store and not in it, so that a
source gives the same pack everywhere.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import Failed
from infra.settings import Settings
from jobs.avatar_spec import AUDIO_ENCODER_FILE, GENERATOR_FILE, NetworkFile, Sha256
from workers.avatar.networks.checkpoints import Checkpoint
from workers.avatar.networks.exporting import Exported
from workers.lip_model import LipModel, load_lip_model
from workers.render.crop import crop_328, network_input

if TYPE_CHECKING:
    from torch import nn

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

LIMIT: Final = 1e-5  # a 400th of a grey level
_OWN_ROUNDINGS: Final = 4  # two of float32's, PyTorch's own and ONNX Runtime's, and as much again in reserve
_WORST: Final = 1e-3  # a quarter of a grey level, the difference that canaries allow between machines
_FACES: Final = 2


class Export(BaseModel):
    """One network that was made of a checkpoint; figures are in parts of the range of its answers.

    That is 1 for pictures, and for features the largest one that PyTorch answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkFile
    checkpoint: Sha256
    """Digest of the checkpoint's file."""
    difference: float = Field(ge=0, allow_inf_nan=False)
    """The largest one between ONNX Runtime and PyTorch on random inputs."""
    rounding: float = Field(ge=0, allow_inf_nan=False)
    """The largest one between PyTorch in float32 and in float64: what the framework itself leaves open."""
    framework: str


class ExportRecord(BaseModel):
    """What is stored beside a pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exports: tuple[Export, ...]


def measure(exported: Exported, settings: Settings) -> tuple[Export, ...]:
    """Compare what was converted with PyTorch, both on the CPU.

    Raises:
        Failed: they differ by more than `LIMIT`, and by more than rounding explains: trained networks were seen on
            which PyTorch alone is off by as much, since sharp edges hang on small differences of large values.
    """
    if not exported.checkpoints:
        return ()
    import torch

    on_cpu = settings.model_copy(update={"providers": "cpu"})
    model = load_lip_model(exported.networks[GENERATOR_FILE], exported.networks[AUDIO_ENCODER_FILE], on_cpu)
    exports = []
    for network, checkpoint in exported.checkpoints.items():
        distance = _generator(model, checkpoint) if network == GENERATOR_FILE else _audio_encoder(model, checkpoint)
        allowed = min(max(LIMIT, _OWN_ROUNDINGS * distance.rounding), _WORST)
        if not distance.difference <= allowed:  # true for NaN, too
            raise Failed(
                f"The {network} made of {checkpoint.path} differs from what PyTorch answers by "
                f"{distance.difference:.1e} of its range, where {allowed:.1e} is allowed: check this machine's PyTorch "
                "and ONNX Runtime, or take the checkpoint of another epoch."
            )
        exports.append(
            Export(
                network=network,
                checkpoint=checkpoint.digest,
                framework=f"torch {torch.__version__}",
                **distance._asdict(),
            )
        )
    return tuple(exports)


class _Distance(NamedTuple):
    difference: float
    rounding: float


def _generator(model: LipModel, checkpoint: Checkpoint) -> _Distance:
    """For pictures, whose range is 1."""
    from workers.avatar.networks import framework

    faces, audio = _faces(), model.encode(_mel_windows()).reshape(_FACES, 32, 16, 16)
    plain, exact = _answers(framework.Generator(), checkpoint, faces, audio)
    return _Distance(_largest(model.generate(faces, audio) - plain), _largest(plain - exact))


def _audio_encoder(model: LipModel, checkpoint: Checkpoint) -> _Distance:
    """For features, which have no range but the one that they are seen in."""
    from workers.avatar.networks import framework

    mel = _mel_windows()
    plain, exact = _answers(framework.audio_encoder(), checkpoint, mel)
    unit = max(_largest(plain), float(np.finfo(np.float32).tiny))  # a network may be silent
    return _Distance(_largest(model.encode(mel) - plain) / unit, _largest(plain - exact) / unit)


def _faces() -> Float32:
    """Smooth blobs of colour and their masked copies: float32 (faces, 6, 320, 320) in [0, 1].

    White noise is nothing that a network was trained for: what it makes of it may be of any size.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (_FACES, 12, 12, 3), np.uint8)
    crops = (crop_328(blobs, (0, 0, *blobs.shape[1::-1])) for blobs in coarse)
    return np.stack([network_input(crop) for crop in crops])


def _mel_windows() -> Float32:
    """What these faces hear: float32 (16 · faces, 1, 80, 16) in [-4, 4], as loud and as varied as speech."""
    mel = np.random.default_rng(1).normal(-1, 1.5, (16 * _FACES, 1, 80, 16))
    return np.clip(mel, -4, 4).astype(np.float32)


def _answers(module: "nn.Module", checkpoint: Checkpoint, *inputs: Float32) -> tuple[Float32, Float64]:
    """What PyTorch makes of inputs (N, …): (N, …) in float32 and in float64."""
    import torch

    module.load_state_dict(checkpoint.tensors, strict=True)
    module.eval()
    tensors = [torch.from_numpy(values) for values in inputs]
    with torch.inference_mode():
        plain = module(*tensors).numpy()
        exact = module.double()(*(tensor.double() for tensor in tensors)).numpy()
    return plain, exact


def _largest(values: npt.NDArray[np.floating]) -> float:
    return float(np.abs(values).max())
