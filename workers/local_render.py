"""Rendering in one process, without any queue: the reference that the fleet must equal.

It takes the fleet's own steps in the fleet's own order, with a temporary directory as the store.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from infra.errors import Failed, NotFound, Rejected
from infra.media_audio import encode_m4a
from infra.media_codecs import demand_encoder
from infra.media_decode import open_audio
from infra.media_mux import remux
from infra.media_source import AudioSource
from infra.media_trim import TrimmedSource
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.assemble import AUDIO_BIT_RATE
from jobs.avatars import resolve
from jobs.console import check_output
from jobs.job_audio import read_job_audio, store_job_audio
from jobs.manifest import Manifest
from jobs.progress import Report
from jobs.scratch import scratch_folder
from jobs.submit import JobRequest, check_request, make_manifest, new_job_id
from jobs.timing import Span
from workers.avatar.cache import fetch_pack
from workers.avatar.demo import DEMO, demo_pack
from workers.avatar.pack import Pack, open_pack
from workers.avatar.template import Template
from workers.pipeline import Painted
from workers.segment import paint_chunk, store_segment
from workers.stopwatch import Stopwatch
from workers.warm import WarmAvatar, warm_up

ONLY_ATTEMPT = 1


@dataclass(frozen=True)
class Outputs:
    """Where the result goes; at least one of the two."""

    video: Path | None = None
    frames: Path | None = None
    """Folder for lossless PNGs of the frames before encoding, named by their global index."""


@dataclass
class Rendered:
    """What a local render did, and how fast once the avatar was warm."""

    frames: Span
    frames_total: int
    seconds: float
    provider: str

    @property
    def fps(self) -> float:
        """Frames per second, encoding included."""
        return self.frames.size / max(self.seconds, 1e-9)


def render_locally(
    request: JobRequest,
    avatar: str,
    outputs: Outputs,
    settings: Settings,
    report: Report,
    part: tuple[int, int | None],
    stopwatch: Stopwatch | None = None,
) -> Rendered:
    """Render a job, or the output frames `part` (start, stop or None) of it, in this process.

    Raises:
        Rejected: the input or the call is wrong.
    """
    _check_outputs(outputs)
    pack = open_avatar(avatar, settings)
    check_request(request, pack.digest, pack.spec)
    if outputs.video is not None:
        demand_encoder(request.codec, settings.device)
    with scratch_folder() as folder:
        store = DirectoryStore(folder)
        with open_audio(request.audio, allow_truncated=request.allow_truncated) as source:
            job = new_job_id()
            samples = store_job_audio(source, job, store)
            manifest = make_manifest(request, job, pack.digest, pack.spec, samples, source.extension)
        frames = _span(manifest, part)
        warm = warm_up(pack, settings)
        started_s = time.monotonic()
        segments = list(_segments(manifest, frames, warm, store, outputs, report, settings, stopwatch or Stopwatch()))
        if outputs.video is not None:
            report(frames.size, frames.size, None, None, "assembling")
            track = folder / "audio.m4a"
            with _source(request, manifest, frames) as source:
                encode_m4a(source, track, bit_rate=AUDIO_BIT_RATE)
            exceeds = manifest.length == "reference"
            remux(segments, track, outputs.video, fps=manifest.fps, frames=frames.size, audio_may_exceed=exceeds)
        return Rendered(frames, manifest.frames_total, time.monotonic() - started_s, warm.painter.provider)


def open_avatar(ref: str, settings: Settings) -> Pack:
    """The pack in a folder, the one that ships (`demo`), or one of the store.

    Raises:
        NotFound: there is none.
        Failed: it is damaged.
    """
    folder = Path(ref)
    if folder.is_dir():
        return open_pack(folder)
    store = open_store(settings)
    try:
        return fetch_pack(store, resolve(ref, store), settings.cache, settings.cache_disk_mb)
    except NotFound:
        if ref == DEMO:
            return demo_pack()
        raise


def _check_outputs(outputs: Outputs) -> None:
    """Refuse before an hour of rendering what could not be written after it."""
    if outputs.video is None and outputs.frames is None:
        raise Rejected("Nothing would be kept: give --out for a video, --frames for pictures, or both.")
    if outputs.video is not None:
        check_output(outputs.video)
    if outputs.frames is not None:
        try:
            outputs.frames.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Rejected(f"{outputs.frames} cannot be made for the frames: {error.strerror}.") from error


def _span(manifest: Manifest, part: tuple[int, int | None]) -> Span:
    start, stop = part[0], manifest.frames_total if part[1] is None else part[1]
    if not 0 <= start < stop <= manifest.frames_total:
        raise Rejected(f"The frames [{start}, {stop}) do not lie within the video's {manifest.frames_total} frames.")
    return Span(start, stop)


@contextmanager
def _source(request: JobRequest, manifest: Manifest, frames: Span) -> Iterator[AudioSource]:
    """The source's sound under `frames`; all of it where they reach the end."""
    with open_audio(request.audio, allow_truncated=request.allow_truncated) as source:
        end_s = float("inf") if frames.stop == manifest.frames_total else frames.stop / manifest.fps
        whole = frames.start == 0 and end_s == float("inf")
        yield source if whole else TrimmedSource(source, frames.start / manifest.fps, min(end_s, 1e9))


def _segments(
    manifest: Manifest,
    frames: Span,
    avatar: WarmAvatar,
    store: ObjectStore,
    outputs: Outputs,
    report: Report,
    settings: Settings,
    stopwatch: Stopwatch,
) -> Iterator[Path]:
    started_s, done = time.monotonic(), 0
    read_audio = partial(read_job_audio, manifest.job, store)

    def watch(face: Painted) -> None:
        nonlocal done
        done += 1
        if outputs.frames is not None:
            _write_png(outputs.frames / f"{face.frame:06d}.png", face, avatar.template)
        fps = done / max(time.monotonic() - started_s, 1e-6)
        report(done, frames.size, fps, (frames.size - done) / fps, "rendering")

    for number, start in enumerate(range(frames.start, frames.stop, manifest.chunk_frames)):
        chunk = Span(start, min(start + manifest.chunk_frames, frames.stop))
        if outputs.video is None:
            with closing(paint_chunk(manifest, chunk, avatar, read_audio, stopwatch)) as painted:
                for face in painted:
                    watch(face)
        else:
            key = keys.segment(manifest.job, number, ONLY_ATTEMPT)
            store_segment(manifest, chunk, avatar, read_audio, store, key, ONLY_ATTEMPT, watch, settings, stopwatch)
            yield Path(store.location(key))


def _write_png(path: Path, face: Painted, template: Template) -> None:
    pasted = template.paste(face.template_frame, face.face)
    if not cv2.imwrite(str(path), template.picture(face.template_frame, pasted)):
        raise Failed(f"{path} could not be written: the disk may be full or the folder write-protected.")
