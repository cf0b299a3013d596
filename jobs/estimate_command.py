"""The command `lipsync plan`: how many workers a deadline needs, when a fleet is done, and what that costs."""

from typing import Annotated, Any

import typer

from infra.errors import Rejected
from jobs.console import Json, print_result
from jobs.estimate import Estimate, estimate, parse_duration, spell_duration
from jobs.plan import DEFAULT_CHUNK_FRAMES, MAX_CHUNK_FRAMES

FLEETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Told when neither a deadline nor a number of workers is given, up to one worker for each chunk."""


def plan(
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Length of the video: 10h, 90m, 1h30m, 45s. Without it, what is queued now."),
    ] = None,
    fps_per_worker: Annotated[
        float | None,
        typer.Option(
            help="Frames per second of one worker, as `lipsync bench --what fleet` measures it. Without it, what the "
            "fleet was seen to do, and what it has queued is counted in."
        ),
    ] = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="When it shall be rendered, from now.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="How many workers there are.")] = None,
    chunk_frames: Annotated[
        int, typer.Option(min=1, max=MAX_CHUNK_FRAMES, help="Frames in one unit of work.")
    ] = DEFAULT_CHUNK_FRAMES,
    cost_per_hour: Annotated[
        float | None, typer.Option(min=0, max=1e6, help="What one worker costs in an hour, in any currency.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how many workers a deadline needs, or when a number of workers is done; with neither, for some fleets."""
    if deadline is not None and workers is not None:
        raise Rejected("Give --deadline to learn how many workers it needs, or --workers to learn when they are done.")
    job: Estimate | None = None
    document: dict[str, Any] = {}
    lines: list[str] = []
    if duration is not None:
        job = estimate(parse_duration(duration), chunk_frames, 1.0 if fps_per_worker is None else fps_per_worker)
    there = None
    if job is None or fps_per_worker is None:
        job, there = _with_the_fleet(job, chunk_frames, fps_per_worker, document, lines)
    document |= {
        "frames": job.frames,
        "chunks": job.chunks,
        "chunk_frames": job.chunk_frames,
        "fps_per_worker": round(job.worker_fps, 3),
        "one_worker_s": round(job.alone_s, 3),
    }
    lines.append(
        f"{job.frames} frames in {job.chunks} chunks; one worker renders them in {spell_duration(job.alone_s)}."
    )
    if deadline is not None:
        workers = job.workers_for(parse_duration(deadline))
        if there is not None:
            document["workers_more"] = max(workers - there, 0)
            lines.append(_more(workers, there, spell_duration(parse_duration(deadline))))
    if workers is not None:
        document |= _fleet(job, workers, cost_per_hour)
        lines += _tell(job, workers, cost_per_hour)
    else:
        fleets = sorted({count for count in (*FLEETS, there or 1) if count <= job.chunks})
        document["fleets"] = [_fleet(job, count, cost_per_hour) for count in fleets]
        lines += [_row(one) for one in document["fleets"]]
    print_result(document, "\n".join(lines), as_json=as_json)


def _with_the_fleet(
    job: Estimate | None, chunk_frames: int, fps: float | None, document: dict[str, Any], lines: list[str]
) -> tuple[Estimate, int]:
    """Ask the ledger what is queued and how fast workers are; gives the whole work and how many workers there are."""
    from infra.settings import read_settings
    from jobs.estimate_backlog import backlog_of, estimate_with
    from jobs.fleet import Fleet

    backlog = backlog_of(Fleet(read_settings()).ledger.fleet())
    whole = estimate_with(backlog, job, chunk_frames, fps)
    document |= {"frames_queued": backlog.frames, "workers_now": backlog.workers}
    rate = "measured" if fps is None else "given"
    now = _count(backlog.workers) if backlog.workers else "no worker"
    lines.append(f"{backlog.frames} frames are queued for {now}; {rate}: {whole.worker_fps:.1f} frames/s each.")
    return whole, backlog.workers


def _fleet(job: Estimate, workers: int, cost_per_hour: float | None) -> dict[str, Any]:
    told: dict[str, Any] = {"workers": workers, "finish_s": round(job.finish_s(workers), 3)}
    if cost_per_hour is not None:
        told |= {
            "billed_h": round(job.billed_h(workers), 4),
            "cost": round(job.billed_h(workers) * cost_per_hour, 4),
            "cost_per_video_hour": round(job.cost_per_video_h(workers, cost_per_hour), 4),
        }
    return told


def _tell(job: Estimate, workers: int, cost_per_hour: float | None) -> list[str]:
    lines = [f"With {_count(workers)} the last chunk is rendered after {spell_duration(job.finish_s(workers))}."]
    if cost_per_hour is not None:
        cost = job.billed_h(workers) * cost_per_hour
        lines.append(
            f"All of them until then are {job.billed_h(workers):.2f} worker hours and cost {_amount(cost)}; an hour of "
            f"video costs {_amount(job.cost_per_video_h(workers, cost_per_hour))}."
        )
    return lines


def _row(fleet: dict[str, Any]) -> str:
    row = f"{_count(fleet['workers']):>12}: {spell_duration(fleet['finish_s'])}"
    if "cost" not in fleet:
        return row
    return f"{row:<26}costs {_amount(fleet['cost'])}, {_amount(fleet['cost_per_video_hour'])} an hour of video"


def _more(needed: int, there: int, deadline: str) -> str:
    if needed <= there:
        return f"The {_count(there)} that are there are enough to be done in {deadline}, which takes {needed}."
    more = _count(needed - there).replace(" ", " more ")
    return f"Being done in {deadline} takes {more}: {needed} instead of {there}."


def _amount(cost: float) -> str:
    """At least three digits that mean something: `1234.50`, `0.0123`."""
    return f"{cost:.2f}" if cost >= 1 or not cost else f"{cost:.3g}"


def _count(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"
