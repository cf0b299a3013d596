"""One chunk of a job, rendered and encoded into its segment."""

from collections.abc import Callable
from pathlib import Path

from infra.media_video import SegmentEncoder, VideoFormat
from infra.object_store import ObjectStore
from jobs.job_audio import read_job_audio
from jobs.manifest import Manifest
from jobs.timing import Span
from workers.pipeline import hear, render_frames
from workers.render.crop import Picture
from workers.warm import WarmAvatar

Watch = Callable[[int, Picture], None]
"""Sees every frame before it is encoded: its global index and uint8 (H, W, 3) BGR. May raise to stop the work."""


def render_segment(
    manifest: Manifest,
    frames: Span,
    avatar: WarmAvatar,
    store: ObjectStore,
    path: Path | None,
    watch: Watch,
    threads: int = 0,
) -> None:
    """Render a range of a job's frames into an MP4 segment.

    Args:
        manifest: the job.
        frames: half-open range of output frames.
        avatar: the job's avatar.
        store: where the job audio is.
        path: the segment's file; None only shows the frames to `watch`.
        watch: called for each frame, between network runs as a rule.
        threads: of the video encoder, 0 for as many as it likes.
    """
    heard = hear(
        avatar.model,
        lambda span: read_job_audio(manifest.job, store, span),
        manifest.samples,
        manifest.frames_total,
        frames,
    )
    pictures = enumerate(render_frames(avatar.model, avatar.template, heard, frames), frames.start)
    if path is None:
        for index, picture in pictures:
            watch(index, picture)
        return
    with SegmentEncoder(path, video_format(manifest), first_frame=frames.start, threads=threads) as encoder:
        for index, picture in pictures:
            watch(index, picture)
            encoder.write(picture)


def video_format(manifest: Manifest) -> VideoFormat:
    """How the job's segments are encoded."""
    encoding = manifest.encoding
    return VideoFormat(manifest.width, manifest.height, manifest.fps, encoding.crf, encoding.preset)
