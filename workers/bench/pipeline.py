"""A whole render, from a sound file to the finished video, in a process of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.bench.figures import Spread, intervals, milliseconds, summarise
from workers.bench.machine import peak_memory_mb
from workers.bench.processes import Run, in_its_own_process
from workers.bench.report import Bars, Distribution, Report
from workers.bench.subject import Subject
from workers.local_render import Outputs, render_locally
from workers.stopwatch import DEVICE_STAGES, Interval, Stage, Stopwatch

RENDERS = 3
COLD_STARTS = 3


@dataclass(frozen=True)
class Render:
    """What the process of a render saw; moments are seconds of `time.perf_counter`."""

    finished_s: tuple[float, ...]
    """When each frame was ready for the encoder."""
    warm_s: float
    """When the avatar was loaded."""
    done_s: float
    """When the video was finished."""
    laps: dict[Stage, list[Interval]]
    device_busy_s: float
    provider: str
    peak_mb: float

    @property
    def fps(self) -> float:
        """Frames per second once the avatar is warm, to the finished video."""
        return len(self.finished_s) / (self.done_s - self.warm_s)

    def steady_s(self) -> list[float]:
        """Seconds from frame to frame while the generator was at work.

        What the stages hold at its end comes out faster than it can be made; of a short job that is all there is.
        """
        painted_s = max((stop for _, stop in self.laps.get(Stage.DECODER_HALF, ())), default=self.done_s)
        return intervals([one for one in self.finished_s if one <= painted_s]) or intervals(self.finished_s)


def render(subject: Subject, frames: int, keep: Path | None = None) -> Render:
    """Render the first frames of a job; the function of the measured process.

    Args:
        subject: avatar and sound.
        frames: how many.
        keep: folder for PNGs of the frames instead of a video.
    """
    watch, finished_s = Stopwatch(), list[float]()

    def report(*state: object) -> None:
        if state[-1] == "rendering":
            finished_s.append(time.perf_counter())

    outputs = Outputs(video=subject.folder / "video.mp4") if keep is None else Outputs(frames=keep)
    request, root = subject.request(frames), str(subject.root)
    done = render_locally(request, root, outputs, subject.settings, report, (0, frames), watch)
    done_s = time.perf_counter()
    return Render(
        finished_s=tuple(finished_s),
        warm_s=done_s - done.seconds,
        done_s=done_s,
        laps={stage: watch.laps(stage) for stage in Stage if watch.laps(stage)},
        device_busy_s=watch.busy_s(*DEVICE_STAGES),
        provider=done.provider,
        peak_mb=peak_memory_mb(),
    )


def measure(subject: Subject, frames: int, tell: Callable[[str], object]) -> Report:
    """Render a job a few times, and start processes to see when their first frame is there."""
    tell(f"rendering {frames} frames {RENDERS} times")
    runs = [in_its_own_process(render, subject, frames) for _ in range(RENDERS)]
    tell("starting anew")
    return describe(runs, cold_start_s(subject), subject)


def cold_start_s(subject: Subject) -> Spread:
    """Seconds from the start of a process to the first frame of its job, the caches of its host filled before."""
    runs = [in_its_own_process(render, subject, 1) for _ in range(COLD_STARTS)]
    return Spread.of([run.answer.finished_s[0] - run.started_s for run in runs])


def describe(runs: list[Run[Render]], cold_s: Spread, subject: Subject) -> Report:
    """The speed of all renders, and all other figures of the one in their middle."""
    speed = Spread.of([run.answer.fps for run in runs])
    run = sorted(runs, key=lambda run: run.answer.fps)[len(runs) // 2]
    seen, settings = run.answer, subject.settings
    frames = len(seen.finished_s)
    wall_s, first_s = seen.done_s - seen.warm_s, seen.finished_s[0] - seen.warm_s
    between_s = seen.steady_s()
    steady = summarise(between_s)
    document: dict[str, Any] = {
        "avatar": subject.name,
        "frames": frames,
        "template_frames": subject.template_frames,
        "renders": len(runs),
        "frames_per_s": speed.document(),
        "interval": steady.document(),
        "first_frame_ms": round(1000 * first_s, 3),
        "cold_start_s": cold_s.document(),
        "process_s": round(run.seconds, 3),
        "stages": {},
        "device_busy_share": round(seen.device_busy_s / wall_s, 4),
        "peak_memory_mb": round(seen.peak_mb, 1),
        "provider": seen.provider,
        "threads": settings.threads,
        "batch": subject.batch,
    }
    rows = [
        ("avatar", f"{subject.name}, {frames} frames on {subject.template_frames} template frames"),
        ("whole, warm to finished video", f"{speed.text()} frames/s, {len(runs)} renders"),
        *steady.rows("from frame to frame"),
        ("first frame of a warm avatar", milliseconds(first_s)),
        ("cold start, process to first frame", f"{cold_s.text()} s"),
    ]
    for stage, laps in seen.laps.items():
        took = summarise([stop - start for start, stop in laps])
        per_frame_s = took.mean_s * took.count / frames
        document["stages"][stage.name.lower()] = {
            "ms_per_frame": round(1000 * per_frame_s, 4),
            "laps": took.count,
            "median_ms": round(1000 * took.median_s, 4),
            "p95_ms": round(1000 * took.p95_s, 4),
        }
        rows.append((f"{stage}, per frame", f"{milliseconds(per_frame_s)}, {took.count} times"))
    rows += [
        ("device busy", f"{100 * seen.device_busy_s / wall_s:.1f} % of the time"),
        ("peak memory of the process", f"{seen.peak_mb:.0f} MB"),
        ("runs on", f"{seen.provider}, threads: {settings.threads}, frames in a batch: {subject.batch}"),
    ]
    stages_ms = {str(stage): document["stages"][stage.name.lower()]["ms_per_frame"] for stage in seen.laps}
    samples_ms = {subject.name: tuple(1000 * one for one in between_s)}
    charts = (
        Bars("Work per frame, by stage", "ms", stages_ms),
        Distribution("From frame to frame", "ms", samples_ms),
    )
    return Report("pipeline", document, tuple(rows), charts)
