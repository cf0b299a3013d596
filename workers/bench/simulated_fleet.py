"""Workers that render nothing, while all else is real: the ledger's scripts, the dispatcher, the messages of Celery.

One thread plays all of them with a heap of what is due when. A simulated worker takes a message off the queue as
Celery's Redis transport does, claims the part, renews the claim as often as a rendering one, records it, dispatches,
and acknowledges the message. Left out are Celery's events and heartbeats and the polling of idle workers.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from infra.errors import Failed
from infra.settings import Settings
from jobs import keys
from jobs.dispatch import dispatch
from jobs.fleet import Fleet
from jobs.ledger import FAILURE_WEIGHT, HANDED_BACK_WEIGHT, Record
from jobs.messages import part_of
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.states import ASSEMBLE_PART
from workers.bench.scenario import DIGEST, TEN_HOURS, Arrival, Fate, Scenario, new_ticket
from workers.bench.trace import JobTrace, Trace
from workers.claims import CHECK_EVERY_S
from workers.pulse import PULSE_S, TURN_S
from workers.tasks import FIRST_DELAY_S

SEGMENT_BYTES = 1_000_000
STEP_S = 0.01
"""More than the driver needs for all it does about a chunk."""
PATIENCE = 10
"""A simulation that takes so many times longer than it should hangs."""


@dataclass(frozen=True)
class _Worker:
    name: str
    pace: float
    """Its time for a chunk, as a multiple of the mean one."""


@dataclass
class _Work:
    """A part that a worker holds."""

    worker: _Worker
    message: Any
    job: str
    part: str
    attempt: int
    fate: Fate
    start_s: float
    over: bool = False


class SimulatedFleet:
    """Plays a scenario on the Redis of `settings`, which should be empty."""

    def __init__(self, settings: Settings, scenario: Scenario) -> None:
        self._scenario = scenario
        self._fleet = Fleet(settings)
        self._channel: Any = self._fleet.app.connection_for_read().channel()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._idle: deque[_Worker] = deque()
        self._messages_wait = False
        self._tried: set[tuple[str, str]] = set()
        self._serving_s = 0.0
        self._jobs_left = len(scenario.jobs)
        self._trace = Trace()

    def play(self) -> Trace:
        """Run the scenario to the end of its last job.

        Raises:
            Failed: it hangs.
        """
        scenario, start_s = self._scenario, time.monotonic()
        chunk_times = max(job.at for job in scenario.jobs) + scenario.chunks / scenario.workers + 10
        hangs_s = start_s + PATIENCE * (chunk_times * scenario.chunk_s + scenario.chunks * STEP_S)
        for number in range(scenario.workers):
            worker = _Worker(f"worker{number}@simulated", scenario.pace(number))
            self._join(worker)
            self._at(start_s + PULSE_S * number / scenario.workers, partial(self._beat, worker))
        for job in scenario.jobs:
            self._at(start_s + job.at * scenario.chunk_s, partial(self._submit, job))
        while self._jobs_left:
            due_s, _, act = heapq.heappop(self._due)
            time.sleep(max(due_s - time.monotonic(), 0))
            self._trace.late_s.append(time.monotonic() - due_s)
            if due_s > hangs_s:
                raise Failed(f"The simulation of {scenario.workers} workers does not come to its end.")
            act()
            self._serve()
        self._channel.connection.client.close()
        return self._trace

    def _at(self, due_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (due_s, next(self._order), act))

    # --- what clients and the workers' parents do ---------------------------------------------------------------

    def _submit(self, job: Arrival) -> None:
        ticket = new_ticket(job.chunks)
        self._trace.jobs[ticket.job] = JobTrace(len(self._trace.jobs), job.chunks, time.monotonic())
        self._fleet.ledger.open(ticket)
        self._dispatch([ticket.job])

    def _beat(self, worker: _Worker) -> None:
        self._at(time.monotonic() + PULSE_S, partial(self._beat, worker))
        self._fleet.ledger.worker_seen(worker.name)
        if self._fleet.ledger.my_turn("dispatch", TURN_S):
            self._dispatch(None)

    def _dispatch(self, jobs: list[str] | None) -> None:
        start_s, self._serving_s = time.monotonic(), 0.0
        self._trace.rung += dispatch(self._fleet.ledger, self._ring, self._fleet.ledger.queue_depth(), jobs)
        self._trace.dispatches_s.append(time.monotonic() - start_s - self._serving_s)

    def _ring(self, job: str, part: str) -> None:
        self._fleet.ring(job, part)
        self._messages_wait = True
        start_s = time.monotonic()
        self._serve()  # other workers do not wait until a dispatcher has sent all it has to send
        self._serving_s += time.monotonic() - start_s

    # --- what workers do ----------------------------------------------------------------------------------------

    def _join(self, worker: _Worker) -> None:
        self._fleet.ledger.worker_seen(worker.name)
        self._idle.append(worker)

    def _serve(self) -> None:
        """Let idle workers take what is on the queue."""
        while self._idle and self._messages_wait:
            message = self._channel.basic_get(keys.QUEUE)
            if message is None:
                self._messages_wait = False
            else:
                self._answer(self._idle.popleft(), message)

    def _answer(self, worker: _Worker, message: Any) -> None:
        job, part = part_of(message.headers["task"], message.payload[1])
        claim = self._fleet.ledger.claim(job, part, worker.name)
        if not claim.granted:
            message.ack()
            self._idle.append(worker)
            return
        now_s = time.monotonic()
        fate = self._fate(job, part)
        work = _Work(worker, message, job, part, claim.attempt, fate, now_s)
        self._at(now_s + CHECK_EVERY_S, partial(self._renew, work))
        self._at(now_s + fate.takes_s * worker.pace * (1.0 if fate.trouble is None else 0.5), partial(self._end, work))

    def _fate(self, job: str, part: str) -> Fate:
        trace, scenario = self._trace.jobs[job], self._scenario
        if not part.isdigit():
            return Fate(scenario.chunk_s * (0.1 + trace.chunks / TEN_HOURS))  # to encode or join much takes a while
        trace.first_chunk_s = min(trace.first_chunk_s, time.monotonic())
        fate = scenario.fate(trace.number, int(part))
        again = (job, part) in self._tried
        self._tried.add((job, part))
        return Fate(fate.takes_s) if again else fate

    def _renew(self, work: _Work) -> None:
        if not work.over:
            done = min((time.monotonic() - work.start_s) / (work.fate.takes_s * work.worker.pace), 1.0)
            self._fleet.ledger.renew(work.job, work.part, work.attempt, round(done * DEFAULT_CHUNK_FRAMES))
            self._trace.renewals += 1
            self._at(time.monotonic() + CHECK_EVERY_S, partial(self._renew, work))

    def _end(self, work: _Work) -> None:
        work.over = True
        if work.fate.trouble is None:
            self._finish(work)
        else:
            self._give_back(work, work.fate.trouble)
        self._trace.work.append((work.start_s, time.monotonic()))
        self._dispatch([work.job])
        work.message.ack()
        if work.fate.trouble == HANDED_BACK_WEIGHT:
            back_s = time.monotonic() + self._scenario.chunk_s
            self._at(back_s, partial(self._join, work.worker))
            self._trace.away.append((time.monotonic(), back_s))
        else:
            self._idle.append(work.worker)

    def _finish(self, work: _Work) -> None:
        record = Record(work.attempt, DIGEST, SEGMENT_BYTES, DEFAULT_CHUNK_FRAMES if work.part.isdigit() else 0)
        last = work.part == ASSEMBLE_PART
        self._fleet.ledger.finish(work.job, work.part, record, "file:///simulated" if last else None)
        if work.part.isdigit():
            self._trace.finished_s.append(time.monotonic())
        if last:
            self._jobs_left -= 1

    def _give_back(self, work: _Work, weight: int) -> None:
        self._fleet.ledger.fail(work.job, work.part, work.attempt, "It was told to.", weight, FIRST_DELAY_S)
        self._trace.failed += weight == FAILURE_WEIGHT
        self._trace.handed_back += weight == HANDED_BACK_WEIGHT
