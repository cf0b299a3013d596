"""The demonstration: the clip that ships goes through a fleet of this machine, as any job would."""

import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from infra.errors import JobFailed
from infra.settings import Settings
from jobs.avatars import read_spec, resolve
from jobs.cli import default_owner
from jobs.console import check_output, say
from jobs.control import fetch_video
from jobs.fleet import Fleet
from jobs.follow import follow
from jobs.progress import progress_report
from jobs.states import JobState
from jobs.submit import JobRequest, open_job, prepare_job
from workers.avatar.demo import DEMO
from workers.local_fleet import local_fleet

CHUNK_FRAMES = 50  # two seconds, so that even a short clip shows both workers at work


def demonstrate(settings: Settings, workers: int, out: Path, quiet: bool) -> dict[str, Any]:
    """Start a fleet, submit the clip, follow it, fetch the video, stop the fleet.

    Raises:
        Rejected: `out` cannot be written.
        JobFailed: the job did not finish.
    """
    check_output(out)
    started_s = time.monotonic()
    with local_fleet(settings, workers) as local, as_file(files("workers") / "data" / "speech.flac") as clip:
        if not quiet:
            say(f"A fleet of {workers} workers is up in {local.home}; Flower: {local.flower or 'not installed'}")
        fleet = Fleet(settings)
        digest = resolve(DEMO, fleet.store)
        request = JobRequest(
            audio=clip,
            chunk_frames=CHUNK_FRAMES,
            owner=default_owner(),
            require_consent=settings.require_consent,
        )
        manifest = prepare_job(request, digest, read_spec(fleet.store, digest), fleet.store)
        job = open_job(manifest, fleet.ledger, fleet.store)
        fleet.dispatch([job])
        with progress_report(quiet) as report:
            for status in follow(job, fleet.ledger, fleet.store, local.check):
                report(status.frames_done, status.frames_total, status.fps, status.eta_s, status.state)
        if status.state is not JobState.DONE:
            raise JobFailed(
                f"Job {job} ended as {status.state}: {status.error}; the logs lie in {local.home / 'logs'}."
            )
        video = fetch_video(job, out.absolute(), fleet.ledger, fleet.store)
    seconds = round(time.monotonic() - started_s, 1)
    return {"job_id": job, "output": str(video), "frames": status.frames_total, "fps": status.fps, "seconds": seconds}
