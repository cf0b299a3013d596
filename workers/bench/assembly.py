"""Joining the segments of a long job: time, memory, and that packets are copied."""

import hashlib
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import soundfile

from infra.media_audio import encode_m4a
from infra.media_decode import open_audio
from infra.media_output import open_output
from infra.media_planes import to_planes
from infra.media_video import SegmentEncoder, VideoFormat
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.assemble import assemble_video, store_part
from jobs.ledger import Record
from jobs.manifest import Encoding, Manifest
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.scratch import scratch_folder
from jobs.submit import new_job_id
from jobs.timing import FPS, SAMPLES_PER_FRAME
from workers.bench.machine import peak_memory_mb
from workers.bench.processes import in_its_own_process
from workers.bench.report import Report

SIZE: Final = VideoFormat(64, 48, preset="ultrafast")
RATE_HZ: Final = 44_100
AAC_SAMPLES: Final = 1024  # of a packet
SOUND_S: Final = 20
SHORTER: Final = 10
"""Memory is compared with that for a job so many times shorter."""


@dataclass(frozen=True)
class Assembly:
    """One job that was assembled in a process of its own."""

    segments: int
    seconds: float
    peak_mb: float
    bytes: int


def measure(hours: float) -> Report:
    """Join the segments of a job of so many hours and of one that is shorter, small pictures and real sound."""
    with scratch_folder() as folder:
        store = DirectoryStore(folder / "store")
        segment = folder / "segment.mp4"
        _write_segment(segment)
        long, short = (_assemble(store, folder, segment, length_h) for length_h in (hours, hours / SHORTER))
    per_hour_mb = (long[0].peak_mb - short[0].peak_mb) / (hours - hours / SHORTER)
    per_segment_ms = 1000 * long[0].seconds / long[0].segments
    document = {
        "segments": long[0].segments,
        "seconds": round(long[0].seconds, 2),
        "per_segment_ms": round(per_segment_ms, 3),
        "video_bytes": long[0].bytes,
        "peak_mb": {str(one.segments): round(one.peak_mb, 1) for one, _ in (short, long)},
        "memory_per_hour_mb": round(per_hour_mb, 2),
        "packets_copied": long[1] and short[1],
    }
    return Report(
        "assembly",
        document,
        (
            (f"join {long[0].segments} segments", f"{long[0].seconds:.1f} s, {per_segment_ms:.1f} ms each"),
            *((f"peak memory for {one.segments} segments", f"{one.peak_mb:.0f} MB") for one, _ in (short, long)),
            ("memory for every hour of video", f"{per_hour_mb:.1f} MB"),
            ("packets", "copied, none encoded again" if document["packets_copied"] else "CHANGED"),
        ),
    )


def join(manifest: Manifest, records: dict[str, Record], store: Path) -> Assembly:
    """Assemble a job whose parts are all in the store; the function of the measured process."""
    start_s = time.monotonic()
    record = assemble_video(manifest, records, 1, DirectoryStore(store), lambda: None)
    return Assembly(manifest.chunks_total, time.monotonic() - start_s, peak_memory_mb(), record.size)


def _assemble(store: DirectoryStore, folder: Path, segment: Path, hours: float) -> tuple[Assembly, bool]:
    """Store the parts of a job and assemble it; also whether the video has the very packets of the segments."""
    chunks = round(hours * 3600 * FPS / DEFAULT_CHUNK_FRAMES)
    manifest = _manifest(chunks)
    track = folder / "track.m4a"
    _write_track(track, chunks * DEFAULT_CHUNK_FRAMES / FPS)
    store.put_file(keys.encoded_audio(manifest.job), track)
    records = {
        str(chunk): store_part(
            segment, keys.segment(manifest.job, chunk, 1), 1, store, lambda: None, DEFAULT_CHUNK_FRAMES
        )
        for chunk in range(chunks)
    }
    assembled = in_its_own_process(join, manifest, records, folder / "store").answer
    video = Path(store.location(keys.video(manifest.job)))
    copied = _packets_digest(video) == _packets_digest(segment, times=chunks)
    store.delete_prefix(keys.job_prefix(manifest.job))
    return assembled, copied


def _manifest(chunks: int) -> Manifest:
    frames = chunks * DEFAULT_CHUNK_FRAMES
    return Manifest(
        job=new_job_id(),
        owner="bench",
        avatar="d" * 64,
        length="exact",
        samples=frames * SAMPLES_PER_FRAME,
        frames_total=frames,
        chunk_frames=DEFAULT_CHUNK_FRAMES,
        width=SIZE.width,
        height=SIZE.height,
        encoding=Encoding(preset="ultrafast"),
        max_attempts=1,
        source_extension=".wav",
    )


def _write_segment(path: Path) -> None:
    """A chunk of pictures, each a little brighter than the one before."""
    with SegmentEncoder(path, SIZE, threads=1) as encoder:
        for index in range(DEFAULT_CHUNK_FRAMES):
            picture = np.full((SIZE.height, SIZE.width, 3), index % 256, np.uint8)
            encoder.write(to_planes(picture, SIZE.matrix))


def _write_track(path: Path, seconds: float) -> None:
    """Seconds of sound in real AAC packets; encoding hours of it would take minutes, so that packets come again."""
    sound, short = path.with_suffix(".wav"), path.with_suffix(".short.m4a")
    noise = np.random.default_rng(0).normal(0, 0.01, SOUND_S * RATE_HZ).astype(np.float32)
    soundfile.write(sound, noise, RATE_HZ)
    with open_audio(sound) as source:
        encode_m4a(source, short, bit_rate=32_000)
    with (
        av.open(str(short)) as container,
        open_output(path, "+faststart", movie_timescale=str(RATE_HZ)) as output,
    ):
        stream = container.streams.audio[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        copy = output.add_stream_from_template(stream)
        for index in range(round(seconds * RATE_HZ / AAC_SAMPLES)):
            packet: av.Packet[Any] = av.Packet(packets[index % len(packets)])
            packet.pts = packet.dts = index * AAC_SAMPLES
            packet.duration, packet.time_base, packet.stream = AAC_SAMPLES, Fraction(1, RATE_HZ), copy
            output.mux_one(packet)


def _packets_digest(path: Path, times: int = 1) -> str:
    """SHA-256 of a video track's packets, one after the other, as if the file were played so many times."""
    digest = hashlib.sha256()
    for _ in range(times):
        with av.open(str(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                digest.update(bytes(packet))
    return digest.hexdigest()
