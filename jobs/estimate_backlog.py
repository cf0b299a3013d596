"""What a live fleet has queued and how fast it was seen to be, as an estimate needs it. Pure."""

from dataclasses import dataclass

from infra.errors import Rejected
from jobs.estimate import Estimate, checked_rate
from jobs.fleet_state import FleetView
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.scaling import worker_fps


@dataclass(frozen=True)
class Backlog:
    """A fleet's work and strength.

    Attributes:
        frames: that are queued and nobody has rendered yet.
        chunk_frames: of the largest chunks among the queued jobs; 0 when nothing is queued.
        workers: that take work now.
        worker_fps: frames per second of one of them; None when none has rendered yet.
    """

    frames: int
    chunk_frames: int
    workers: int
    worker_fps: float | None


def backlog_of(fleet: FleetView) -> Backlog:
    """Read a backlog off the ledger's view of the fleet."""
    sizes = [-(-job.view.frames_total // job.view.chunks_total) for job in fleet.offering if job.frames_left]
    unseen = DEFAULT_CHUNK_FRAMES if fleet.left_out.frames_left else 0
    return Backlog(fleet.frames_left, max(sizes, default=unseen), len(fleet.able), worker_fps(fleet))


def estimate_with(backlog: Backlog, job: Estimate | None, chunk_frames: int, fps: float | None) -> Estimate:
    """All that is queued as one piece of work, and a job that is to come on top of it.

    Workers are shared by all jobs, so it is done when everything is.

    Args:
        backlog: what is queued.
        job: that is to come; None for none.
        chunk_frames: of that job.
        fps: of one worker; None takes what was measured.

    Raises:
        Rejected: nothing was measured, or there is nothing to render.
    """
    rate = backlog.worker_fps if fps is None else checked_rate(fps)
    if rate is None:
        raise Rejected("No worker of this fleet has rendered anything yet: tell its rate with --fps-per-worker.")
    frames = backlog.frames + (job.frames if job else 0)
    if not frames:
        raise Rejected("Nothing is queued, so nothing can be planned: tell the length of a video with --duration.")
    largest = max(backlog.chunk_frames, chunk_frames if job else 0)
    return Estimate(frames, largest, rate)
