"""When each stage of a chunk ran, for the logs and the benchmarks; shared by the threads of the pipeline."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from threading import Lock

Interval = tuple[float, float]
"""Start and stop in seconds of `time.perf_counter`."""


class Stage(StrEnum):
    """The stages of a chunk, in the order in which a frame passes them."""

    AUDIO = "audio features"
    ENCODER_HALF = "encoder half"
    DECODER_HALF = "decoder half"
    PASTE = "paste"
    COLOUR = "colour conversion"
    ENCODE = "encode"
    UPLOAD = "upload"


DEVICE_STAGES = (Stage.AUDIO, Stage.ENCODER_HALF, Stage.DECODER_HALF)
"""Those whose arithmetic is the device's."""


class Stopwatch:
    """Records when stages run."""

    def __init__(self) -> None:
        self._laps: dict[Stage, list[Interval]] = defaultdict(list)
        self._lock = Lock()

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Record one lap of a stage, also when it raises."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            lap = (start_s, time.perf_counter())
            with self._lock:
                self._laps[stage].append(lap)

    def laps(self, *stages: Stage) -> list[Interval]:
        """The laps of these stages, sorted by their start."""
        with self._lock:
            return sorted(lap for stage in stages for lap in self._laps[stage])

    def spent_s(self, stage: Stage) -> float:
        """Seconds of all laps of a stage together; laps of several threads may overlap."""
        return sum(stop - start for start, stop in self.laps(stage))

    def busy_s(self, *stages: Stage) -> float:
        """Seconds in which at least one of these stages ran."""
        busy, until = 0.0, float("-inf")
        for start, stop in self.laps(*stages):
            busy += max(stop - max(start, until), 0.0)
            until = max(until, stop)
        return busy

    def summary(self) -> dict[str, float]:
        """Milliseconds of each stage, and how much of the time since the first lap the device was at work."""
        laps = self.laps(*Stage)
        if not laps:
            return {}
        total_s = max(stop for _, stop in laps) - laps[0][0]
        spent = {f"{stage.replace(' ', '_')}_ms": round(1000 * self.spent_s(stage), 1) for stage in Stage}
        return spent | {"device_busy": round(self.busy_s(*DEVICE_STAGES) / max(total_s, 1e-9), 3)}
