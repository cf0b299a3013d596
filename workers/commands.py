"""The commands of the workers' room: rendering here, running workers, and a fleet on this machine."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import EXIT_FAILED
from jobs.cli import AllowTruncated, Avatar, ChunkFrames, CodecOption, Crf, LengthOption, PresetOption
from jobs.console import Json, print_result, say
from workers.avatar.commands import avatar_app
from workers.bench.command import bench
from workers.doctor.command import doctor

DEMO_WORKERS = 2


def register(app: typer.Typer) -> None:
    """Add these commands to `lipsync`."""
    for command in (demo, render, up, worker, bench, doctor):
        app.command()(command)
    app.add_typer(avatar_app, name="avatar")


def render(
    audio: Annotated[Path, typer.Argument(help="Speech: a sound file, or a video with an audio track.")],
    avatar: Avatar = "demo",
    out: Annotated[Path | None, typer.Option("--out", help="The video to write.")] = None,
    frames: Annotated[Path | None, typer.Option("--frames", help="Folder for lossless PNGs of the frames.")] = None,
    start: Annotated[int, typer.Option("--start", min=0, help="First output frame.")] = 0,
    stop: Annotated[int | None, typer.Option("--stop", min=1, help="The output frame after the last.")] = None,
    length: LengthOption = "exact",
    chunk_frames: ChunkFrames = 250,
    crf: Crf = 20,
    preset: PresetOption = "veryfast",
    codec: CodecOption = "libx264",
    allow_truncated: AllowTruncated = False,
    as_json: Json = False,
) -> None:
    """Render a video in this process, without a fleet."""
    from infra.settings import read_settings
    from jobs.progress import progress_report
    from jobs.submit import JobRequest
    from workers.local_render import Outputs, render_locally

    settings = read_settings()
    request = JobRequest(
        audio=audio,
        length=length,
        chunk_frames=chunk_frames,
        crf=crf,
        preset=preset,  # type: ignore[arg-type]  # the manifest refuses what is none
        codec=codec,
        allow_truncated=allow_truncated,
        require_consent=settings.require_consent,
    )
    with progress_report(quiet=as_json) as report:
        done = render_locally(request, avatar, Outputs(out, frames), settings, report, (start, stop))
    document = {
        "output": None if out is None else str(out),
        "frames_dir": None if frames is None else str(frames),
        "start": done.frames.start,
        "stop": done.frames.stop,
        "frames_total": done.frames_total,
        "seconds": round(done.seconds, 3),
        "fps": round(done.fps, 2),
        "provider": done.provider,
    }
    where = " and ".join(str(path) for path in (out, frames) if path is not None)
    print_result(document, f"{where}: {done.frames.size} frames, {done.fps:.1f} frames/s", as_json=as_json)


def worker(
    name: Annotated[str | None, typer.Option("--name", help="The worker's name on this host.")] = None,
) -> None:
    """Run one worker for one device until it is told to stop: SIGTERM finishes its part, SIGQUIT hands it back."""
    from infra.settings import read_settings
    from workers.app import run_worker

    raise typer.Exit(run_worker(read_settings(), name))


def up(
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="How many workers.")] = 1,
) -> None:
    """Run a fleet on this machine in the foreground: Redis, workers and Flower. Ctrl-C stops all of it."""
    from infra.settings import read_settings
    from workers.local_fleet import local_fleet

    settings = read_settings()
    for stop in (signal.SIGINT, signal.SIGTERM):  # set, since a script's background processes begin with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    try:
        with local_fleet(settings, workers) as fleet:
            say(f"The fleet is up: {workers} workers, data in {fleet.home}")
            say(f"Flower: {fleet.flower}" if fleet.flower else "Flower is not installed (extra `local`).")
            say(
                "Submit from another terminal: lipsync submit SPEECH.wav --avatar demo --watch. Ctrl-C stops the fleet."
            )
            fallen = fleet.watch(say)
            say(f"lipsync: {fallen} ended by itself; its log lies in {fleet.home / 'logs'}.")
            raise typer.Exit(EXIT_FAILED)
    except KeyboardInterrupt:
        say("The fleet is stopped; unfinished jobs go on when it is started again.")


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where to put the video.")] = Path("lipsync-demo.mp4"),
    as_json: Json = False,
) -> None:
    """Turn the speech clip that ships into a video, through a real fleet on this machine."""
    from infra.settings import read_settings
    from workers.demonstration import demonstrate

    document = demonstrate(read_settings(), DEMO_WORKERS, out, quiet=as_json)
    text = f"The video is {document['output']}: {document['frames']} frames, {document['seconds']:.1f} s."
    print_result(document, text, as_json=as_json)
