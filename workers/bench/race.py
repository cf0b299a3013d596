"""The render against a plain PyTorch loop of the same networks: pairs in turn, each in a process of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from infra.errors import Rejected
from jobs.avatar_spec import AvatarSpec, VideoTemplate
from workers.avatar.pack import open_pack
from workers.bench import pipeline
from workers.bench.figures import Spread
from workers.bench.processes import Run, in_its_own_process
from workers.bench.reference import ReferenceRender, render_reference
from workers.bench.report import Bars, Report
from workers.bench.state import save_states
from workers.bench.subject import Subject

PAIRS = 3
COMPARED_FRAMES = 8
REFERENCE_FRAMES = 97
"""No frame helps the loop with the next: its speed does not depend on how many there are, and this many will do."""

Pair = tuple[Run[pipeline.Render], Run[ReferenceRender]]


def measure(subject: Subject, frames: int, tell: Callable[[str], object], pairs: int = PAIRS) -> Report:
    """Race the two; our renders are also described by themselves.

    Raises:
        Rejected: the avatar is none that the loop can render.
        Failed: PyTorch is not installed.
    """
    pack = open_pack(subject.root)
    _check(pack.spec, subject.name)
    save_states(pack, subject.folder)
    loops = min(frames, REFERENCE_FRAMES)
    for count in (frames, loops):
        subject.request(count)  # written before the clock runs
    compared = min(frames, COMPARED_FRAMES)
    tell(f"comparing {compared} frames")
    difference = largest_difference(subject, compared)
    ran: list[Pair] = []
    for number in range(1, pairs + 1):
        tell(f"pair {number} of {pairs}")
        run = in_its_own_process(pipeline.render, subject, frames)
        ran.append((run, in_its_own_process(render_reference, subject, loops)))
    tell("starting anew")
    ours = pipeline.describe([run for run, _ in ran], pipeline.cold_start_s(subject), subject)
    return _with_reference(ours, ran, frames, difference)


def largest_difference(subject: Subject, frames: int) -> int:
    """The largest difference of any pixel of the first frames before they are encoded, in grey levels."""
    ours, theirs = subject.folder / "ours", subject.folder / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    in_its_own_process(pipeline.render, subject, frames, ours)
    in_its_own_process(render_reference, subject, frames, theirs)
    return max(_difference(path, theirs / path.name) for path in sorted(ours.iterdir()))


def _difference(one: Path, other: Path) -> int:
    first, second = (np.asarray(cv2.imread(str(path)), np.int16) for path in (one, other))
    return int(np.abs(first - second).max())


def _check(spec: AvatarSpec, name: str) -> None:
    parsed = any(spec.has_parsing(frame) for frame in range(spec.frame_count))
    if isinstance(spec.template, VideoTemplate) or parsed:
        raise Rejected(
            f"--reference races a loop that reads pictures and knows no parsing maps, and avatar {name} has "
            f"{'parsing maps' if parsed else 'a video'}: leave --avatar out."
        )


def _with_reference(report: Report, ran: list[Pair], frames: int, difference: int) -> Report:
    """A render's report with the race added; whole processes are compared where they rendered as much."""
    whole = [(frames / ours.seconds, frames / theirs.seconds) for ours, theirs in ran]
    warm = [(ours.answer.fps, theirs.answer.fps) for ours, theirs in ran]
    theirs = ran[0][1].answer
    document: dict[str, object] = {
        "framework": theirs.framework,
        "frames": theirs.frames,
        "threads": theirs.threads,
        "pairs": len(ran),
        "largest_difference_grey_levels": difference,
        "peak_memory_mb": round(theirs.peak_mb, 1),
    }
    rows = [
        (
            "reference",
            f"{theirs.framework}, threads: {theirs.threads}, {theirs.frames} frames one by one, {len(ran)} pairs",
        ),
        ("reference, peak memory of the process", f"{theirs.peak_mb:.0f} MB"),
        ("largest difference of a pixel", f"{difference} of 255"),
    ]
    races = {"process": ("process from start to end", whole)} if theirs.frames == frames else {}
    for name, (meaning, pairs) in (races | {"warm": ("warm to finished video", warm)}).items():
        ours_spread, their_spread = (Spread.of(speeds) for speeds in zip(*pairs, strict=True))
        ratio = Spread.of([ours / reference for ours, reference in pairs])
        document[name] = {
            "frames_per_s": ours_spread.document(),
            "reference_frames_per_s": their_spread.document(),
            "times_as_fast": ratio.document(),
        }
        rows += [
            (f"{meaning}, ours", f"{ours_spread.text()} frames/s"),
            (f"{meaning}, reference", f"{their_spread.text()} frames/s"),
            (f"{meaning}, times as fast", ratio.text()),
        ]
    ours_fps, their_fps = (Spread.of(speeds).median for speeds in zip(*warm, strict=True))
    return replace(
        report,
        document=report.document | {"reference": document},
        rows=(*report.rows, *rows),
        charts=(*report.charts, Bars("Warm to finished video", "frames/s", {"ours": ours_fps, "reference": their_fps})),
    )
