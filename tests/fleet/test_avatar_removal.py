"""An avatar is never removed from under a job, however the two meet: real workers, a real Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest

from infra.errors import NotFound, Rejected
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_removal import plan_removal, remove_avatar
from jobs.avatars import read_spec, resolve
from jobs.control import cancel_job, move_job, retry_job
from jobs.fleet import Fleet
from jobs.manifest import Manifest
from jobs.states import JobState
from jobs.submit import JobRequest, open_job, prepare_job
from tests.fleet.conftest import AVATAR, FleetUnderTest
from tests.media_files import chirp, write_audio
from tests.servers import wait_until
from workers.avatar.pack import Pack
from workers.avatar.publishing import publish_proved


def remove(fleet: FleetUnderTest) -> None:
    hold = fleet.fleet
    remove_avatar(plan_removal(AVATAR, hold.ledger, hold.store), hold.ledger, hold.store)


def publish_again(fleet: FleetUnderTest, pack: Pack) -> None:
    publish_proved(pack, AVATAR, fleet.fleet.store, fleet.settings)


def test_an_avatar_stays_while_a_worker_renders_with_it_and_goes_when_the_job_is_over(
    fleet: FleetUnderTest, tiny_pack: Pack
) -> None:
    store = fleet.fleet.store
    fleet.start_worker("one")
    job = fleet.submit(240.0, chunk_frames=1500)
    wait_until(lambda: fleet.status(job).frames_done > 0, 60, "the first frames")
    before = list(store.list(keys.AVATARS))
    for ref in (AVATAR, tiny_pack.digest):
        refused = fleet.cli("avatar", "rm", ref, "--yes", code=2)
        assert refused.stdout == "" and f"is in use by job {job}" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    move_job(job, JobState.PAUSED, fleet.fleet.ledger, store)
    assert job in fleet.cli("avatar", "rm", AVATAR, "--yes", code=2).stderr
    assert list(store.list(keys.AVATARS)) == before

    cancel_job(job, fleet.fleet.ledger, store)
    assert tiny_pack.digest in fleet.cli("avatar", "rm", AVATAR, "--yes").stdout
    assert list(store.list(keys.AVATARS)) == []
    assert fleet.workers["one"].poll() is None
    publish_again(fleet, tiny_pack)
    assert fleet.finished(fleet.submit(1.0))


def test_without_redis_nothing_is_removed_and_the_exit_code_says_so(fleet: FleetUnderTest) -> None:
    before = list(fleet.fleet.store.list(""))
    fleet.environment["LIPSYNC_REDIS_URL"] = "redis://127.0.0.1:1"
    refused = fleet.cli("avatar", "rm", AVATAR, "--yes", code=3)
    assert "cannot be reached" in refused.stderr
    assert list(fleet.fleet.store.list("")) == before


def test_a_job_whose_avatar_goes_while_it_is_submitted_fails_at_once_and_can_be_retried(
    fleet: FleetUnderTest, tiny_pack: Pack
) -> None:
    hold = fleet.fleet
    audio = write_audio(fleet.logs / "speech.wav", chirp(1.0, 16_000), 16_000)
    digest = resolve(AVATAR, hold.store)
    manifest = prepare_job(JobRequest(audio), digest, read_spec(hold.store, digest), hold.store)
    remove(fleet)
    with pytest.raises(NotFound, match=f"Job {manifest.job} failed: Avatar {digest} is no longer in"):
        open_job(manifest, hold.ledger, hold.store)
    status = fleet.status(manifest.job)
    assert status.state is JobState.FAILED and "publish it again" in str(status.error)
    publish_again(fleet, tiny_pack)
    fleet.start_worker("one")
    fleet.cli("retry", manifest.job)
    assert fleet.finished(manifest.job)


@dataclass
class Submission:
    """A prepared job that is opened when it is called, once."""

    fleet: Fleet
    manifest: Manifest
    told: bool | None = None
    """Whether the submitter learned that the avatar is gone; None before the job was opened."""

    def __call__(self) -> None:
        if self.told is None:
            try:
                open_job(self.manifest, self.fleet.ledger, self.fleet.store)
                self.told = False
            except NotFound:
                self.told = True


def before_deletion(number: int, store: ObjectStore, act: Callable[[], None]) -> Callable[[str], None]:
    """A `delete` for this store that lets something happen before its n-th call, counted from 0."""
    real, calls = store.delete, count()

    def delete(key: str) -> None:
        if next(calls) == number:
            act()
        real(key)

    return delete


def test_whichever_of_submit_and_removal_comes_first_the_other_sees_it(
    fleet: FleetUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is opened at every moment of a removal: it keeps its avatar, or is told that there is none."""
    audio = write_audio(fleet.logs / "speech.wav", chirp(1.0, 16_000), 16_000)
    hold = fleet.fleet
    digest = resolve(AVATAR, hold.store)
    spec = read_spec(hold.store, digest)
    whole = {info.key: hold.store.get(info.key) for info in hold.store.list(keys.AVATARS)}
    kept = []
    for moment in range(len(whole) + 1):
        submission = Submission(hold, prepare_job(JobRequest(audio), digest, spec, hold.store))
        removal = plan_removal(AVATAR, hold.ledger, hold.store)
        with monkeypatch.context() as patched:
            patched.setattr(hold.store, "delete", before_deletion(moment, hold.store, submission))
            refusal = ""
            try:
                remove_avatar(removal, hold.ledger, hold.store)
            except Rejected as error:
                refusal = str(error)
        submission()
        assert {info.key for info in hold.store.list(keys.AVATARS)} == (whole.keys() if refusal else set())
        assert submission.told == (not refusal), moment
        assert refusal == "" or submission.manifest.job in refusal
        kept.append(bool(refusal))
        cancel_job(submission.manifest.job, hold.ledger, hold.store)
        for key, data in whole.items():
            hold.store.put(key, data)
    assert kept == [True] + [False] * len(whole)


def test_a_failed_job_keeps_no_avatar_and_says_so_when_it_is_retried(fleet: FleetUnderTest, tiny_pack: Pack) -> None:
    job = fleet.submit(1.0)
    hold = fleet.fleet
    hold.ledger.move(job, JobState.FAILED, "for a test")
    done = fleet.cli("avatar", "rm", AVATAR, "--yes")
    assert f"can be retried only when avatar {tiny_pack.digest} is published again: {job}" in done.stderr
    refused = fleet.cli("retry", job, code=2)
    assert f"lipsync retry {job}" in refused.stderr and tiny_pack.digest in refused.stderr
    assert fleet.status(job).state is JobState.FAILED
    with pytest.raises(NotFound):
        retry_job(job, hold.ledger, hold.store)
    publish_again(fleet, tiny_pack)
    fleet.start_worker("one")
    fleet.cli("retry", job)
    assert fleet.finished(job)
