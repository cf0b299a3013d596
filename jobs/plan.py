"""From a job's length to its chunks. Pure."""

from jobs.timing import Span

DEFAULT_CHUNK_FRAMES = 250  # 10 s of video
MAX_CHUNK_FRAMES = 1500  # a minute; longer ones outlast the queue's patience on slow hosts


def chunk_count(frames_total: int, chunk_frames: int) -> int:
    """Chunks of a job."""
    return -(-frames_total // chunk_frames)


def chunk_span(chunk: int, frames_total: int, chunk_frames: int) -> Span:
    """Output frames of one chunk."""
    if not 0 <= chunk < chunk_count(frames_total, chunk_frames):
        raise ValueError(f"chunk {chunk} lies outside a job of {chunk_count(frames_total, chunk_frames)} chunks")
    start = chunk * chunk_frames
    return Span(start, min(start + chunk_frames, frames_total))
