"""The figures that the README quotes: `make bench`, or `python -m tests.bench NAME …` for some of them.

Names are those of the functions: overhead, demo_networks, full_size, submission.

Ratios are measured in pairs within one run, since absolute speeds drift on shared machines.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import psutil
import soundfile

from infra.settings import Settings
from jobs.fleet import Fleet
from jobs.follow import follow
from jobs.submit import JobRequest, open_job, prepare_job
from tests.fleet.conftest import FleetUnderTest, environment_of
from tests.servers import redis_server
from workers.avatar.demo import DEMO, demo_pack, publish_demo
from workers.avatar.synthetic import make_synthetic
from workers.lip_model import load_lip_model
from workers.local_render import Outputs, render_locally

PAIRS = 5
HOURS = 10
RUNS = 200
SPEECH_REPEATS = 4  # of the clip that ships: about a minute
WAV_RATE_HZ = 44_100


def fleet_settings(folder: Path, redis_url: str) -> Settings:
    """A fleet in a temporary folder, its workers proving themselves with the demo avatar."""
    return Settings(
        home=folder,
        redis_url=redis_url,
        store=(folder / "store").as_uri(),
        avatars=(DEMO,),
        threads=len(os.sched_getaffinity(0)),
    )


def overhead() -> None:
    """A minute of speech in one process and through a fleet of one worker, in turn; warm, to the finished video."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(redis_server())
        settings = fleet_settings(folder, server.url)
        fleet = Fleet(settings)
        publish_demo(fleet.store)
        environment = environment_of(settings) | {"LIPSYNC_THREADS": str(settings.threads)}
        under_test = FleetUnderTest(settings, environment, folder, stack)
        under_test.start_worker("bench")
        clip = stack.enter_context(as_file(files("workers") / "data" / "speech.flac"))
        speech = folder / "speech.flac"
        sound, rate_hz = soundfile.read(clip)
        soundfile.write(speech, np.tile(sound, SPEECH_REPEATS), rate_hz)
        request = JobRequest(audio=speech, owner="bench")

        def alone() -> float:
            out = Outputs(video=folder / "alone.mp4")
            return render_locally(request, DEMO, out, settings, lambda *_: None, (0, None)).fps

        def through_the_fleet() -> float:
            pack = demo_pack()
            manifest = prepare_job(request, pack.digest, pack.spec, fleet.store)
            started = time.monotonic()
            job = open_job(manifest, fleet.ledger, fleet.store)
            fleet.dispatch([job])
            last = list(follow(job, fleet.ledger, fleet.store))[-1]
            return last.frames_done / (time.monotonic() - started)

        worker = psutil.Process(under_test.workers["bench"].pid)

        for measured in (alone, through_the_fleet):
            measured()  # warm-up
        pairs = [(alone(), through_the_fleet()) for _ in range(PAIRS)]
        memory_mb = sum(one.memory_full_info().uss for one in (worker, *worker.children())) / 1e6
    for name, rates in zip(("lipsync render", "fleet of one worker"), zip(*pairs, strict=True), strict=True):
        print(f"{name:22} {statistics.median(rates):6.1f} frames/s ({min(rates):.1f} to {max(rates):.1f})")
    ratios = sorted(fleet / alone for alone, fleet in pairs)
    print(
        f"{'fleet / render':22} {statistics.median(ratios):6.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, {PAIRS} pairs)"
    )
    print(f"{'memory of the worker':22} {memory_mb:6.0f} MB of its own (the template is mapped and shared)")


def demo_networks() -> None:
    """The demo avatar's two networks alone, one frame at a time on one thread."""
    pack = demo_pack()
    model = load_lip_model(pack.generator, pack.audio_encoder, Settings(providers="cpu", threads=1, batch=1))
    chance = np.random.default_rng(0)
    face, audio = chance.random((1, 6, 320, 320), np.float32), chance.random((1, 32, 16, 16), np.float32)
    window = chance.random((1, 1, 80, 16), np.float32)
    networks: dict[str, Callable[[], object]] = {
        "generator": lambda: model.generate(face, audio),
        "audio encoder": lambda: model.encode(window),
    }
    for name, run in networks.items():
        taken_ms = []
        for _ in range(RUNS):
            started = time.perf_counter()
            run()
            taken_ms.append(1000 * (time.perf_counter() - started))
        print(f"{name:22} {statistics.median(taken_ms):6.2f} ms in the median of {RUNS} (first {taken_ms[0]:.1f} ms)")


def full_size() -> None:
    """The synthetic avatar with the networks of the real size at 1280x720, in one process on all cores."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        pack = make_synthetic(folder, frames=50)
        sound = folder / "sound.wav"
        soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, 97 * 640).astype(np.float32), 16_000)
        settings = Settings(threads=len(os.sched_getaffinity(0)))
        outputs = Outputs(video=folder / "out.mp4")
        done = render_locally(JobRequest(audio=sound), str(pack.root), outputs, settings, lambda *_: None, (0, None))
    print(f"lipsync render         {done.fps:6.2f} frames/s ({done.frames.size} frames, {done.provider})")


def submission() -> None:
    """What a producer needs for ten hours of speech: time and memory, and the time that is not decoding."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(redis_server())
        settings = fleet_settings(folder, server.url)
        publish_demo(Fleet(settings).store)
        speech = folder / "speech.wav"
        _write_hours(speech)
        command = [sys.executable, "-m", "tests.bench", "producer", str(speech)]
        done = subprocess.run(command, env=environment_of(settings), stdout=subprocess.PIPE, check=True, text=True)
        figures = json.loads(done.stdout)
        ledger = Fleet(settings).ledger
        bytes_used = sum(ledger._redis.memory_usage(key) for key in ledger._redis.scan_iter("lipsync:ledger:*"))
    print(f"{HOURS} h of {WAV_RATE_HZ} Hz WAV: {figures['frames']} frames in {figures['chunks']} chunks")
    print(f"decode, resample, store {figures['decode_s']:8.1f} s")
    print(f"store the source        {figures['source_s']:8.1f} s")
    print(f"plan and open the job   {figures['plan_s']:8.3f} s")
    print(f"peak memory             {figures['peak_mb']:8.0f} MB")
    print(f"ledger in Redis         {bytes_used / 1000:8.1f} kB when opened")


def producer(speech: Path) -> None:
    """One submission, timed from the inside; its own process, so that its peak memory is its own."""
    fleet = Fleet(Settings())
    pack = demo_pack()
    spent: dict[str, float] = {}
    _time(fleet, "put_stream", "decode_s", spent)
    _time(fleet, "put_file", "source_s", spent)
    started = time.monotonic()
    manifest = prepare_job(JobRequest(audio=speech, owner="bench"), pack.digest, pack.spec, fleet.store)
    job = open_job(manifest, fleet.ledger, fleet.store)
    fleet.dispatch([job])
    total_s = time.monotonic() - started
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory before exec, too
    peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1000
    figures = spent | {
        "plan_s": total_s - sum(spent.values()),
        "peak_mb": peak_mb,
        "frames": manifest.frames_total,
        "chunks": manifest.chunks_total,
    }
    print(json.dumps(figures))


def _time(fleet: Fleet, method: str, name: str, spent: dict[str, float]) -> None:
    """Add up the time spent in one method of the store; one timed method may call another."""
    original: Callable[..., object] = getattr(fleet.store, method)

    def timed(*arguments: object) -> object:
        started, others = time.monotonic(), dict(spent)
        try:
            return original(*arguments)
        finally:
            spent.update(others)  # what was called on the way is part of this
            spent[name] = spent.get(name, 0.0) + time.monotonic() - started

    setattr(fleet.store, method, timed)


def _write_hours(path: Path) -> None:
    """Ten hours of noise that swells and fades, second after second the same."""
    seconds = np.random.default_rng(0).normal(0, 0.1, WAV_RATE_HZ).astype(np.float32)
    minute = np.tile(seconds * np.hanning(WAV_RATE_HZ), 60).astype(np.float32)
    with soundfile.SoundFile(path, "w", WAV_RATE_HZ, 1, "PCM_16") as file:
        for _ in range(HOURS * 60):
            file.write(minute)


def machine() -> str:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def main() -> None:
    """Run what was named, or everything."""
    named = sys.argv[1:]
    if named[:1] == ["producer"]:
        producer(Path(named[1]))
        return
    print(machine())
    for benchmark in (overhead, demo_networks, full_size, submission):
        if not named or benchmark.__name__ in named:
            print(f"\n{benchmark.__doc__}")
            benchmark()


if __name__ == "__main__":
    main()
