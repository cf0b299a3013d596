"""The ledger in Redis: one hash per job and a few small sets, every operation one atomic script (see `lua/`)."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any
from uuid import uuid4

from infra.redis_connection import connect, redis_errors
from infra.settings import Settings
from jobs import keys
from jobs.fleet_state import FleetView, Held, host_of
from jobs.ledger import (
    CLAIM_TTL_S,
    FAILURE_WEIGHT,
    LEAVE_TO_OTHERS_S,
    MAX_DELAY_S,
    REMOVAL_TTL_S,
    WORKER_TTL_S,
    Claim,
    JobTicket,
    JobView,
    Record,
)
from jobs.ledger_views import (
    DONE_SHOWN_S,
    FAILED_SHOWN_S,
    JOBS_COUNTED,
    JOBS_SHOWN,
    LOST_KEPT_S,
    ask_for_job,
    read_fleet,
    read_jobs,
)
from jobs.states import JobState, PartState, states_before
from jobs.tallies import FIRST_SEGMENT_S, HISTOGRAMS, OF_A_WORKER, field, spell

KEEP_ENDED_S = 7 * 24 * 3600
"""How long an ended job stays visible; the store remembers it for good."""
_FIRST_SEGMENT_BOUNDS = [spell(bound) for bound in HISTOGRAMS[FIRST_SEGMENT_S].bounds]
JOBS_AT_ONCE = 1000
"""Jobs asked about in one round trip: their answers are a few hundred kilobytes."""


class RedisLedger:
    """See `jobs.ledger.Ledger`."""

    def __init__(self, settings: Settings, claim_ttl_s: float = CLAIM_TTL_S) -> None:
        self._settings = settings
        self._redis: Any = connect(settings)
        self._claim_ttl_ms = round(claim_ttl_s * 1000)
        self._prefix = settings.redis_prefix
        folder = files("jobs") / "lua"
        head = (folder / "head.lua").read_text()
        self._scripts = {
            name: self._redis.register_script(head + (folder / f"{name}.lua").read_text())
            for name in ("open", "offer", "claim", "renew", "finish", "fail", "leave", "move", "retry")
        }
        self._scripts |= {  # these are about no one job
            name: self._redis.register_script((folder / f"{name}.lua").read_text())
            for name in ("begin_removal", "drain", "end_removal", "holding", "seen", "survey", "tally", "unfinished")
        }

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _run(self, script: str, job: str, *args: str | int) -> Any:
        with redis_errors(self._settings):
            scope = [self._key(keys.ledger_job(job)), self._key(keys.LEDGER)]
            return self._scripts[script](keys=scope, args=list(args))

    def open(self, ticket: JobTicket, done: dict[str, Record] | None = None) -> str:
        once = ticket.idempotency_key
        fields: list[str | int] = [
            *("state", JobState.QUEUED, "chunks_total", ticket.chunks_total, "frames_total", ticket.frames_total),
            *("limit", ticket.max_attempts * FAILURE_WEIGHT, "avatar", ticket.avatar, "owner", ticket.owner),
            *("born", ticket.born_ms),
        ]
        finished = [text for part, record in (done or {}).items() for text in (part, _write(record))]
        opened = self._run(
            "open",
            ticket.job,
            ticket.job,
            KEEP_ENDED_S * 1000,
            self._key(keys.ledger_idempotency(ticket.owner, once)) if once else "",
            *fields,
            "done",
            *finished,
        )
        return str(opened)

    def find(self, owner: str, idempotency_key: str) -> str | None:
        with redis_errors(self._settings):
            found = self._redis.get(self._key(keys.ledger_idempotency(owner, idempotency_key)))
        return None if found is None else str(found)

    def offer(self, job: str, window: int, stale_s: float) -> list[str]:
        return [str(part) for part in self._run("offer", job, window, round(stale_s * 1000), FAILURE_WEIGHT)]

    def upcoming(self, job: str) -> str | None:
        with redis_errors(self._settings):
            found = self._redis.zrange(f"{self._key(keys.ledger_job(job))}:offered", 0, 0, desc=True)
        return str(found[0]) if found else None

    def claim(self, job: str, part: str, worker: str) -> Claim:
        verdict, attempt = self._run(
            "claim", job, part, worker, self._claim_ttl_ms, FAILURE_WEIGHT, round(LEAVE_TO_OTHERS_S * 1000)
        )
        return Claim(str(verdict), int(attempt))

    def renew(self, job: str, part: str, attempt: int, frames: int) -> str:
        return str(self._run("renew", job, part, attempt, self._claim_ttl_ms, frames))

    def finish(self, job: str, part: str, record: Record, output: str | None = None) -> str:
        return str(self._run("finish", job, part, _write(record), output or "", *_FIRST_SEGMENT_BOUNDS))

    def fail(self, job: str, part: str, attempt: int, error: str, weight: int, delay_s: float) -> str:
        delays_ms = (round(delay_s * 1000), round(MAX_DELAY_S * 1000))
        return str(self._run("fail", job, part, attempt, error, weight, *delays_ms))

    def leave(self, job: str, part: str, attempt: int, reason: str) -> str:
        return str(self._run("leave", job, part, attempt, reason, round(LEAVE_TO_OTHERS_S * 1000)))

    def move(self, job: str, target: JobState, error: str | None = None) -> JobState | None:
        state = self._run("move", job, target, error or "", *sorted(states_before(target)))
        return None if state is None else JobState(state)

    def retry(self, job: str, parts: Iterable[str] | None = None) -> JobState | None:
        state = self._run("retry", job, *(parts or ()))
        return None if state is None else JobState(state)

    def view(self, job: str) -> JobView | None:
        return self._views([job])[0]

    def _views(self, jobs: list[str]) -> list[JobView | None]:
        with redis_errors(self._settings), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for job in jobs:
                ask_for_job(pipe, self._key(keys.ledger_job(job)))
            (seconds, microseconds), *answers = pipe.execute()
        return read_jobs(seconds + microseconds / 1e6, answers)

    def part_state(self, job: str, part: str) -> PartState:
        key = self._key(keys.ledger_job(job))
        with redis_errors(self._settings), self._redis.pipeline() as pipe:
            pipe.hexists(f"{key}:records", part)
            pipe.hexists(f"{key}:quarantine", part)
            pipe.zscore(f"{key}:claims", part)
            pipe.zscore(f"{key}:offered", part)
            done, quarantined, claimed, offered = pipe.execute()
        found = (
            (done, PartState.DONE),
            (quarantined, PartState.QUARANTINED),
            (claimed is not None, PartState.CLAIMED),
            (offered is not None, PartState.OFFERED),
        )
        return next((state for holds, state in found if holds), PartState.PENDING)

    def records(self, job: str) -> dict[str, Record]:
        with redis_errors(self._settings):
            found = self._redis.hgetall(f"{self._key(keys.ledger_job(job))}:records")
        return {part: _read(text) for part, text in found.items()}

    def quarantine(self, job: str) -> dict[str, str]:
        with redis_errors(self._settings):
            return dict(self._redis.hgetall(f"{self._key(keys.ledger_job(job))}:quarantine"))

    def unfinished(self) -> dict[str, int]:
        with redis_errors(self._settings):
            found = self._scripts["unfinished"](keys=[self._key(keys.LEDGER)])
        return {str(job): int(parts) for job, parts in zip(found[::2], found[1::2], strict=True)}

    def jobs_of(self, avatar: str) -> dict[str, JobState]:
        found: dict[str, JobState] = {}
        with redis_errors(self._settings):
            # Active ones might be missing among all jobs: `latest` forgets a name just when its job is opened again.
            names = [name for book in (keys.JOBS, keys.ACTIVE) for name in self._redis.zrange(self._key(book), 0, -1)]
            for start in range(0, len(names), JOBS_AT_ONCE):
                batch = names[start : start + JOBS_AT_ONCE]
                with self._redis.pipeline(transaction=False) as pipe:
                    for name in batch:
                        pipe.hmget(self._key(keys.ledger_job(name)), "avatar", "state")
                    answers = zip(batch, pipe.execute(), strict=True)
                    found.update({name: JobState(state) for name, (used, state) in answers if used == avatar})
        return found

    def begin_removal(self, avatar: str, token: str) -> bool:
        with redis_errors(self._settings):
            key = self._key(keys.ledger_removal(avatar))
            return bool(self._scripts["begin_removal"](keys=[key], args=[token, round(REMOVAL_TTL_S * 1000)]))

    def end_removal(self, avatar: str, token: str) -> None:
        with redis_errors(self._settings):
            self._scripts["end_removal"](keys=[self._key(keys.ledger_removal(avatar))], args=[token])

    def latest(self, count: int) -> list[JobView]:
        with redis_errors(self._settings):
            names = list(self._redis.zrevrange(self._key(keys.JOBS), 0, count - 1))
            views = self._views(names) if names else []
            forgotten = [name for name, view in zip(names, views, strict=True) if view is None]
            if forgotten:
                self._redis.zrem(self._key(keys.JOBS), *forgotten)
        return [view for view in views if view is not None]

    def worker_seen(self, worker: str, facts: str = "{}") -> bool:
        limits_ms = (round(LOST_KEPT_S * 1000), round(WORKER_TTL_S * 1000))
        with redis_errors(self._settings):
            said = [worker, host_of(worker), facts]
            return bool(self._scripts["seen"](keys=[self._key(keys.LEDGER)], args=[*said, *limits_ms, *OF_A_WORKER]))

    def worker_gone(self, worker: str) -> None:
        with redis_errors(self._settings), self._redis.pipeline() as pipe:
            pipe.zrem(self._key(keys.WORKERS), worker)
            pipe.zrem(self._key(keys.SEEN), worker)
            pipe.hdel(self._key(keys.FACTS), worker)
            pipe.hdel(self._key(keys.TALLIES), *(field(name, worker) for name in OF_A_WORKER))
            pipe.execute()

    def workers_alive(self) -> int:
        with redis_errors(self._settings):
            oldest = self._now_s() - WORKER_TTL_S
            return int(self._redis.zcount(self._key(keys.WORKERS), f"({oldest}", "+inf"))

    def drain(self, host: str) -> None:
        with redis_errors(self._settings):
            self._scripts["drain"](keys=[self._key(keys.LEDGER)], args=[host])

    def undrain(self, host: str) -> None:
        with redis_errors(self._settings):
            self._redis.srem(self._key(keys.DRAINED), host)

    def drained(self) -> frozenset[str]:
        with redis_errors(self._settings):
            return frozenset(self._redis.smembers(self._key(keys.DRAINED)))

    def tally(self, increments: Mapping[str, float], token: str | None = None) -> None:
        words = [word for name, number in increments.items() for word in (name, number)]
        with redis_errors(self._settings):
            self._scripts["tally"](keys=[self._key(keys.LEDGER)], args=[token or uuid4().hex, *words])

    def tallies(self) -> dict[str, float]:
        with redis_errors(self._settings):
            found = self._redis.hgetall(self._key(keys.TALLIES))
        return {name: float(number) for name, number in found.items()}

    def holding(self, host: str) -> list[Held]:
        """All parts that workers of a host hold, of whatever job."""
        with redis_errors(self._settings):
            words = [str(word) for word in self._scripts["holding"](keys=[self._key(keys.LEDGER)], args=[host])]
        return [Held(*words[start : start + 3]) for start in range(0, len(words), 3)]

    def fleet(self) -> FleetView:
        """The whole fleet at this moment, in two round trips."""
        limits = [JOBS_COUNTED, JOBS_SHOWN, FAILED_SHOWN_S * 1000, DONE_SHOWN_S * 1000]
        with redis_errors(self._settings):
            survey = self._scripts["survey"](keys=[self._key(keys.LEDGER)], args=limits)
            return read_fleet(self._redis, survey, self._key)

    def my_turn(self, what: str, period_s: float) -> bool:
        with redis_errors(self._settings):
            return bool(self._redis.set(self._key(keys.TURNS + what), 1, nx=True, px=round(period_s * 1000)))

    def queue_depth(self) -> int:
        """Messages that wait in the queue, as Celery's Redis transport keeps them."""
        with redis_errors(self._settings):
            return int(self._redis.llen(self._key(keys.QUEUE)))

    def ping(self) -> None:
        """Find out whether Redis can be reached."""
        with redis_errors(self._settings):
            self._redis.ping()

    def _now_s(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)


def _write(record: Record) -> str:
    return f"{record.attempt} {record.sha256} {record.size} {record.frames}"


def _read(text: str) -> Record:
    attempt, sha256, size, frames = text.split(" ")
    return Record(int(attempt), sha256, int(size), int(frames))
