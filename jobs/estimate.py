"""How long a job takes on a fleet, and how large a fleet must be. Pure arithmetic; nothing is asked of any fleet."""

import math
import re
from bisect import bisect_left
from dataclasses import dataclass

from infra.errors import Rejected
from jobs.plan import chunk_count
from jobs.timing import FPS, MIN_SAMPLES, SAMPLE_RATE_HZ, frame_count

LONGEST_S = 10_000 * 3600.0
SLOWEST_FPS, FASTEST_FPS = 1e-3, 1e6
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


@dataclass(frozen=True)
class Estimate:
    """The rendering of one job by workers that are all alike and never idle while there are chunks.

    Joining the segments, which one worker does at the end, is not in it: its time is that of copying the video.

    Attributes:
        frames: of the video.
        chunk_frames: frames of a chunk; the last one has what remains.
        worker_fps: frames per second of one worker, from warm to uploaded.
    """

    frames: int
    chunk_frames: int
    worker_fps: float

    @property
    def chunks(self) -> int:
        """Units of work."""
        return chunk_count(self.frames, self.chunk_frames)

    @property
    def chunk_s(self) -> float:
        """Time of a whole chunk: no fleet is faster than that, save with a job of one short chunk."""
        return min(self.chunk_frames, self.frames) / self.worker_fps

    @property
    def alone_s(self) -> float:
        """Time on one worker."""
        return self.frames / self.worker_fps

    def finish_s(self, workers: int) -> float:
        """Time until the last chunk is rendered.

        Workers take one chunk after the other, so all but the last round are full ones. In the last, some may have
        nothing to do, and it is as long as a chunk unless the only one that is left is the last and short one.
        """
        rounds = math.ceil(self.chunks / workers)
        left = self.chunks - (rounds - 1) * workers
        last = self.frames - (self.chunks - 1) * self.chunk_frames if left == 1 else min(self.chunk_frames, self.frames)
        return ((rounds - 1) * self.chunk_frames + last) / self.worker_fps

    def billed_h(self, workers: int) -> float:
        """Worker hours that are paid for: all of the fleet until its last chunk is rendered, idle tails included."""
        return workers * self.finish_s(workers) / 3600

    def cost_per_video_h(self, workers: int, per_hour: float) -> float:
        """What an hour of video costs on a fleet.

        Args:
            workers: of it.
            per_hour: what one worker costs in an hour, in whatever currency.
        """
        return self.billed_h(workers) * per_hour / (self.frames / FPS / 3600)

    def workers_for(self, deadline_s: float) -> int:
        """The smallest fleet that is done in time.

        Raises:
            Rejected: none is.
        """
        fleets = range(1, self.chunks + 1)
        found = bisect_left(fleets, True, key=lambda workers: self.finish_s(workers) <= deadline_s)
        if found == len(fleets):
            raise Rejected(
                f"No fleet is done in {spell_duration(deadline_s)}: a single chunk takes one worker "
                f"{spell_duration(self.chunk_s)}; allow more time, or make chunks shorter with --chunk-frames."
            )
        return fleets[found]


def estimate(duration_s: float, chunk_frames: int, worker_fps: float) -> Estimate:
    """Estimate a job by the length of its speech.

    Raises:
        Rejected: the speech is too short, or the rate is no rate.
    """
    samples = round(duration_s * SAMPLE_RATE_HZ)
    if samples < MIN_SAMPLES:
        raise Rejected(
            f"{duration_s:g} s are too short for a video: at least {MIN_SAMPLES / SAMPLE_RATE_HZ} s are needed."
        )
    return Estimate(frame_count(samples, "exact"), chunk_frames, checked_rate(worker_fps))


def checked_rate(worker_fps: float) -> float:
    """Return the rate of a worker when it can be one.

    Raises:
        Rejected: it is none.
    """
    if not SLOWEST_FPS <= worker_fps <= FASTEST_FPS:
        raise Rejected(f"A worker cannot do {worker_fps:g} frames/s; `lipsync bench --what fleet` measures its rate.")
    return worker_fps


def parse_duration(text: str) -> float:
    """Seconds of `10h`, `90m`, `1h30m`, `45s`, `1.5h` or plain seconds such as `3600`.

    Raises:
        Rejected: it is none of these, nothing, or longer than `LONGEST_S`.
    """
    compact = text.replace(" ", "").lower()
    plain = re.fullmatch(_NUMBER, compact)
    found = _DURATION.fullmatch(f"{compact}s" if plain else compact)
    numbers = found.groups(default="0") if found else ()
    seconds = sum(float(number) * unit_s for number, unit_s in zip(numbers, (3600, 60, 1), strict=False))
    if not 0 < seconds <= LONGEST_S:
        raise Rejected(
            f"{text[:40]!r} is no duration: write 10h, 90m, 1h30m, 45s or seconds, up to {LONGEST_S / 3600:.0f}h."
        )
    return seconds


def spell_duration(seconds: float) -> str:
    """`1h24m28s`, `42m14s`, `12.5s`: as `parse_duration` reads it, rounded up so that it is kept."""
    exact = round(seconds, 6)  # without what floating point adds
    if exact < 60:
        return f"{math.ceil(10 * exact) / 10:g}s"
    whole = math.ceil(exact)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
