"""Reading jobs and workers out of the ledger in Redis: many in one round trip, whatever it costs in commands."""

from collections.abc import Callable, Sequence
from typing import Any

from jobs import keys
from jobs.fleet_state import FleetView, JobLoad, LeftOut, WorkerView, read_facts
from jobs.ledger import WORKER_TTL_S, JobView
from jobs.states import ASSEMBLE_PART, AUDIO_PART, JobState

JOBS_COUNTED = 10_000
"""The newest ones are asked for their state."""
JOBS_SHOWN = 200
FAILED_SHOWN_S = 24 * 3600
DONE_SHOWN_S = 15 * 60
"""Long enough for who watches a job to see that it reached its end."""
LOST_KEPT_S = 3600.0
"""For so long those see a worker that vanished who look at the fleet."""

_COMMANDS = 5
_LOAD_COMMANDS = 4


def ask_for_job(pipe: Any, key: str) -> None:
    """Put on a pipeline what `read_job` wants."""
    pipe.hgetall(key)
    pipe.hlen(f"{key}:records")
    pipe.hmget(f"{key}:records", AUDIO_PART, ASSEMBLE_PART)
    pipe.hlen(f"{key}:quarantine")
    pipe.hvals(f"{key}:progress")


def read_jobs(now_s: float, answers: Sequence[Any]) -> list[JobView | None]:
    """The jobs that were asked for one after the other; None for those that the ledger does not know."""
    starts = range(0, len(answers), _COMMANDS)
    return [_read_job(now_s, *answers[start : start + _COMMANDS]) for start in starts]


def _read_job(
    now_s: float,
    job: dict[str, str],
    records: int,
    others: list[str | None],
    quarantined: int,
    progress: list[str],
) -> JobView | None:
    if not job:
        return None
    return JobView(
        job=job["id"],
        state=JobState(job["state"]),
        chunks_total=int(job["chunks_total"]),
        chunks_done=records - sum(other is not None for other in others),
        chunks_failed=quarantined,
        frames_total=int(job["frames_total"]),
        frames_done=int(job["frames_done"]) + sum(map(int, progress)),
        avatar=job["avatar"],
        owner=job["owner"],
        created_s=int(job["created"]) / 1000,
        started_s=int(job["started"]) / 1000 if "started" in job else None,
        updated_s=int(job.get("updated", job["created"])) / 1000,
        now_s=now_s,
        output=job.get("output"),
        error=job.get("error"),
    )


def read_fleet(redis: Any, survey: Sequence[Any], key_of: Callable[[str], str]) -> FleetView:
    """The fleet, in one round trip after the survey of its jobs.

    Args:
        redis: the connection.
        survey: what `survey.lua` answered.
        key_of: puts the prefix of the settings before a name.
    """
    now_ms, states, jobs, *left_out = survey
    now_s = int(now_ms) / 1000
    with redis.pipeline(transaction=False) as pipe:
        pipe.zrange(key_of(keys.SEEN), 0, -1, withscores=True)
        pipe.hgetall(key_of(keys.FACTS))
        pipe.smembers(key_of(keys.DRAINED))
        pipe.llen(key_of(keys.QUEUE))
        for key in [key_of(keys.ledger_job(job)) for job in jobs]:
            ask_for_job(pipe, key)
            pipe.hlen(f"{key}:records")
            pipe.zrangebyscore(f"{key}:claims", now_ms, "+inf")  # those of ended jobs nobody sweeps
            pipe.zrange(f"{key}:waiting", 0, 0, withscores=True)
            pipe.hgetall(f"{key}:holders")
        seen, facts, drained, messages, *answers = pipe.execute()
    loads: list[JobLoad] = []
    held: dict[str, tuple[str, str]] = {}
    width = _COMMANDS + _LOAD_COMMANDS
    for start in range(0, len(answers), width):
        (view,) = read_jobs(now_s, answers[start : start + _COMMANDS])
        records, claims, waiting, holders = answers[start + _COMMANDS : start + width]
        if view is None:  # it was forgotten in between
            continue
        parts = view.chunks_total + 2
        left = max(parts - records - view.chunks_failed - len(claims), 0)
        loads.append(JobLoad(view, left, len(claims), waiting[0][1] / 1000 if waiting else None))
        held |= {holders[part].partition(" ")[2]: (view.job, part) for part in claims if part in holders}
    workers = []
    for name, seen_s in sorted(seen):
        told = read_facts(name, facts.get(name))
        alive = now_s - seen_s < WORKER_TTL_S
        job, part = held.get(name, (None, None))
        workers.append(WorkerView(told, seen_s, alive, told.host in drained, job, part))
    counts = dict(zip(states[::2], map(int, states[1::2]), strict=True))
    return FleetView(
        now_s=now_s,
        workers=tuple(workers),
        drained_hosts=frozenset(drained),
        jobs=tuple(sorted(loads, key=lambda load: load.view.created_s)),
        left_out=LeftOut(*map(int, left_out)),
        job_states={state: counts.get(state, 0) for state in JobState},
        queue_messages=int(messages),
    )
