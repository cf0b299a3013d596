"""What a fleet costs: the same job in one process and through Redis, a worker and a store, in turn.

Ratios are measured in pairs within one run, since absolute speeds drift on shared machines.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from infra.errors import JobFailed
from jobs.avatars import read_spec, resolve
from jobs.fleet import Fleet
from jobs.states import JobState
from jobs.status import read_status
from jobs.submit import open_job, prepare_job
from workers.avatar.pack import open_pack
from workers.avatar.publishing import publish_proved
from workers.bench.figures import Spread
from workers.bench.machine import own_memory_mb
from workers.bench.processes import in_its_own_process
from workers.bench.report import Bars, Report
from workers.bench.subject import Subject
from workers.local_fleet import WORKER, local_fleet
from workers.local_render import Outputs, render_locally
from workers.stopwatch import Stage, Stopwatch

PAIRS = 5
POLL_S = 0.02  # a job of ten seconds is not to seem longer because nobody looked
GOAL = 0.97  # of the frames per second of one process
AVATAR = "bench"


@dataclass(frozen=True)
class Pairs:
    """Frames per second of each pair, and what the worker held afterwards."""

    alone_fps: tuple[float, ...]
    fleet_fps: tuple[float, ...]
    worker_mb: float
    provider: str

    @property
    def ratio(self) -> Spread:
        """The fleet's speed in parts of that of one process, pair by pair."""
        return Spread.of([fleet / alone for alone, fleet in zip(self.alone_fps, self.fleet_fps, strict=True)])


def publish(subject: Subject) -> None:
    """Put the avatar where the fleet finds it; apart from `run_pairs`, since networks leave threads behind."""
    publish_proved(open_pack(subject.root), AVATAR, Fleet(subject.settings).store, subject.settings)


def run_pairs(subject: Subject, frames: int, count: int) -> Pairs:
    """Start a fleet of one worker and measure; the function of the measured process."""
    settings = subject.settings
    os.environ.pop("LIPSYNC_REDIS_URL", None)  # the fleet's processes inherit the user's settings, but for these
    os.environ.update(LIPSYNC_STORE=settings.store, LIPSYNC_AVATARS=AVATAR)
    fleet = Fleet(settings)
    with local_fleet(settings, 1) as local:
        _pair(subject, fleet, frames)  # to warm up
        pairs = [_pair(subject, fleet, frames) for _ in range(count)]
        worker_mb = own_memory_mb(local.processes[f"{WORKER}1"].pid)
    alone, through = zip(*((alone, through) for alone, through, _ in pairs), strict=True)
    return Pairs(alone, through, worker_mb, pairs[0][2])


def _pair(subject: Subject, fleet: Fleet, frames: int) -> tuple[float, float, str]:
    """Frames per second alone and through the fleet, from a warm avatar to the finished video; and the provider.

    The worker knows all template frames from jobs before; alone, the time is taken off that finding out takes.
    """
    request, watch = subject.request(frames), Stopwatch()
    outputs = Outputs(video=subject.folder / "alone.mp4")
    alone = render_locally(request, str(subject.root), outputs, subject.settings, lambda *_: None, (0, None), watch)
    alone_fps = alone.frames.size / (alone.seconds - watch.spent_s(Stage.ENCODER_HALF))
    digest = resolve(AVATAR, fleet.store)
    manifest = prepare_job(request, digest, read_spec(fleet.store, digest), fleet.store)
    started_s = time.monotonic()
    job = open_job(manifest, fleet.ledger, fleet.store)
    fleet.dispatch([job])
    while not (last := read_status(job, fleet.ledger, fleet.store)).ended:
        time.sleep(POLL_S)
    if last.state is not JobState.DONE:
        raise JobFailed(f"The job that was to be measured ended as {last.state}: {last.error}")
    return alone_fps, last.frames_done / (time.monotonic() - started_s), alone.provider


def measure(subject: Subject, frames: int, tell: Callable[[str], object], count: int = PAIRS) -> Report:
    """Render the same job `count` times in either way, in turn."""
    in_its_own_process(publish, subject)
    tell(f"rendering {frames} frames {2 * count} times, and twice to warm up")
    return describe(in_its_own_process(run_pairs, subject, frames, count).answer, subject, frames)


def describe(pairs: Pairs, subject: Subject, frames: int) -> Report:
    """The figures of one measurement."""
    alone, through, ratio = Spread.of(pairs.alone_fps), Spread.of(pairs.fleet_fps), pairs.ratio
    reached = ratio.median >= GOAL
    document = {
        "avatar": subject.name,
        "frames": frames,
        "pairs": len(pairs.alone_fps),
        "alone_frames_per_s": alone.document(),
        "fleet_frames_per_s": through.document(),
        "fleet_over_alone": ratio.document(),
        "goal": GOAL,
        "goal_reached": reached,
        "worker_memory_mb": round(pairs.worker_mb, 1),
        "provider": pairs.provider,
        "threads": subject.settings.threads,
        "batch": subject.batch,
    }
    rows = (
        ("avatar", f"{subject.name}, {frames} frames, {len(pairs.alone_fps)} pairs"),
        ("one process, warm to finished video", f"{alone.text()} frames/s"),
        ("fleet of one worker, submitted to finished video", f"{through.text()} frames/s"),
        ("fleet in parts of one process", f"{ratio.text(3)}; at least {GOAL} is {'' if reached else 'not '}reached"),
        ("memory of the worker alone", f"{pairs.worker_mb:.0f} MB; the decoded template is mapped and shared"),
        ("runs on", f"{pairs.provider}, threads: {subject.settings.threads}, frames in a batch: {subject.batch}"),
    )
    speeds = {"one process": alone.median, "fleet of one worker": through.median}
    return Report("fleet", document, rows, (Bars("Speed of a job", "frames/s", speeds),))
