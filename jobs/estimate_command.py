"""The command `lipsync plan`: how many workers a deadline needs, or when a fleet is done."""

from typing import Annotated, Any

import typer

from infra.errors import Rejected
from jobs.console import Json, print_result
from jobs.estimate import Estimate, estimate, parse_duration, spell_duration
from jobs.plan import DEFAULT_CHUNK_FRAMES, MAX_CHUNK_FRAMES

FLEETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Told when neither a deadline nor a number of workers is given, up to one worker for each chunk."""


def plan(
    duration: Annotated[str, typer.Option(metavar="TIME", help="Length of the video: 10h, 90m, 1h30m, 45s.")],
    fps_per_worker: Annotated[
        float, typer.Option(help="Frames per second of one worker, as `lipsync bench --what fleet` measures it.")
    ],
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="When it shall be rendered, from now.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="How many workers there are.")] = None,
    chunk_frames: Annotated[
        int, typer.Option(min=1, max=MAX_CHUNK_FRAMES, help="Frames in one unit of work.")
    ] = DEFAULT_CHUNK_FRAMES,
    as_json: Json = False,
) -> None:
    """Say how many workers a deadline needs, or when a number of workers is done; with neither, for some fleets."""
    if deadline is not None and workers is not None:
        raise Rejected("Give --deadline to learn how many workers it needs, or --workers to learn when they are done.")
    job = estimate(parse_duration(duration), chunk_frames, fps_per_worker)
    document: dict[str, Any] = {
        "frames": job.frames,
        "chunks": job.chunks,
        "chunk_frames": job.chunk_frames,
        "fps_per_worker": job.worker_fps,
        "one_worker_s": round(job.alone_s, 3),
    }
    lines = [f"{job.frames} frames in {job.chunks} chunks; one worker renders them in {spell_duration(job.alone_s)}."]
    if deadline is not None:
        workers = job.workers_for(parse_duration(deadline))
    if workers is not None:
        document |= _fleet(job, workers)
        lines.append(
            f"With {_count(workers)} the last chunk is rendered after {spell_duration(job.finish_s(workers))}."
        )
    else:
        document["fleets"] = [_fleet(job, count) for count in FLEETS if count <= job.chunks]
        lines += [f"{_count(one['workers']):>12}: {spell_duration(one['finish_s'])}" for one in document["fleets"]]
    print_result(document, "\n".join(lines), as_json=as_json)


def _fleet(job: Estimate, workers: int) -> dict[str, Any]:
    return {"workers": workers, "finish_s": round(job.finish_s(workers), 3)}


def _count(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"
