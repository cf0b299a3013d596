"""The halves of an avatar's generator on a host's disk: made by whoever loads it first there, then read by all."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import structlog

from infra.errors import Failed, Rejected
from infra.settings import Settings
from workers.avatar.cache import Shelf, discard, make_room
from workers.avatar.decoded import discard_others, settle
from workers.avatar.networks.half_tensors import HEARD
from workers.avatar.pack import Pack
from workers.lip_model import AUDIO, FACES, PICTURES, load_generator
from workers.sessions import NotANetwork, first_line, import_runtime, runtime_errors, wanted_provider

if TYPE_CHECKING:
    import onnx

log = structlog.get_logger(__name__)

Loaded = TypeVar("Loaded")

REVISION: Final = 2
"""To be raised whenever `halves` or `rewriting` make other files of the same network."""

_ENCODER, _DECODER = "encoder_half.onnx", "decoder_half.onnx"


class HalfFiles(NamedTuple):
    """Where the two halves are (see `halves.Halves`)."""

    encoder: Path
    decoder: Path
    from_bank: bool


def open_halves(pack: Pack, settings: Settings, batch: int) -> HalfFiles:
    """Give the halves of a pack's generator, cut first where no process of this host has done so.

    Args:
        pack: the avatar.
        settings: where the cache is, and what the halves shall run on.
        batch: output frames in one run of the decoder half.

    Raises:
        Failed: the generator cannot be loaded.
        Rejected: it is another kind of network than the render contract's, or cannot be run for this batch.
    """
    runtime = import_runtime().__version__
    kind = f"{'cpu' if _on_cpu(settings) else 'accelerator'}-{settings.precision}-batch{batch}"
    shelf = Shelf(settings.cache, pack.digest)
    lease = shelf.use()
    folder = shelf.home / f"halves{REVISION}-{kind}-onnxruntime{runtime}"
    if not folder.is_dir():
        with shelf.making() as unfinished:
            if not folder.is_dir():
                make_room(settings.cache, settings.cache_disk_mb, 2 * pack.generator.stat().st_size)
                cut_halves(pack.generator, unfinished, settings, batch)
                unfinished.rename(folder)
                discard_others(folder, f"halves*-{kind}-onnxruntime*")
    lease.release()
    return _files(folder, settings, batch)


def load_halves(pack: Pack, settings: Settings, batch: int, load: Callable[[HalfFiles], Loaded]) -> Loaded:
    """Load halves; such as are on the disk and cannot be loaded are cut once more, once.

    Args:
        pack: the avatar.
        settings: as for `open_halves`, whose errors are raised, too.
        batch: output frames in one run of the decoder half.
        load: loads them, and raises NotANetwork where it cannot.
    """
    files = open_halves(pack, settings, batch)
    try:
        return load(files)
    except NotANetwork as error:
        log.warning("halves_damaged", avatar=pack.digest, reason=str(error))
        shelf = Shelf(settings.cache, pack.digest)
        lease = shelf.use()
        with shelf.making():
            discard(files.decoder.parent)
        lease.release()
    return load(open_halves(pack, settings, batch))


def cut_halves(path: Path, folder: Path, settings: Settings, batch: int) -> HalfFiles:
    """Cut a generator and write its halves into a folder; arguments and errors as for `open_halves`."""
    try:
        import onnx  # large, and not needed where the halves are on the disk

        from workers.avatar.networks.graph import has_subgraphs
        from workers.avatar.networks.halves import split
    except ImportError:
        raise Failed("Rendering needs the package onnx: install lipsync-fleet with its extra `cpu` or `gpu`.") from None
    load_generator(path, settings.model_copy(update={"providers": "cpu"}))  # refuses what is no generator

    def fixed(frames: int) -> "onnx.ModelProto":
        model = onnx.load(path, load_external_data=False)
        weights = {weight.name for weight in model.graph.initializer}
        del model.graph.output[1:]
        del model.graph.value_info[:]  # may name other sizes
        tensors = [*(tensor for tensor in model.graph.input if tensor.name not in weights), *model.graph.output]
        for tensor, shape in zip(tensors, (FACES, AUDIO, PICTURES), strict=True):
            kind, sizes = tensor.type.tensor_type.elem_type, [frames, *shape[1:]]
            tensor.CopyFrom(onnx.helper.make_tensor_value_info(tensor.name, kind, sizes))
        simplified = folder / "simplified.onnx"
        _simplify(model.SerializeToString(), simplified, f"{path.name} cannot draw {frames} frames at a time")
        model = onnx.load(simplified)
        simplified.unlink()
        branching = next((node.op_type for node in model.graph.node if has_subgraphs(node)), None)
        if branching:
            raise Rejected(f"{path.name} chooses its steps while it runs ({branching}): export it without.")
        return model

    files = _files(folder, settings, batch)
    halves = split(fixed, batch, from_bank=files.from_bank, in_stripes=_on_cpu(settings))
    for half, content in ((files.encoder, halves.encoder), (files.decoder, halves.decoder)):
        with half.open("wb") as file:
            file.write(_in_half_precision(content) if settings.precision == "float16" else content)
            settle(file)
    return files


def _files(folder: Path, settings: Settings, batch: int) -> HalfFiles:
    return HalfFiles(folder / _ENCODER, folder / _DECODER, from_bank=not _on_cpu(settings) or batch > 1)


def _on_cpu(settings: Settings) -> bool:
    return wanted_provider(settings) == "cpu"


def _simplify(model: bytes, result: Path, failing: str) -> None:
    """Let ONNX Runtime fold constants and normalisations, which leaves a graph of few kinds of nodes."""
    runtime = import_runtime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(result)
    options.log_severity_level = 3
    try:
        runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except runtime_errors() as error:
        raise NotANetwork(f"{failing}, export it with a batch axis of any length: {first_line(error)}") from error


def _in_half_precision(content: bytes) -> bytes:
    """The same network calculating in float16; what it hears stays float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load_model_from_string(content), keep_io_types=[HEARD])
    return bytes(model.SerializeToString())
