"""The fleet as a document for machines and as tables for people."""

from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.console import printable
from jobs.estimate import spell_duration
from jobs.fleet_state import FleetView, JobLoad, WorkerView, versions
from jobs.progress import describe

_MIB = 1 << 20
_STYLES = {"busy": "green", "idle": "cyan", "drained": "yellow", "lost": "red"}


def fleet_document(fleet: FleetView) -> dict[str, Any]:
    """The fleet in JSON's types; times are seconds, by the clock of Redis."""
    hosts = [
        {
            "host": host,
            "drained": host in fleet.drained_hosts,
            "workers": [_worker_document(worker) for worker in workers],
        }
        for host, workers in groupby(sorted(fleet.workers, key=_by_host), key=_host)
    ]
    return {
        "now_s": round(fleet.now_s, 3),
        "queue": {
            "messages": fleet.queue_messages,
            "waiting_parts": fleet.waiting_parts,
            "in_flight_parts": fleet.in_flight_parts,
            "oldest_waiting_s": _rounded(fleet.oldest_waiting_s),
            "frames_left": fleet.frames_left,
        },
        "fps": round(fleet.fps, 2),
        "pace_fps": _rounded(fleet.pace_fps),
        "empty_in_s": _rounded(fleet.empty_in_s),
        "versions": dict(versions(fleet.workers)),
        "drained_hosts": sorted(fleet.drained_hosts),
        "hosts": hosts,
        "jobs": [_job_document(job) for job in fleet.jobs],
        "jobs_left_out": fleet.left_out.jobs,
        "job_states": {str(state): count for state, count in fleet.job_states.items()},
    }


def fleet_tables(fleet: FleetView) -> RenderableType:
    """The fleet for a terminal."""
    tables: list[RenderableType] = [Text(summary(fleet))]
    if fleet.workers:
        tables.append(_worker_table(fleet))
    empty = sorted(fleet.drained_hosts - {worker.facts.host for worker in fleet.workers})
    if empty:
        tables.append(Text(f"Drained, without workers: {', '.join(map(printable, empty))}"))
    if fleet.jobs:
        tables.append(_job_table(fleet))
    if fleet.left_out.jobs:
        tables.append(Text(f"… and {fleet.left_out.jobs} newer jobs"))
    return Group(*tables)


def summary(fleet: FleetView) -> str:
    """One line: workers, rate, what waits and until when."""
    alive = sum(worker.alive for worker in fleet.workers)
    busy = sum(worker.state == "busy" for worker in fleet.workers)
    words = [
        f"{alive} worker{'s' * (alive != 1)}, {busy} busy",
        f"{fleet.fps:.1f} frames/s",
        f"{fleet.waiting_parts} parts waiting, {fleet.in_flight_parts} in flight",
    ]
    if fleet.oldest_waiting_s is not None:
        words.append(f"the oldest offered {spell_duration(fleet.oldest_waiting_s)} ago")
    if fleet.frames_left:
        until = "unknown" if fleet.empty_in_s is None else spell_duration(fleet.empty_in_s)
        words.append(f"{fleet.frames_left} frames left, empty in: {until}")
    return "  ·  ".join(words)


def _worker_table(fleet: FleetView) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("host", "worker", "device", "version", "state", "frames/s", "pace", "memory", "renders"):
        table.add_column(title, justify="right" if title in {"frames/s", "pace", "memory"} else "left", no_wrap=True)
    for host, workers in groupby(sorted(fleet.workers, key=_by_host), key=_host):
        shown = _said(host)
        for worker in workers:
            facts = worker.facts
            table.add_row(
                shown,
                _said(facts.worker.partition("@")[0]),
                _said(f"{facts.provider}:{facts.device}" if facts.provider != "cpu" else "cpu"),
                _said(facts.version),
                Text(worker.state, style=_STYLES[worker.state]),
                f"{facts.fps:.1f}",
                "" if facts.pace_fps is None else f"{facts.pace_fps:.1f}",
                "" if facts.memory_bytes is None else f"{facts.memory_bytes / _MIB:.0f} MiB",
                "" if worker.part is None else f"{worker.job} {worker.part}",
            )
            shown = Text()
    return table


def _job_table(fleet: FleetView) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("job", "progress", "waiting", "in flight", "error"):
        table.add_column(
            title, justify="right" if title in {"waiting", "in flight"} else "left", no_wrap=title != "error"
        )
    for job in fleet.jobs:
        view = job.view
        table.add_row(
            view.job,
            describe(view.frames_done, view.frames_total, None, None, view.state),
            str(job.waiting_parts),
            str(job.in_flight_parts),
            _said(view.error or ""),
        )
    return table


def _said(text: str) -> Text:
    """What others wrote: fit for a terminal, and no markup."""
    return Text(printable(text))


def _worker_document(worker: WorkerView) -> dict[str, Any]:
    facts = worker.facts
    return {
        "worker": facts.worker,
        "state": worker.state,
        "seen_s": round(worker.seen_s, 3),
        "device": facts.device,
        "device_name": facts.device_name,
        "provider": facts.provider,
        "version": facts.version,
        "release": facts.release,
        "fps": facts.fps,
        "pace_fps": facts.pace_fps,
        "job_id": worker.job,
        "part": worker.part,
        "started_s": facts.started_s,
        "cold_start_s": facts.cold_start_s,
        "memory_bytes": facts.memory_bytes,
        "cache_free_bytes": facts.cache_free_bytes,
        "device_memory_bytes": facts.device_memory_bytes,
        "device_memory_total_bytes": facts.device_memory_total_bytes,
        "device_use": facts.device_use,
    }


def _job_document(job: JobLoad) -> dict[str, Any]:
    view = job.view
    return {
        "job_id": view.job,
        "state": str(view.state),
        "owner": view.owner,
        "frames_total": view.frames_total,
        "frames_done": view.frames_done,
        "chunks_total": view.chunks_total,
        "chunks_done": view.chunks_done,
        "waiting_parts": job.waiting_parts,
        "in_flight_parts": job.in_flight_parts,
        "quarantined_parts": view.chunks_failed,
        "created_s": view.created_s,
        "updated_s": view.updated_s,
        "error": view.error,
    }


def _host(worker: WorkerView) -> str:
    return worker.facts.host


def _by_host(worker: WorkerView) -> tuple[str, str]:
    return worker.facts.host, worker.facts.worker


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
