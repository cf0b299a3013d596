"""What is submitted to a simulated fleet, how fast its workers are, and what befalls them."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from jobs.ledger import FAILURE_WEIGHT, HANDED_BACK_WEIGHT, JobTicket
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.submit import new_job_id

TEN_HOURS, HALF_HOUR, TWO_MINUTES = 3600, 180, 12
"""In chunks of ten seconds of video."""
DIGEST = "d" * 64


@dataclass(frozen=True)
class Arrival:
    """A job and when it is submitted, in chunk times after the start."""

    at: float
    chunks: int


@dataclass(frozen=True)
class Scenario:
    """What is simulated; equal scenarios draw equal times.

    Attributes:
        workers: how many.
        chunk_s: mean time of a chunk on a worker of mean speed.
        jobs: in order of submission.
        worker_spread: standard deviation of the logarithm of the workers' speeds.
        chunk_spread: the same of a worker's chunks.
        failing: share of the chunks that fail halfway, the first time.
        handed_back: share of the chunks whose worker is told to stop halfway, the first time; it comes back after a
            chunk time.
        seed: of all that is drawn.
    """

    workers: int
    chunk_s: float
    jobs: tuple[Arrival, ...]
    worker_spread: float = 0.25
    chunk_spread: float = 0.2
    failing: float = 0.01
    handed_back: float = 0.005
    seed: int = 0

    @property
    def chunks(self) -> int:
        """Of all jobs."""
        return sum(job.chunks for job in self.jobs)

    def pace(self, worker: int) -> float:
        """A worker's time for a chunk, as a multiple of the mean one."""
        return _spread(Random(f"{self.seed} {worker}"), self.worker_spread)

    def fate(self, job: int, chunk: int) -> "Fate":
        """What is in store for a chunk of one of the jobs, whichever worker takes it when."""
        chance = Random(f"{self.seed} {job} {chunk}")
        trouble, drawn = None, chance.random()
        if drawn < self.failing:
            trouble = FAILURE_WEIGHT
        elif drawn < self.failing + self.handed_back:
            trouble = HANDED_BACK_WEIGHT
        return Fate(self.chunk_s * _spread(chance, self.chunk_spread), trouble)


class Fate(NamedTuple):
    """How long a part takes at mean pace, and what it is given back with the first time, if so (see `jobs.ledger`)."""

    takes_s: float
    trouble: int | None = None


def _spread(chance: Random, sigma: float) -> float:
    """Log-normal with mean 1."""
    return chance.lognormvariate(-sigma * sigma / 2, sigma)


def new_ticket(chunks: int) -> JobTicket:
    """A job for the ledger, of which nothing is in any store."""
    return JobTicket(new_job_id(), chunks, chunks * DEFAULT_CHUNK_FRAMES, 3, DIGEST, "bench")
