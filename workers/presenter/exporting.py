"""The trained networks as ONNX files of the render contract."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from jobs.timing import FEATURE_WIDTH, MEL_BANDS, MEL_WINDOW_FRAMES
from workers.presenter.hearing.networks import Hearing
from workers.presenter.painting.networks import Generator, Painter

OPSET = 17


def export_networks(hearing: Hearing, painter: Painter, generator_path: Path, audio_encoder_path: Path) -> None:
    """Write both networks, batch axes dynamic and batch normalisation folded into the weights."""
    generator = Generator(hearing.branch, painter).eval()
    faces, audio = torch.rand(2, 6, 320, 320), torch.rand(2, 32, 16, 16)
    _export(generator, (faces, audio), generator_path, ("input", "audio"), "output")
    windows = torch.rand(2, 1, MEL_BANDS, MEL_WINDOW_FRAMES)
    encoder = hearing.encoder.eval()
    assert encoder(windows).shape == (2, FEATURE_WIDTH)  # noqa: S101
    _export(encoder, (windows,), audio_encoder_path, ("mel",), "emb")


def _export(network: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: tuple[str, ...], output: str) -> None:
    axes = {name: {0: "batch"} for name in (*inputs, output)}
    with warnings.catch_warnings():  # the exporter that needs no further package calls itself outdated
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            example,
            str(path),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamic_axes=axes,
            dynamo=False,
        )
