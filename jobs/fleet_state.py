"""What the fleet looks like at one moment: its workers, what they do, and what waits. Plain values."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from jobs.ledger import JobView
from jobs.states import JobState


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself with every pulse. Times are seconds since the epoch, by its own clock.

    Attributes:
        worker: `name@host`, as in Celery.
        host: its host.
        device: index of the accelerator that it drives.
        version: of the product, with the label of the build.
        release: id of the artefact that it runs from, empty when it runs from none.
        provider: what its networks run on: `cpu`, `cuda` or `tensorrt`.
        device_name: the accelerator's or the processor's name.
        started_s: when its process began.
        cold_start_s: seconds from there until it was ready to take work.
        fps: frames per second over the last half minute, idle time included.
        pace_fps: frames per second while it worked on its last chunks; None before the first.
        memory_bytes: what its processes keep resident and share with nobody.
        cache_free_bytes: free on the disk of its cache.
        device_memory_bytes: used on its accelerator, by whomever; None without one.
        device_memory_total_bytes: what the accelerator has.
        device_use: share of the last moments in which the accelerator was at work, 0 to 1.
    """

    worker: str
    host: str
    device: int = 0
    version: str = ""
    release: str = ""
    provider: str = ""
    device_name: str = ""
    started_s: float = 0.0
    cold_start_s: float | None = None
    fps: float = 0.0
    pace_fps: float | None = None
    memory_bytes: int | None = None
    cache_free_bytes: int | None = None
    device_memory_bytes: int | None = None
    device_memory_total_bytes: int | None = None
    device_use: float | None = None


@dataclass(frozen=True)
class WorkerView:
    """A worker as the ledger sees it.

    Attributes:
        facts: what it said last.
        seen_s: when that was, by the clock of Redis.
        alive: whether that is recent enough to count on it.
        drained: whether its host takes no more work.
        job: the job of the part that it holds.
        part: that part.
    """

    facts: WorkerFacts
    seen_s: float
    alive: bool
    drained: bool
    job: str | None = None
    part: str | None = None

    @property
    def state(self) -> str:
        """One word: `lost`, `busy`, `drained` or `idle`."""
        if not self.alive:
            return "lost"
        if self.part is not None:
            return "busy"
        return "drained" if self.drained else "idle"


@dataclass(frozen=True)
class JobLoad:
    """A job that has not ended, or that failed lately, and how its parts stand.

    Attributes:
        view: the job.
        waiting_parts: not finished, in nobody's hands, and not in quarantine.
        in_flight_parts: claimed.
        waiting_since_s: when the part that waits longest was first offered, by the clock of Redis.
    """

    view: JobView
    waiting_parts: int
    in_flight_parts: int
    waiting_since_s: float | None

    @property
    def frames_left(self) -> int:
        """Frames that nobody has rendered yet."""
        return max(self.view.frames_total - self.view.frames_done, 0)


class Held(NamedTuple):
    """A part that a worker holds."""

    worker: str
    job: str
    part: str


class LeftOut(NamedTuple):
    """Jobs that are too many to be shown one by one: how many, and how those stand that may be worked on."""

    jobs: int = 0
    waiting_parts: int = 0
    in_flight_parts: int = 0
    frames_left: int = 0


@dataclass(frozen=True)
class FleetView:
    """The fleet at one moment; times are seconds since the epoch by the clock of Redis.

    Attributes:
        now_s: the moment.
        workers: all that are known, by name; those that vanished stay for an hour.
        drained_hosts: hosts that take no more work, whether they have workers or not.
        jobs: those that have not ended, that failed within a day, or were done a moment ago, oldest first.
        left_out: jobs of that kind that did not fit.
        job_states: how many jobs of each state the ledger knows.
        queue_messages: doorbells that wait in the queue.
    """

    now_s: float
    workers: tuple[WorkerView, ...]
    drained_hosts: frozenset[str]
    jobs: tuple[JobLoad, ...]
    left_out: LeftOut
    job_states: dict[JobState, int]
    queue_messages: int

    @property
    def offering(self) -> tuple[JobLoad, ...]:
        """Jobs that workers may work on now."""
        return tuple(job for job in self.jobs if job.view.state.offers)

    @property
    def waiting_parts(self) -> int:
        """Parts that somebody could take, now or after others."""
        return sum(job.waiting_parts for job in self.offering) + self.left_out.waiting_parts

    @property
    def in_flight_parts(self) -> int:
        """Parts that somebody works on."""
        return sum(job.in_flight_parts for job in self.jobs) + self.left_out.in_flight_parts

    @property
    def oldest_waiting_s(self) -> float | None:
        """For how long the part that waits longest has been offered, None when none waits."""
        since = [job.waiting_since_s for job in self.offering if job.waiting_since_s is not None]
        return max(self.now_s - min(since), 0.0) if since else None

    @property
    def frames_left(self) -> int:
        """Frames of all jobs that workers may work on."""
        return sum(job.frames_left for job in self.offering) + self.left_out.frames_left

    @property
    def able(self) -> tuple[WorkerView, ...]:
        """Workers that are alive and take work."""
        return tuple(worker for worker in self.workers if worker.alive and not worker.drained)

    @property
    def fps(self) -> float:
        """Frames per second of all workers together, over the last half minute."""
        return sum(worker.facts.fps for worker in self.workers if worker.alive)

    @property
    def pace_fps(self) -> float | None:
        """Frames per second that the able workers reach together while there is work; None when none has shown it.

        Workers that have rendered nothing yet are taken for average ones.
        """
        shown = [worker.facts.pace_fps for worker in self.able if worker.facts.pace_fps]
        return sum(shown) / len(shown) * len(self.able) if shown else None

    @property
    def empty_in_s(self) -> float | None:
        """Seconds until nothing is left to render at that pace; None when it cannot be told."""
        if not self.frames_left:
            return 0.0
        return self.frames_left / self.pace_fps if self.pace_fps else None


_FACTS = TypeAdapter(WorkerFacts)


def write_facts(facts: WorkerFacts) -> str:
    """Facts as the ledger keeps them: JSON."""
    return _FACTS.dump_json(facts).decode()


def read_facts(worker: str, text: str | None) -> WorkerFacts:
    """Read what the ledger keeps of a worker; of what another version wrote, what this one understands."""
    try:
        return _FACTS.validate_json(text or "{}")
    except ValidationError:
        return WorkerFacts(worker, worker.partition("@")[2])


def host_of(worker: str) -> str:
    """The host in a worker's name `name@host`."""
    return worker.partition("@")[2]


def versions(workers: Iterable[WorkerView]) -> Counter[str]:
    """How many live workers run each version."""
    return Counter(worker.facts.version for worker in workers if worker.alive)
