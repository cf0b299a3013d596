"""One chunk of a job: rendered, encoded and stored, all at the same time."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from typing import Final

from infra.media_output import Blocks
from infra.media_video import SegmentEncoder, VideoFormat
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs.assemble import store_blocks
from jobs.ledger import Record
from jobs.manifest import Manifest
from jobs.timing import Span
from workers.pipeline import Painted, Part, ReadAudio, compose, paint
from workers.stopwatch import Stage, Stopwatch
from workers.warm import WarmAvatar

COMPOSING_THREADS: Final = 2
"""A frame of 1280x720 takes one of them half a millisecond."""

Watch = Callable[[Painted], None]
"""Sees the face of every frame before it is encoded. May raise to stop the work."""


def paint_chunk(
    manifest: Manifest, frames: Span, avatar: WarmAvatar, read_audio: ReadAudio, stopwatch: Stopwatch
) -> Generator[Painted]:
    """The faces of a range of a job's frames, in order.

    Args:
        manifest: the job.
        frames: half-open range of output frames.
        avatar: the job's avatar.
        read_audio: gives the job audio.
        stopwatch: records the stages.
    """
    part = Part(read_audio, manifest.samples, manifest.frames_total, frames)
    return paint(avatar, part, stopwatch)


def store_segment(
    manifest: Manifest,
    frames: Span,
    avatar: WarmAvatar,
    read_audio: ReadAudio,
    store: ObjectStore,
    key: str,
    attempt: int,
    watch: Watch,
    settings: Settings,
    stopwatch: Stopwatch,
) -> Record:
    """Render a range of a job's frames into an MP4 segment that is stored while it grows.

    Args:
        manifest: the job.
        frames: half-open range of output frames.
        avatar: the job's avatar.
        read_audio: gives the job audio.
        store: where the segment goes.
        key: under which the segment is stored; nothing is, when this raises.
        attempt: for the record.
        watch: called for each frame, between network runs as a rule.
        settings: threads and device of the video encoder.
        stopwatch: records the stages.
    """
    painted = paint_chunk(manifest, frames, avatar, read_audio, stopwatch)
    with ExitStack() as tail:

        def blocks() -> Generator[bytes]:
            with closing(_encode(manifest, frames, painted, avatar, watch, settings, stopwatch)) as encoded:
                for block in encoded:
                    with stopwatch.measure(Stage.UPLOAD):
                        yield block
            tail.enter_context(stopwatch.measure(Stage.UPLOAD))  # what is left to do when all is made

        # When the store gives up half way, nobody else would stop what makes the blocks.
        with closing(blocks()) as made:
            return store_blocks(made, key, attempt, store, frames.size)


def _encode(
    manifest: Manifest,
    frames: Span,
    painted: Iterator[Painted],
    avatar: WarmAvatar,
    watch: Watch,
    settings: Settings,
    stopwatch: Stopwatch,
) -> Generator[bytes]:
    """The segment's bytes, as soon as the encoder lets go of them."""
    blocks = Blocks()
    with (
        closing(compose(painted, avatar.template, COMPOSING_THREADS, stopwatch)) as composed,
        SegmentEncoder(
            blocks,
            video_format(manifest),
            first_frame=frames.start,
            threads=settings.threads,
            device=settings.device,
        ) as encoder,
    ):
        for face, planes in composed:
            watch(face)
            with stopwatch.measure(Stage.ENCODE):
                encoder.write(planes)
            if block := blocks.take():
                yield block
    yield blocks.take()


def video_format(manifest: Manifest) -> VideoFormat:
    """How the job's segments are encoded."""
    encoding = manifest.encoding
    return VideoFormat(
        manifest.width, manifest.height, manifest.fps, encoding.crf, encoding.preset, codec=encoding.codec
    )
