"""The life of a fleet on real hosts, told in order: set up, used, hurt, updated, taken back, grown, drained."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import redis
import soundfile

from jobs.fleet import Fleet
from jobs.fleet_state import WorkerView
from jobs.states import JobState
from tests.fleet.test_fleet import assert_same_video
from tests.hosts import releases
from tests.hosts.conftest import Figures
from tests.hosts.control import Control
from tests.hosts.hosts import Hosts
from tests.hosts.progress import Progress
from tests.hosts.s3_host import s3_host
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(900)

_ROOT = Path(__file__).parents[2]
SPEECH = _ROOT / "workers" / "data" / "speech.flac"
DEMO = _ROOT / "workers" / "data" / "demo"

PATIENCE_S = 180.0
CHUNK_FRAMES = 25
LONG_S = 120.0
"""Speech of a job that goes on while a worker hears with its next pulse, some seconds later, that it may take work."""
HURRY_S = 10
UNIT = "lipsync-worker@0.service"


@dataclass
class Story:
    """A fleet on hosts and what is to be told of it."""

    hosts: Hosts
    control: Control
    fleet: Fleet
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)
    """Releases in the store by their labels."""

    def describe(self, *workers: str) -> None:
        """Write the inventory with these workers; they run the first release, the watching host its own."""
        self.control.describe(
            {"redis": ["redis"], "watch": ["watch"], "workers_cpu": list(workers)},
            {
                "lipsync_release_cpu": self.ids["r1"],
                "lipsync_release_watch": self.ids["watch"],
                "lipsync_avatars": ["demo"],
                # Two hosts share the two cores of a small machine, and all share its memory.
                "lipsync_environment": {"LIPSYNC_PROVIDERS": "cpu", "LIPSYNC_THREADS": "1", "LIPSYNC_CACHE_MB": "400"},
            },
        )

    def submit(self, seconds: float, chunk_frames: int = CHUNK_FRAMES) -> str:
        """Submit real speech of some length from the control machine."""
        audio = speech(seconds, self.folder)
        return str(
            json.loads(self.control.lipsync("submit", audio, "--chunk-frames", str(chunk_frames), "--json"))["job_id"]
        )

    def job(self, seconds: float, chunk_frames: int = CHUNK_FRAMES) -> Progress:
        """A job of this length, submitted when the block begins, and how it comes along."""
        return Progress(self.fleet.ledger, lambda: self.submit(seconds, chunk_frames))

    def wait_for_chunks(self, job: str, count: int) -> None:
        """Wait until so many chunks of a job are finished."""
        wait_until(lambda: self.chunks_done(job) >= count, PATIENCE_S, f"{count} chunks of job {job}")

    def chunks_done(self, job: str) -> int:
        view = self.fleet.ledger.view(job)
        return view.chunks_done if view else 0

    def finish(self, job: str) -> None:
        """Wait until a job is done."""

        def ended() -> bool:
            view = self.fleet.ledger.view(job)
            return view is not None and view.state in {JobState.DONE, JobState.FAILED}

        wait_until(ended, PATIENCE_S, f"job {job} to end")
        view = self.fleet.ledger.view(job)
        assert view is not None
        assert (view.state, view.error, view.frames_done) == (JobState.DONE, None, view.frames_total)

    def wait_for_frames(self, host: str, progress: Progress) -> None:
        """Wait until a host has rendered some of what is rendered meanwhile."""
        wait_until(lambda: progress.frames_by_host().get(host, 0) > 0, PATIENCE_S, f"frames of {host}")

    def workers(self) -> dict[str, WorkerView]:
        """Living workers by their hosts."""
        return {worker.facts.host: worker for worker in self.fleet.ledger.fleet().workers if worker.alive}

    def wait_for_releases(self, **labels: str) -> None:
        """Wait until exactly these hosts have workers, with these releases."""
        wait_until(lambda: self.running() == labels, PATIENCE_S, f"the workers to be {labels}")

    def part_of(self, host: str) -> str | None:
        """The part that a host's worker holds."""
        worker = self.workers().get(host)
        return worker.part if worker else None

    def holder(self) -> str | None:
        """A host that renders."""
        return next((host for host, worker in self.workers().items() if (worker.part or "").isdigit()), None)

    def running(self) -> dict[str, str]:
        """Labels of the releases that the workers run, by their hosts."""
        labels = {id_: label for label, id_ in self.ids.items()}
        return {host: labels.get(worker.facts.release, "?") for host, worker in self.workers().items()}


@pytest.fixture(scope="module")
def story(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Five hosts, and a store with releases and an avatar."""
    folder = hosts.folder / "story"
    with ExitStack() as stack:
        store = stack.enter_context(s3_host(hosts))
        hosts.boot("redis", "watch", "one", "two")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        store.use(patch)
        patch.setenv("NO_PROXY", "*")
        control = Control(hosts, store, folder)
        stack.callback(control.close)
        told = Story(hosts, control, Fleet(control.settings()), folder)
        for label, variant in {"r1": "cpu", "r2": "cpu", "watch": "watch"}.items():
            record = releases.build(variant, label, folder)
            told.ids[label] = control.lipsync("release", "push", record).strip()
        for label, launcher in {"refused": releases.REFUSED, "stillborn": releases.STILLBORN}.items():
            record = releases.make_faulty(launcher, label, folder)
            told.ids[label] = control.lipsync("release", "push", record).strip()
        control.lipsync("avatar", "push", DEMO, "--name", "demo")
        told.describe("one", "two")
        yield told


def speech(seconds: float, folder: Path) -> Path:
    """The clip that ships, over and over, as a file of this length."""
    path = folder / f"speech-{seconds:g}.flac"
    if not path.exists():
        samples, rate_hz = soundfile.read(SPEECH, dtype="int16")
        soundfile.write(path, np.resize(samples, round(seconds * rate_hz)), rate_hz)
    return path


def wait_for(find: Callable[[], str | None], what: str) -> str:
    """Wait until something is there, and give it."""
    found: list[str | None] = [None]

    def there() -> bool:
        found[0] = find()
        return found[0] is not None

    wait_until(there, PATIENCE_S, what)
    assert found[0] is not None
    return found[0]


def answer_of(story: Story, host: str, url: str, *options: str) -> tuple[int, str]:
    """What a web server of a host answers there: the status and the body."""
    command = ("curl", "--silent", "--write-out", "\n%{http_code}", *options, url)
    body, _, status = story.hosts.ssh(host, *command).rpartition("\n")
    return int(status), body


# --- set up --------------------------------------------------------------------------------------------------------


def test_one_playbook_makes_bare_hosts_a_fleet(story: Story, figures: Figures) -> None:
    played = story.control.play("site.yml")
    figures.add("site.yml on four bare hosts", f"{played.wall_s:.0f} s, {len(played.tasks)} tasks")
    assert set(played.hosts) - {"localhost"} == {"redis", "watch", "one", "two"}
    assert story.running() == {"one": "r1", "two": "r1"}
    for worker in ("one", "two"):
        story.hosts.ssh(worker, "lipsync", "doctor")


def test_a_second_run_changes_nothing(story: Story, figures: Figures) -> None:
    played = story.control.play("site.yml")
    figures.add("site.yml once more", f"{played.wall_s:.0f} s, {sum(played.changed.values())} changed")
    assert played.changed == {}, [block for block in played.output.split("TASK [") if "\nchanged: " in block]


def test_no_journal_has_a_secret(story: Story) -> None:
    secrets = [*story.control.passwords.values(), story.control.s3.secret_key]
    for host in ("redis", "watch", "one"):
        journal = story.hosts.ssh(host, "journalctl", "--quiet", "--output=cat", "--no-pager")
        assert "Invoked with" in journal
        assert [secret for secret in secrets if secret in journal] == []


def test_redis_speaks_to_its_users_and_only_in_secret(story: Story) -> None:
    control = story.control
    with redis.Redis.from_url(control.redis_url()) as known:
        assert known.ping()
    for url in (control.redis_url(scheme="redis"), control.redis_url(password="guessed")):
        with redis.Redis.from_url(url) as stranger, pytest.raises(redis.exceptions.ConnectionError):
            stranger.ping()
    with redis.Redis.from_url(control.redis_url()) as known, pytest.raises(redis.exceptions.NoPermissionError):
        known.flushall()


def test_the_watching_host_shows_the_fleet_to_those_who_may_see_it(story: Story) -> None:
    hosts = story.hosts
    status, metrics = answer_of(story, "watch", "http://127.0.0.1:9108/metrics")
    assert status == 200
    assert "lipsync_redis_up 1.0" in metrics
    assert 'lipsync_workers{state="idle"} 2.0' in metrics
    flower = "http://127.0.0.1:5555/workers"
    login = f"operator:{story.control.passwords['flower']}"
    assert answer_of(story, "watch", flower)[0] == 401
    wait_until(lambda: answer_of(story, "watch", flower, "--user", login)[0] == 200, 60, "Flower to answer")

    def seen_up() -> bool:
        query = "http://127.0.0.1:9090/api/v1/query?query=lipsync_redis_up"
        status, body = answer_of(story, "watch", query)
        return status == 200 and [found["value"][1] for found in json.loads(body)["data"]["result"]] == ["1"]

    wait_until(seen_up, 60, "Prometheus to have asked the exporter")
    with pytest.raises(RuntimeError):
        hosts.ssh("one", "curl", "--silent", "--max-time", "5", f"http://{hosts.address('watch')}:5555/")


# --- used and hurt -------------------------------------------------------------------------------------------------


def test_a_job_over_the_network_gives_the_frames_of_one_process(story: Story, tmp_path: Path) -> None:
    with story.job(15) as progress:
        story.finish(progress.job)
    assert min(progress.frames_by_host().values()) > 0, progress.frames_by_host()
    story.control.lipsync("fetch", progress.job, "--out", tmp_path / "fleet.mp4")
    audio = speech(15, story.folder)
    options = ("--chunk-frames", str(CHUNK_FRAMES), "--out", tmp_path / "alone.mp4")
    story.control.lipsync("render", audio, *options)
    assert_same_video(tmp_path / "fleet.mp4", tmp_path / "alone.mp4")


def test_a_job_outlives_a_host_that_loses_its_power(story: Story, figures: Figures) -> None:
    with story.job(25) as progress:
        story.wait_for_chunks(progress.job, 3)
        wait_until(lambda: story.fleet.ledger.holding("two"), PATIENCE_S, "the host to hold a part")
        story.hosts.kill("two")
        held = story.fleet.ledger.holding("two")  # rarely none: the power went between two parts
        story.finish(progress.job)
    counted = progress.counted()
    figures.add("a host dies amid a job", f"slowest pause {progress.slowest_pause_s:.1f} s, {counted}")
    assert counted["claims_expired"] == len(held)
    assert counted.get("quarantined", 0) == 0


def test_a_host_that_comes_back_empty_is_set_up_again(story: Story, figures: Figures) -> None:
    story.hosts.boot("two")
    played = story.control.play("scale.yml", "--limit", "two")
    figures.add("scale.yml for a host that came back", f"{played.wall_s:.0f} s")
    assert story.running() == {"one": "r1", "two": "r1"}


# --- updated and taken back ----------------------------------------------------------------------------------------


def test_an_update_disturbs_no_job(story: Story, figures: Figures) -> None:
    with story.job(120) as progress:
        story.wait_for_chunks(progress.job, 4)
        before = story.chunks_done(progress.job)
        played = story.control.play("deploy.yml", lipsync_release_cpu=story.ids["r2"])
        during = story.chunks_done(progress.job) - before
        assert story.running() == {"one": "r2", "two": "r2"}
        story.finish(progress.job)
    counted = progress.counted()
    repeated = counted["attempts"] - counted["recorded"]
    figures.add(
        "an update amid a job",
        f"{played.wall_s:.0f} s, {during} chunks finished meanwhile, chunks lost 0, claims repeated {repeated:.0f}, "
        f"slowest pause {progress.slowest_pause_s:.1f} s, {counted}",
    )
    assert during > 0
    assert repeated == 0
    assert counted["claims_expired"] == 0


def test_a_release_that_is_not_fit_is_not_switched_to(story: Story, figures: Figures) -> None:
    starts = {host: worker.facts.started_s for host, worker in story.workers().items()}
    played = story.control.play("deploy.yml", code=2, lipsync_release_cpu=story.ids["refused"])
    figures.add("deploy.yml of a release that is not fit", f"stops after {played.wall_s:.0f} s")
    assert "not fit" in played.output
    assert story.running() == {"one": "r2", "two": "r2"}
    assert {host: worker.facts.started_s for host, worker in story.workers().items()} == starts


def test_a_release_that_fails_after_the_switch_is_taken_back_and_reaches_no_second_host(
    story: Story, figures: Figures
) -> None:
    started_s = story.workers()["two"].facts.started_s
    played = story.control.play("deploy.yml", code=2, lipsync_release_cpu=story.ids["stillborn"])
    figures.add("deploy.yml of a release that dies after the switch", f"stops after {played.wall_s:.0f} s")
    assert "this release has no worker" in played.output
    story.wait_for_releases(one="r2", two="r2")
    assert story.workers()["two"].facts.started_s == started_s


def test_a_rollback_brings_back_the_release_before_amid_a_job(story: Story, figures: Figures) -> None:
    with story.job(30) as progress:
        story.wait_for_chunks(progress.job, 2)
        played = story.control.play("rollback.yml")
        story.wait_for_releases(one="r1", two="r1")
        story.finish(progress.job)
    figures.add(
        "a rollback amid a job",
        f"{played.wall_s:.0f} s, slowest pause {progress.slowest_pause_s:.1f} s, {progress.counted()}",
    )
    assert progress.counted().get("quarantined", 0) == 0


def test_a_release_is_examined_again_only_after_an_hour_or_under_other_settings(story: Story) -> None:
    id_ = story.ids["r2"]  # fetched and examined for the update, and then rolled back from

    def examined() -> int:
        """How often the host asked the release, by its journal."""
        journal = story.hosts.ssh("one", "journalctl", "--quiet", "--output=cat", f"--unit=lipsync-gate-{id_}.service")
        return sum(line.startswith("Started") for line in journal.splitlines())

    before = examined()
    assert before > 0
    fetch = ("deploy.yml", "--tags", "fetch", "--limit", "one")
    story.control.play(*fetch, lipsync_release_cpu=id_)
    assert examined() == before
    story.hosts.ssh("one", "touch", "-d", "2 hours ago", f"/run/lipsync-release/current-{id_}")
    story.control.play(*fetch, lipsync_release_cpu=id_)
    assert examined() == before + 1
    story.control.play(*fetch, lipsync_release_cpu=id_, lipsync_gate=["--version"])
    assert examined() == before + 2
    assert story.running() == {"one": "r1", "two": "r1"}


# --- one worker ----------------------------------------------------------------------------------------------------


@contextmanager
def impatient(story: Story, host: str) -> Iterator[None]:
    """A host that gives its workers less time to stop."""
    folder = "/run/systemd/system/lipsync-worker@.service.d"
    setting = f"[Service]\nTimeoutStopSec={HURRY_S}\n"
    story.hosts.ssh(host, "sh", "-c", f"mkdir {folder} && printf '{setting}' >{folder}/hurry.conf")
    story.hosts.ssh(host, "systemctl", "daemon-reload")
    try:
        yield
    finally:
        story.hosts.ssh(host, "rm", "-r", folder)
        story.hosts.ssh(host, "systemctl", "daemon-reload")


def test_a_worker_takes_work_soon_after_its_unit_is_started(story: Story, figures: Figures) -> None:
    for host in ("one", "two"):
        story.hosts.ssh(host, "systemctl", "stop", UNIT)
    wait_until(lambda: not story.workers(), PATIENCE_S, "the workers to have left")
    with story.job(10) as progress:
        story.hosts.ssh("one", "systemctl", "start", "--no-block", UNIT)
        wait_until(lambda: story.fleet.ledger.fleet().in_flight_parts, PATIENCE_S, "the worker to claim a part")
        claimed_s = time.time()
        started_s = float(
            story.hosts.ssh(
                "one", "systemctl", "show", "--timestamp=unix", "--property=ExecMainStartTimestamp", "--value", UNIT
            ).removeprefix("@")
        )
        story.hosts.ssh("two", "systemctl", "start", UNIT)
        story.finish(progress.job)
    ready_s = story.workers()["one"].facts.cold_start_s
    figures.add("unit started to first part claimed", f"{claimed_s - started_s:.1f} s, ready after {ready_s:.2f} s")


def test_stopping_a_worker_lets_it_finish_its_part(story: Story) -> None:
    with story.job(20) as progress:
        story.wait_for_chunks(progress.job, 1)
        wait_until(lambda: story.part_of("one") is not None, PATIENCE_S, "the worker to hold a part")
        story.hosts.ssh("one", "systemctl", "stop", UNIT, timeout_s=PATIENCE_S)
        assert "one" not in story.workers()
        story.hosts.ssh("one", "systemctl", "start", UNIT)
        story.finish(progress.job)
    assert progress.counted()["attempts"] == progress.counted()["recorded"]


def test_a_worker_that_cannot_finish_in_time_hands_its_part_back(story: Story, figures: Figures) -> None:
    with story.job(60, chunk_frames=1500) as progress:
        host = wait_for(story.holder, "somebody to render")
        with impatient(story, host):
            began_s = time.monotonic()
            story.hosts.ssh(host, "systemctl", "stop", UNIT, timeout_s=PATIENCE_S)
            took_s = time.monotonic() - began_s
        story.control.lipsync("cancel", progress.job)
        story.hosts.ssh(host, "systemctl", "start", UNIT)
    figures.add("stopping a worker amid a chunk that takes too long", f"{took_s:.1f} s, {progress.counted()}")
    assert took_s >= HURRY_S
    assert progress.counted()["handed_back"] == 1


def test_what_a_boot_starts_mounts_the_release_and_runs_the_worker(story: Story) -> None:
    mount = f"opt-lipsync-releases-{story.ids['r1']}.mount"
    assert story.hosts.ssh("one", "systemctl", "is-enabled", mount).strip() == "enabled"
    story.hosts.ssh("one", "systemctl", "stop", "lipsync-workers.target", UNIT)
    story.hosts.ssh("one", "systemctl", "stop", mount)
    assert story.hosts.ssh("one", "ls", f"/opt/lipsync/releases/{story.ids['r1']}") == ""
    wait_until(lambda: "one" not in story.workers(), PATIENCE_S, "the worker to have left")
    story.hosts.ssh("one", "systemctl", "daemon-reload")
    for target in ("local-fs.target", "multi-user.target"):  # in the order of a boot
        story.hosts.ssh("one", "systemctl", "start", target)
    story.wait_for_releases(one="r1", two="r1")


# --- grown and drained ---------------------------------------------------------------------------------------------


def test_a_host_that_is_added_takes_work(story: Story, figures: Figures) -> None:
    story.hosts.boot("three")
    story.describe("one", "two", "three")
    began_s = time.monotonic()
    played = story.control.play("scale.yml", "--limit", "three")
    with story.job(LONG_S) as progress:
        wait_until(lambda: story.part_of("three") is not None, PATIENCE_S, "the new host to hold a part")
        took_s = time.monotonic() - began_s
        story.wait_for_frames("three", progress)
        story.control.lipsync("cancel", progress.job)
    figures.add("a third host from bare to its first chunk", f"{took_s:.0f} s ({played.wall_s:.0f})")
    assert story.running() == {"one": "r1", "two": "r1", "three": "r1"}


def test_a_drained_host_takes_no_work_until_it_is_resumed(story: Story) -> None:
    story.control.play("drain.yml", "--limit", "one")
    with story.job(15) as progress:
        story.finish(progress.job)
    assert progress.frames_by_host().get("one", 0) == 0
    story.control.play("drain.yml", "--limit", "one", lipsync_drain="resume")
    with story.job(LONG_S) as progress:
        story.wait_for_frames("one", progress)
        story.control.lipsync("cancel", progress.job)


def test_a_host_that_is_removed_keeps_nothing_of_the_fleet(story: Story) -> None:
    story.control.play("scale.yml", "--limit", "three", lipsync_scale="remove")
    assert set(story.workers()) == {"one", "two"}
    assert list(story.hosts.disk("three").rglob("*")) == []
