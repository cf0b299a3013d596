"""What fewer bits would bring: the decoder half in float16 and in int8 against float32, in speed and in grey levels."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from infra.media_audio import mono_blocks
from infra.media_decode import open_audio
from jobs.timing import SAMPLE_RATE_HZ, Span, frame_count
from workers.avatar.networks.half_tensors import FACE, HEARD
from workers.avatar.networks.prepared import HalfFiles, open_halves
from workers.avatar.pack import open_pack
from workers.bench.figures import Statistics, summarise
from workers.bench.processes import in_its_own_process
from workers.bench.report import Bars, Report
from workers.bench.subject import Subject
from workers.painter import Painter
from workers.pipeline import Part, hear
from workers.render.crop import INNER
from workers.render.template import template_index
from workers.sessions import import_runtime
from workers.stopwatch import Stage, Stopwatch
from workers.warm import WarmAvatar, cache_bytes, warm_up

CALIBRATION_FRAMES: Final = 16
ENOUGH_DB: Final = 40.0
"""Peak signal-to-noise ratio that a precision must reach to be offered."""

Pictures = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One precision."""

    runs: Statistics
    """Of the decoder half."""
    psnr_db: float
    """Of its faces against those of float32; infinite where they are the same."""
    worst: int
    """The largest difference, in grey levels."""


def measure(subject: Subject, frames: int, tell: Callable[[str], object]) -> Report:
    """Paint the same faces in each precision, in turn, on what the settings say."""
    tell(f"painting {frames} faces in each precision")
    trials: dict[str, Trial] = in_its_own_process(try_precisions, subject, frames).answer
    plain = trials["float32"].runs.median_s
    rows, document = [("avatar", subject.name)], {}
    for name, trial in trials.items():
        ratio = plain / trial.runs.median_s
        document[name] = trial.runs.document() | {"speed_ratio": round(ratio, 4)}
        rows.append(
            (f"{name}, decoder half, median", f"{1000 * trial.runs.median_s:.2f} ms, {ratio:.2f} times float32")
        )
        if name != "float32":
            document[name] |= {"psnr_db": round(min(trial.psnr_db, 999.0), 2), "worst_grey_levels": trial.worst}
            verdict = "enough" if trial.psnr_db >= ENOUGH_DB else "not enough"
            text = f"{trial.psnr_db:.1f} dB ({verdict}: {ENOUGH_DB:.0f} dB), at most {trial.worst} grey levels off"
            rows.append((f"{name}, against float32", text))
    means = {name: 1000 * trial.runs.mean_s for name, trial in trials.items()}
    found = {"avatar": subject.name, "precisions": document}
    return Report("precision", found, tuple(rows), (Bars("Mean time of the decoder half", "ms", means),))


def try_precisions(subject: Subject, frames: int) -> dict[str, Trial]:
    """Make the other precisions and paint with all; the function of the measured process."""
    pack, settings = open_pack(subject.root), subject.settings
    avatar = warm_up(pack, settings)
    batch = avatar.painter.batch
    halved = settings.model_copy(update={"precision": "float16"})
    plain = open_halves(pack, settings, batch)
    heard = _heard(avatar, frames)
    made = {"float32": plain, "float16": open_halves(pack, halved, batch)}
    if not plain.from_bank:  # int8 is for CPUs, one frame at a time
        made["int8"] = plain._replace(decoder=subject.folder / "decoder_int8.onnx")
        _quantise(avatar, plain, heard[:CALIBRATION_FRAMES], made["int8"].decoder)
    crops, room = avatar.template.crops, cache_bytes(settings) // len(made)
    painters = {name: Painter(halves, crops, settings, room, batch) for name, halves in made.items()}
    watches = {name: Stopwatch() for name in made}
    painted: dict[str, list[Pictures]] = {name: [] for name in made}
    for start in range(0, frames, batch):
        indices = [template_index(frame, len(crops)) for frame in range(start, min(start + batch, frames))]
        for name, painter in painters.items():
            painted[name].append(painter.paint(indices, heard[start : start + batch], watches[name]))
    reference = np.concatenate(painted["float32"])
    return {name: _trial(watches[name], np.concatenate(painted[name]), reference) for name in made}


def _trial(watch: Stopwatch, faces: Pictures, reference: Pictures) -> Trial:
    taken_s = [stop - start for start, stop in watch.laps(Stage.DECODER_HALF)]
    difference = faces.astype(np.int16) - reference
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    psnr_db = 10 * math.log10(255**2 / error) if error else math.inf
    return Trial(summarise(taken_s[1:] or taken_s), psnr_db, int(np.abs(difference).max()))


def _heard(avatar: WarmAvatar, frames: int) -> Float32:
    """What frames of the speech clip that ships are conditioned on, over and over: float32 (frames, 32, 16, 16)."""
    with as_file(files("workers") / "data" / "speech.flac") as clip, open_audio(clip) as source:
        audio = np.concatenate(list(mono_blocks(source, SAMPLE_RATE_HZ)))
    total = frame_count(len(audio), "exact")
    part = Part(lambda span: audio[slice(*span)], len(audio), total, Span(0, min(total, frames)))
    conditions = np.concatenate([heard for _, heard in hear(avatar, part, total, Stopwatch())])
    return conditions[np.arange(frames) % len(conditions)]


def _quantise(avatar: WarmAvatar, files: HalfFiles, heard: Float32, result: Path) -> None:
    """Write the decoder half in int8, its ranges taken from what it does with real frames."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    kept = _kept(avatar, files, len(heard))

    class Frames(CalibrationDataReader):  # type: ignore[misc]  # without types
        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = (
                dict(tensors) | {HEARD: row[None]} for tensors, row in zip(kept, heard, strict=True)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    quantize_static(
        files.decoder,
        result,
        Frames(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
    )


def _kept(avatar: WarmAvatar, files: HalfFiles, frames: int) -> list[Mapping[str, npt.NDArray[Any]]]:
    """What the encoder half keeps of the first template frames."""
    session = import_runtime().InferenceSession(str(files.encoder), providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_outputs()]
    crops = avatar.template.crops
    faces = (crops[template_index(frame, len(crops))][INNER, INNER][None] for frame in range(frames))
    return [dict(zip(names, session.run(None, {FACE: np.ascontiguousarray(face)}), strict=True)) for face in faces]
