"""What ten hours of video cost those who submit, keep and join them: `lipsync bench --what submission`."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from infra.object_store import open_store
from infra.redis_connection import connect, redis_errors
from infra.settings import Settings
from jobs import keys
from jobs.dispatch import PARTS_PER_WORKER, STALE_OFFER_S
from jobs.ledger import Record
from jobs.ledger_redis import RedisLedger
from jobs.plan import DEFAULT_CHUNK_FRAMES
from jobs.states import ASSEMBLE_PART, AUDIO_PART
from workers.avatar.demo import DEMO, publish_demo
from workers.bench import assembly
from workers.bench.private_redis import private_redis
from workers.bench.processes import in_its_own_process
from workers.bench.producer import Submission, submit
from workers.bench.report import Report

HOURS: Final = 10
WAV_RATE_HZ: Final = 44_100
WORKERS: Final = 500
LOOKS: Final = 20
"""How often the ledger is weighed while a job goes on."""
NAME: Final = "worker{number}@gpu-host-{number:04d}.example.org"
"""As long as workers' names are."""


def measure(hours: float = HOURS, workers: int = WORKERS) -> Report:
    """Submit hours of speech, keep the ledger's books of them to the end, and join as many segments.

    Args:
        hours: of speech; half a gigabyte of disk each.
        workers: of the fleet whose claims the ledger holds.

    Raises:
        Failed: there is no redis-server, or no space on the disk.
    """
    with private_redis() as settings:
        store = open_store(settings)
        publish_demo(store)
        speech = settings.home / "speech.wav"
        _write_speech(speech, hours)
        submitted = in_its_own_process(submit, settings, settings.home / "store", speech, DEMO).answer
        opened, largest, done = weigh_ledger(settings, submitted, workers)
    joined = assembly.measure(hours)
    return Report(
        "submission",
        {
            "hours": hours,
            "frames": submitted.frames,
            "chunks": submitted.chunks,
            "decode_s": round(submitted.decode_s, 2),
            "source_s": round(submitted.source_s, 2),
            "plan_s": round(submitted.rest_s, 3),
            "producer_peak_mb": round(submitted.peak_mb, 1),
            "ledger_bytes": {"opened": opened, "largest": largest, "done": done},
            "assembly": joined.document,
        },
        (
            (
                "submitted",
                f"{hours:g} h of {WAV_RATE_HZ} Hz WAV: {submitted.frames} frames in {submitted.chunks} chunks",
            ),
            ("decode, resample and store the sound", f"{submitted.decode_s:.1f} s"),
            ("store the source", f"{submitted.source_s:.1f} s"),
            ("plan, open the job and ring for it", f"{submitted.rest_s:.3f} s"),
            ("peak memory of the producer", f"{submitted.peak_mb:.0f} MB"),
            ("ledger in Redis when opened", f"{opened / 1000:.1f} kB"),
            (f"at most on the way, {workers} workers", f"{largest / 1000:.0f} kB"),
            ("when done", f"{done / 1000:.0f} kB"),
            *joined.rows,
        ),
    )


def weigh_ledger(settings: Settings, submitted: Submission, workers: int) -> tuple[int, int, int]:
    """Let a fleet do all parts of a job, and weigh the ledger in Redis: when opened, at most, and when done, in bytes.

    Every worker holds a claim whenever the ledger is weighed, and as many parts wait in the queue.
    """
    ledger, opened = RedisLedger(settings), _ledger_bytes(settings)
    names = [NAME.format(number=number) for number in range(workers)]
    for name in names:
        ledger.worker_seen(name)
    weights = []
    parts = [AUDIO_PART, *map(str, range(submitted.chunks))]
    stride = max(len(parts) // LOOKS, 1)
    for position, part in enumerate(parts):
        ledger.offer(submitted.job, PARTS_PER_WORKER * workers, STALE_OFFER_S)
        if position % stride == 0:
            for name, busy in zip(names, parts[position:], strict=False):
                claim = ledger.claim(submitted.job, busy, name)
                ledger.renew(submitted.job, busy, claim.attempt, DEFAULT_CHUNK_FRAMES // 2)
            weights.append(_ledger_bytes(settings))
        _finish(ledger, submitted.job, part)
    weights.append(_ledger_bytes(settings))
    ledger.offer(submitted.job, PARTS_PER_WORKER * workers, STALE_OFFER_S)
    _finish(ledger, submitted.job, ASSEMBLE_PART)
    return opened, max(weights), _ledger_bytes(settings)


def _finish(ledger: RedisLedger, job: str, part: str) -> None:
    attempt = max(ledger.claim(job, part, NAME.format(number=0)).attempt, 1)
    frames = DEFAULT_CHUNK_FRAMES if part.isdigit() else 0
    ledger.finish(job, part, Record(attempt, hashlib.sha256(part.encode()).hexdigest(), 1_234_567, frames))


def _ledger_bytes(settings: Settings) -> int:
    """What Redis says that all keys of the ledger take."""
    client: Any = connect(settings)
    with redis_errors(settings), client:
        found = client.scan_iter(f"{settings.redis_prefix}{keys.LEDGER}*", count=1000)
        return sum(client.memory_usage(key, samples=0) or 0 for key in found)  # all elements, not a sample of them


def _write_speech(path: Path, hours: float) -> None:
    """Noise that swells and fades, second after second the same."""
    second = np.random.default_rng(0).normal(0, 0.1, WAV_RATE_HZ) * np.hanning(WAV_RATE_HZ)
    minute = np.tile(second.astype(np.float32), 60)
    with soundfile.SoundFile(path, "w", WAV_RATE_HZ, 1, "PCM_16") as file:
        for _ in range(round(hours * 60)):
            file.write(minute)
