"""The command `lipsync`. Subcommands import late, so that a client without ONNX Runtime starts, and starts fast.

Exit codes: 0 done, 1 the job failed, 2 the input or the call is wrong, 3 Redis or the store cannot be reached.
"""

import getpass
import logging
import re
import sys
import traceback
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from jobs.fleet import Fleet

from infra.errors import EXIT_FAILED, LipsyncError
from jobs.console import Json, print_result, say
from jobs.estimate_command import plan
from jobs.exporter_command import exporter
from jobs.fleet_commands import fleet_app
from jobs.release_commands import release_app

app = typer.Typer(
    name="lipsync",
    help="Talking-head video rendered by a fleet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMANDS = "lipsync.commands"
"""Entry points of this group add commands: rendering comes with the workers' room, not with a client."""

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id that `lipsync submit` printed.")]
LengthOption = Annotated[
    Literal["exact", "reference"],
    typer.Option(
        "--length", help="exact covers the audio to its end; reference has the frame count of the reference pipeline."
    ),
]
ChunkFrames = Annotated[int, typer.Option("--chunk-frames", min=1, max=1500, help="Frames in one unit of work.")]
Crf = Annotated[int, typer.Option("--crf", min=0, max=51, help="x264's quality, lower is better.")]
PresetOption = Annotated[str, typer.Option("--preset", help="x264's preset, ultrafast to veryslow.")]
CodecOption = Annotated[
    Literal["libx264", "h264_nvenc"],
    typer.Option("--codec", help="h264_nvenc encodes on NVIDIA cards that have an encoder; libx264 everywhere."),
]
AllowTruncated = Annotated[
    bool, typer.Option("--allow-truncated", help="Use what can be decoded of a file that ends early.")
]
Avatar = Annotated[str, typer.Option("--avatar", help="An avatar's name or digest; `demo` ships with the product.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    for entry in sorted(entry_points(group=COMMANDS), key=lambda entry: entry.name):
        entry.load()(app)
    try:
        others = [word for word in given if word != "--debug"]
        sys.exit(app(args=["--debug", *others] if debug and others else others) or 0)
    except LipsyncError as error:
        _complain(error, str(error), debug, error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)
    except Exception as error:
        _complain(error, f"An unexpected {type(error).__name__}: {error} (--debug shows where).", debug, EXIT_FAILED)


def _complain(error: Exception, sentence: str, debug: bool, code: int) -> None:
    if debug:
        traceback.print_exception(error)
    say(f"lipsync: {sentence}")
    sys.exit(code)


def default_owner() -> str:
    """Who submits: the login name, reduced to what a label may contain."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return re.sub(r"[^\w.@+-]", "_", name)[:128] or "nobody"


def _print_version(wanted: bool) -> None:
    if wanted:
        print_result({}, f"lipsync-fleet {version('lipsync-fleet')}", as_json=False)
        raise typer.Exit


@app.callback()
def _root(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    from infra.logs import configure_logs

    configure_logs(logging.DEBUG if debug else logging.WARNING)


@app.command()
def submit(
    audio: Annotated[Path, typer.Argument(help="Speech: a sound file, or a video with an audio track.")],
    avatar: Avatar = "demo",
    length: LengthOption = "exact",
    chunk_frames: ChunkFrames = 250,
    crf: Crf = 20,
    preset: PresetOption = "veryfast",
    codec: CodecOption = "libx264",
    allow_truncated: AllowTruncated = False,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose job it is; by default the login name.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key twice is one job, submitted once.")
    ] = None,
    watch_it: Annotated[bool, typer.Option("--watch", help="Follow the job until it ends.")] = False,
    as_json: Json = False,
) -> None:
    """Submit a job to the fleet and print its id."""
    from infra.settings import read_settings
    from jobs.avatars import read_spec, resolve
    from jobs.fleet import Fleet
    from jobs.submit import JobRequest, open_job, prepare_job

    settings = read_settings()
    fleet = Fleet(settings)
    request = JobRequest(
        audio=audio,
        length=length,
        chunk_frames=chunk_frames,
        crf=crf,
        preset=preset,  # type: ignore[arg-type]  # the manifest refuses what is none
        codec=codec,
        owner=owner or default_owner(),
        idempotency_key=idempotency_key,
        allow_truncated=allow_truncated,
        max_attempts=settings.max_attempts,
        require_consent=settings.require_consent,
    )
    fleet.check()  # before hours of audio are decoded
    job = fleet.ledger.find(request.owner, idempotency_key) if idempotency_key else None
    if job is None:
        digest = resolve(avatar, fleet.store)
        manifest = prepare_job(request, digest, read_spec(fleet.store, digest), fleet.store)
        job = open_job(manifest, fleet.ledger, fleet.store)
        fleet.dispatch([job])
    if watch_it:
        _follow(job, as_json)
        return
    print_result({"job_id": job}, job, as_json=as_json)


@app.command()
def status(job: JobId, as_json: Json = False) -> None:
    """Say where a job stands."""
    from jobs.progress import describe
    from jobs.status import read_status

    fleet = _fleet()
    found = read_status(job, fleet.ledger, fleet.store)
    text = describe(found.frames_done, found.frames_total, found.fps, found.eta_s, found.state)
    for extra in (found.output, found.error):
        text += f"\n{extra}" if extra else ""
    print_result(found.document(), text, as_json=as_json)


@app.command()
def watch(job: JobId, as_json: Json = False) -> None:
    """Follow a job until it ends; exit code 1 when it failed or was cancelled."""
    _follow(job, as_json)


def _follow(job: str, as_json: bool) -> None:
    from jobs.follow import follow
    from jobs.progress import progress_report
    from jobs.states import JobState

    fleet = _fleet()
    found = None
    with progress_report(quiet=as_json) as report:
        for found in follow(job, fleet.ledger, fleet.store):
            report(found.frames_done, found.frames_total, found.fps, found.eta_s, found.state)
            if as_json:
                print_result(found.document(), "", as_json=True)
    if found is None or found.state is not JobState.DONE:
        reason = found.error if found and found.error else "it was cancelled"
        say(f"lipsync: Job {job} did not finish: {reason}")
        raise typer.Exit(EXIT_FAILED)
    if not as_json:
        print_result({}, str(found.output), as_json=False)


@app.command(name="jobs")
def list_jobs(
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest jobs."""
    from jobs.progress import describe
    from jobs.status import status_from_view

    found = [status_from_view(view) for view in _fleet().ledger.latest(count)]
    lines = [f"{s.job_id}  {describe(s.frames_done, s.frames_total, s.fps, s.eta_s, s.state)}" for s in found]
    print_result([one.document() for one in found], "\n".join(lines) or "There are no jobs.", as_json=as_json)


@app.command()
def cancel(job: JobId, as_json: Json = False) -> None:
    """Cancel a job; workers notice within a batch."""
    from jobs.control import cancel_job

    fleet = _fleet()
    _print_state(job, cancel_job(job, fleet.ledger, fleet.store), as_json)


@app.command()
def pause(job: JobId, as_json: Json = False) -> None:
    """Offer no more of a job's chunks; those under way are finished."""
    _move(job, "paused", as_json)


@app.command()
def resume(job: JobId, as_json: Json = False) -> None:
    """Let a paused job go on."""
    _move(job, "queued", as_json)


@app.command()
def retry(
    job: JobId,
    chunk: Annotated[
        list[int] | None, typer.Option("--chunk", min=0, help="Only this quarantined chunk; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a failed job go on; what was finished stays finished."""
    from jobs.control import retry_job

    fleet = _fleet()
    state = retry_job(job, fleet.ledger, fleet.store, None if not chunk else [str(number) for number in chunk])
    fleet.dispatch([job])
    _print_state(job, state, as_json)


@app.command()
def fetch(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", help="Where to put the video.")] = Path("video.mp4"),
    as_json: Json = False,
) -> None:
    """Copy a finished video out of the store."""
    from jobs.control import fetch_video

    fleet = _fleet()
    path = fetch_video(job, out, fleet.ledger, fleet.store)
    print_result({"job_id": job, "output": str(path)}, str(path), as_json=as_json)


app.command()(plan)
app.add_typer(fleet_app, name="fleet")
app.add_typer(release_app, name="release")
app.command()(exporter)


def _fleet() -> "Fleet":
    from infra.settings import read_settings
    from jobs.fleet import Fleet

    return Fleet(read_settings())


def _move(job: str, target: str, as_json: bool) -> None:
    from jobs.control import move_job
    from jobs.states import JobState

    fleet = _fleet()
    state = move_job(job, JobState(target), fleet.ledger, fleet.store)
    fleet.dispatch([job])
    _print_state(job, state, as_json)


def _print_state(job: str, state: str, as_json: bool) -> None:
    print_result({"job_id": job, "state": str(state)}, f"{job}  {state}", as_json=as_json)


if __name__ == "__main__":
    main()
