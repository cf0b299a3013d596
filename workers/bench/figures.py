"""What is said of many measurements of the same thing. Pure."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Statistics:
    """Seconds that one thing took, measured again and again."""

    count: int
    median_s: float
    mean_s: float
    p95_s: float
    """19 of 20 took no longer; between two measurements it is interpolated."""
    deviation_s: float
    """Standard deviation of the sample; 0 for a single measurement."""
    least_s: float
    greatest_s: float

    @property
    def per_second(self) -> float:
        """How many fit into a second, one after the other."""
        return 1 / max(self.mean_s, 1e-9)

    def document(self, *, frames: int = 1) -> dict[str, float]:
        """JSON types; times in milliseconds.

        Args:
            frames: that one measurement stands for.
        """
        times = {name.removesuffix("_s"): value for name, value in asdict(self).items() if name != "count"}
        rounded = {f"{name}_ms": round(1000 * value, 4) for name, value in times.items()}
        return {"count": self.count} | rounded | {"frames_per_s": round(frames * self.per_second, 3)}

    def rows(self, name: str, *, frames: int = 1) -> list[tuple[str, str]]:
        """The same for a terminal."""
        return [
            (f"{name}, median", milliseconds(self.median_s)),
            (f"{name}, mean", milliseconds(self.mean_s)),
            (f"{name}, P95", milliseconds(self.p95_s)),
            (f"{name}, standard deviation", milliseconds(self.deviation_s)),
            (f"{name}, frames/s", rate(frames * self.per_second)),
        ]


def summarise(samples_s: Sequence[float]) -> Statistics:
    """The statistics of at least one measurement."""
    ordered = sorted(samples_s)
    position = 0.95 * (len(ordered) - 1)
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    return Statistics(
        count=len(ordered),
        median_s=statistics.median(ordered),
        mean_s=statistics.fmean(ordered),
        p95_s=below + (above - below) * (position % 1),
        deviation_s=statistics.stdev(ordered) if len(ordered) > 1 else 0.0,
        least_s=ordered[0],
        greatest_s=ordered[-1],
    )


@dataclass(frozen=True)
class Spread:
    """Median and range of a few figures, such as the ratios of pairs."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Of at least one figure."""
        return cls(statistics.median(figures), min(figures), max(figures))

    def document(self) -> dict[str, float]:
        """JSON types."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def text(self, digits: int = 2) -> str:
        """`0.99 (0.97 to 1.00)`."""
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.greatest:.{digits}f})"


def intervals(times_s: Sequence[float]) -> list[float]:
    """Seconds from each of these moments to the next."""
    return [later - earlier for earlier, later in itertools.pairwise(times_s)]


def milliseconds(seconds: float) -> str:
    """`3.83 ms`."""
    return f"{1000 * seconds:.2f} ms"


def rate(per_second: float) -> str:
    """`19.7 frames/s`."""
    return f"{per_second:.2f} frames/s"
