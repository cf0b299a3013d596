"""A real fleet for each test: a real Redis, a store, and worker processes that can be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.settings import Settings
from jobs import keys
from jobs.avatars import read_spec, resolve
from jobs.fleet import Fleet
from jobs.states import JobState
from jobs.status import Status, read_status
from jobs.submit import JobRequest, open_job, prepare_job
from tests.media_files import chirp, write_audio
from tests.servers import process, redis_server, wait_until
from workers.avatar.pack import Pack
from workers.avatar.publishing import publish_proved
from workers.avatar.synthetic import make_synthetic

AVATAR = "tiny"
PATIENCE_S = 90.0


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A small avatar that renders fast."""
    return make_synthetic(tmp_path_factory.mktemp("tiny"), frames=7, width=384, height=352, small=True)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@dataclass
class FleetUnderTest:
    """A fleet and the means to disturb it."""

    settings: Settings
    environment: dict[str, str]
    logs: Path
    stack: ExitStack
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def fleet(self) -> Fleet:
        """A fresh hold on the fleet, as another process would have it."""
        return Fleet(self.settings)

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def start_worker(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until its model is proved."""
        command = [sys.executable, "-m", "jobs.cli", "worker", "--name", name]
        started = (self.log(name).count("worker_ready") if (self.logs / f"{name}.log").exists() else 0) + 1
        self.workers[name] = self.stack.enter_context(
            process(
                command,
                self.logs / f"{name}.log",
                lambda: self.log(name).count("worker_ready") >= started,
                self.environment | environment,
            )
        )
        return self.workers[name]

    def holds_a_claim(self, name: str, job: str, chunks: int) -> bool:
        """Whether a worker renders a chunk of a job right now: the ledger's own book, which nobody else needs."""
        ledger = self.fleet.ledger
        holders = ledger._redis.hgetall(f"{self.settings.redis_prefix}{keys.ledger_job(job)}:holders")
        return any(f" {name}@" in holder and part.isdigit() and int(part) < chunks for part, holder in holders.items())

    def kill(self, name: str) -> None:
        """SIGKILL a worker, parent and child, as the kernel or a power cut would."""
        self.workers[name].kill()  # the child dies with its parent (PR_SET_PDEATHSIG)
        self.workers[name].wait()

    def submit(self, seconds: float, chunk_frames: int = 10, **more: object) -> str:
        """Submit a chirp of some length."""
        fleet = self.fleet
        audio = self.logs / f"speech-{seconds}.wav"
        if not audio.exists():
            write_audio(audio, chirp(seconds, 16_000), 16_000)
        request = JobRequest(audio=audio, chunk_frames=chunk_frames, owner="tester", **more)  # type: ignore[arg-type]
        digest = resolve(AVATAR, fleet.store)
        manifest = prepare_job(request, digest, read_spec(fleet.store, digest), fleet.store)
        job = open_job(manifest, fleet.ledger, fleet.store)
        fleet.dispatch([job])
        return job

    def status(self, job: str) -> Status:
        return read_status(job, self.fleet.ledger, self.fleet.store)

    def wait_for(self, job: str, *states: JobState, timeout_s: float = PATIENCE_S) -> Status:
        """Wait for one of these states."""
        try:
            wait_until(lambda: self.status(job).state in states, timeout_s, f"job {job} to be {' or '.join(states)}")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.status(job)}") from None
        return self.status(job)

    def finished(self, job: str, timeout_s: float = PATIENCE_S) -> Path:
        """Wait until a job is done, and give its video."""
        status = self.wait_for(job, JobState.DONE, JobState.FAILED, timeout_s=timeout_s)
        assert status.state is JobState.DONE, status
        assert status.output is not None
        return Path(status.output)

    def cli(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `lipsync` as a user would."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that gives these settings to another process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIPSYNC_")}
    return kept | {
        "LIPSYNC_HOME": str(settings.home),
        "LIPSYNC_REDIS_URL": settings.redis,
        "LIPSYNC_REDIS_PREFIX": settings.redis_prefix,
        "LIPSYNC_STORE": settings.store,
        "LIPSYNC_CACHE": str(settings.cache),
        "LIPSYNC_PROVIDERS": "cpu",
        "LIPSYNC_THREADS": "1",
        "LIPSYNC_AVATARS": ",".join(settings.avatars),
        "LIPSYNC_MAX_ATTEMPTS": str(settings.max_attempts),
    }


def new_fleet(folder: Path, redis_url: str, pack: Pack, cache: Path, stack: ExitStack) -> FleetUnderTest:
    """A fleet without workers, its avatar published."""
    settings = Settings(
        home=folder / "home",
        redis_url=redis_url,
        store=(folder / "store").as_uri(),
        cache=cache,
        providers="cpu",
        threads=1,
        avatars=(AVATAR,),
    )
    fleet = Fleet(settings)
    publish_proved(pack, AVATAR, fleet.store, settings)
    logs = folder / "logs"
    logs.mkdir()
    return FleetUnderTest(settings, environment_of(settings), logs, stack)


@pytest.fixture
def fleet(tmp_path: Path, tiny_pack: Pack, cache: Path) -> Iterator[FleetUnderTest]:
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        yield new_fleet(tmp_path, server.url, tiny_pack, cache, stack)
