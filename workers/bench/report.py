"""What a benchmark found, for people and for programs."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bars:
    """Figures to be seen beside each other."""

    title: str
    unit: str
    values: dict[str, float]


@dataclass(frozen=True)
class Distribution:
    """How often which value was measured; one curve for each name."""

    title: str
    unit: str
    samples: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Report:
    """The outcome of one benchmark.

    Attributes:
        what: its name, as `--what` takes it.
        document: every figure, JSON types only, units in the names.
        rows: the same for a terminal: what, figure with its unit.
        charts: the same for the eye, one below the other.
    """

    what: str
    document: dict[str, Any]
    rows: tuple[tuple[str, str], ...]
    charts: tuple[Bars | Distribution, ...] = ()
