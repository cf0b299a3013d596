"""The networks alone, one run after the other, and how near they come to what the processor can do."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.avatar.networks.prepared import open_halves
from workers.avatar.pack import Pack, open_pack
from workers.bench.arithmetic import count_operations
from workers.bench.figures import Spread, milliseconds, summarise
from workers.bench.limit import peak_flops
from workers.bench.machine import peak_memory_mb
from workers.bench.processes import in_its_own_process
from workers.bench.report import Bars, Distribution, Report
from workers.bench.subject import Subject
from workers.lip_model import Network, load_generator
from workers.render.template import template_index
from workers.sessions import PROVIDER_NAMES
from workers.stopwatch import Interval, Stage, Stopwatch
from workers.warm import WarmAvatar, warm_up

COLD_STARTS = 3
AUDIO_ENCODER, WHOLE = "audio encoder", "whole generator"


@dataclass(frozen=True)
class Runs:
    """How long each run of the networks took."""

    networks: dict[str, tuple[Interval, ...]]
    """Name → when each run took place, the first one first."""
    frames: dict[str, int]
    """Name → frames, or features, of one run."""
    operations: dict[str, int]
    """Name → floating-point operations of one run; empty where there is no limit to compare them with."""
    limit: dict[int, float]
    """Threads → float32 operations per second at best; empty on an accelerator."""
    provider: str
    peak_mb: float
    """Before the whole generator was loaded, which no render needs."""


def run_networks(subject: Subject, times: int) -> Runs:
    """Load the networks and run each of them; the function of the measured process."""
    pack = open_pack(subject.root)
    avatar = warm_up(pack, subject.settings)
    networks = {AUDIO_ENCODER: _hear(avatar, times), **_paint(avatar, times)}
    peak_mb = peak_memory_mb()
    whole = load_generator(pack.generator, subject.settings)
    networks[WHOLE] = _draw(whole, times)
    frames = {AUDIO_ENCODER: avatar.audio_encoder.batch, Stage.DECODER_HALF: subject.batch, WHOLE: whole.batch}
    frames = dict.fromkeys(networks, 1) | frames
    provider = avatar.painter.provider
    if provider != PROVIDER_NAMES["cpu"]:
        return Runs(networks, frames, {}, {}, provider, peak_mb)
    files = _files(pack, subject)
    operations = {name: count_operations(path, subject.folder, frames[name]) for name, path in files.items()}
    limit = {threads: peak_flops(threads) for threads in sorted({1, subject.settings.threads})}
    return Runs(networks, frames, operations, limit, provider, peak_mb)


def paint_once(subject: Subject) -> float:
    """Load the networks and draw a face; gives the moment, by `time.perf_counter`, when it was there."""
    _paint(warm_up(open_pack(subject.root), subject.settings), 0)
    return time.perf_counter()


def _hear(avatar: WarmAvatar, times: int) -> tuple[Interval, ...]:
    batch = avatar.audio_encoder.batch
    window = np.random.default_rng(0).random((batch, 1, 80, 16), np.float32)
    return _laps(lambda: avatar.encode(window), times)


def _paint(avatar: WarmAvatar, times: int) -> dict[str, tuple[Interval, ...]]:
    """Both halves, as a job runs them: the first one once per template frame."""
    batch, frames, watch = avatar.painter.batch, len(avatar.template), Stopwatch()
    heard = np.random.default_rng(0).random((batch, 32, 16, 16), np.float32)
    for run in range(times + 1):
        indices = [template_index(run * batch + frame, frames) for frame in range(batch)]
        avatar.painter.paint(indices, heard, watch)
    return {stage: tuple(watch.laps(stage)) for stage in (Stage.ENCODER_HALF, Stage.DECODER_HALF)}


def _draw(generator: Network, times: int) -> tuple[Interval, ...]:
    """The generator in one piece, as other programs run it."""
    chance = np.random.default_rng(0)
    faces = chance.random((generator.batch, 6, 320, 320), np.float32)
    heard = chance.random((generator.batch, 32, 16, 16), np.float32)
    return _laps(lambda: generator.run(faces, heard), times)


def _files(pack: Pack, subject: Subject) -> dict[str, Path]:
    halves = open_halves(pack, subject.settings, subject.batch)
    return {
        AUDIO_ENCODER: pack.audio_encoder,
        Stage.ENCODER_HALF: halves.encoder,
        Stage.DECODER_HALF: halves.decoder,
        WHOLE: pack.generator,
    }


def _laps(run: Callable[[], object], times: int) -> tuple[Interval, ...]:
    laps = []
    for _ in range(times + 1):
        started_s = time.perf_counter()
        run()
        laps.append((started_s, time.perf_counter()))
    return tuple(laps)


def measure(subject: Subject, frames: int, tell: Callable[[str], object]) -> Report:
    """Run the networks `frames` times after a first one, and start processes to see when their first face is there."""
    tell(f"running its networks {frames} times each")
    runs = in_its_own_process(run_networks, subject, frames).answer
    tell("starting anew")
    starts = [in_its_own_process(paint_once, subject) for _ in range(COLD_STARTS)]
    return describe(runs, Spread.of([start.answer - start.started_s for start in starts]), subject)


def describe(runs: Runs, cold_s: Spread, subject: Subject) -> Report:
    """The figures of one measurement."""
    threads = subject.settings.threads
    steady_s = {name: [stop - start for start, stop in laps[1:]] for name, laps in runs.networks.items()}
    steady = {name: summarise(taken_s) for name, taken_s in steady_s.items() if taken_s}
    rows, networks = [("avatar", subject.name)], {}
    for name, found in steady.items():
        start, stop = runs.networks[name][0]
        frames = runs.frames[name]
        networks[name] = found.document(frames=frames) | {"first_call_ms": round(1000 * (stop - start), 3)}
        rows += [*found.rows(name, frames=frames), (f"{name}, first call", milliseconds(stop - start))]
        if name in runs.operations:
            at_best_s = runs.operations[name] / runs.limit[threads]
            share, gflop = at_best_s / found.median_s, runs.operations[name] / 1e9
            networks[name] |= {"gflop_per_run": round(gflop, 4), "share_of_limit": round(share, 4)}
            best = f"{gflop:.2f} GFLOP take {milliseconds(at_best_s)} at best"
            rows.append((f"{name}, share of the limit", f"{100 * share:.1f} %: {best}"))
    rows += [(f"limit, threads: {count}", f"{flops / 1e9:.0f} GFLOP/s") for count, flops in runs.limit.items()]
    rows += [
        ("cold start, process to first face", f"{cold_s.text()} s"),
        ("peak memory of the process", f"{runs.peak_mb:.0f} MB"),
        ("runs on", f"{runs.provider}, threads: {threads}, frames in a batch: {subject.batch}"),
    ]
    document = {
        "avatar": subject.name,
        "networks": networks,
        "limit_gflops": {str(count): round(flops / 1e9, 1) for count, flops in runs.limit.items()},
        "cold_start_s": cold_s.document(),
        "peak_memory_mb": round(runs.peak_mb, 1),
        "provider": runs.provider,
        "threads": threads,
        "batch": subject.batch,
    }
    means_ms = {name: 1000 * found.mean_s for name, found in steady.items()}
    samples_ms = {name: tuple(1000 * one for one in steady_s[name]) for name in steady}
    charts = (Bars("Mean time of a run", "ms", means_ms), Distribution("Runs", "ms", samples_ms))
    return Report("model", document, tuple(rows), charts)
