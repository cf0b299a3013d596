"""From trained checkpoints to ONNX files, whose bytes depend on the checkpoint alone and on no version of PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infra.store_directory import file_error
from jobs.avatar_spec import GENERATOR_FILE, NetworkFile
from workers.avatar.networks.checkpoints import Checkpoint, Trained, is_checkpoint, read_checkpoint


class Exported(NamedTuple):
    """The networks of an avatar, all of them as ONNX files now."""

    networks: dict[NetworkFile, Path]
    checkpoints: dict[NetworkFile, Checkpoint]
    """Those that were converted."""


def export_checkpoints(networks: Mapping[NetworkFile, Path], folder: Path) -> Exported:
    """Convert those networks that are given as checkpoints.

    Args:
        networks: by the name in the pack, ONNX files or checkpoints.
        folder: an existing one, for the files that are made.

    Raises:
        Rejected: a checkpoint is not one of this network.
        Failed: PyTorch or onnx is not installed, or the disk is full.
    """
    checkpoints = {name: read_checkpoint(path) for name, path in networks.items() if is_checkpoint(path)}
    made = {name: folder / name for name in checkpoints}
    for name, checkpoint in checkpoints.items():
        data = onnx_file(name, checkpoint)
        try:
            made[name].write_bytes(data)
        except OSError as error:
            raise file_error(f"Writing {made[name]}", error) from error
    return Exported(dict(networks) | made, checkpoints)


def onnx_file(network: NetworkFile, checkpoint: Checkpoint) -> bytes:
    """The ONNX file of a checkpoint; the same checkpoint gives the same bytes.

    Raises:
        Rejected: the checkpoint is not one of this network.
        Failed: onnx is not installed.
    """
    from workers.avatar.networks import topology

    weights = Trained(checkpoint, network.removesuffix(".onnx").replace("_", " "))
    walk = topology.generator if network == GENERATOR_FILE else topology.audio_encoder
    data, _ = walk(weights)
    weights.finish()
    return data
