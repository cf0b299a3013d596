"""Avatars leave the store without harm to any job."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import Failed, NotFound, Rejected, Transient, Unreachable
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_removal import Removal, plan_removal, remove_avatar
from jobs.avatar_spec import AVATAR_JSON
from jobs.avatars import is_stored, list_avatars, point, resolve, stored_packs
from jobs.ledger import REMOVAL_TTL_S
from jobs.ledger_memory import MemoryLedger
from jobs.states import JobState
from tests.avatar_commands import answer, between, content, everything, job_of
from workers.avatar.cache import fetch_pack
from workers.avatar.pack import Pack, open_pack, publish

pytestmark = pytest.mark.usefixtures("environment")


def removed(ref: str, ledger: MemoryLedger, store: ObjectStore) -> Removal:
    removal = plan_removal(ref, ledger, store)
    remove_avatar(removal, ledger, store)
    return removal


def test_the_pack_goes_with_the_last_of_its_names(pack: Pack, store: ObjectStore, ledger: MemoryLedger) -> None:
    for name in ("anna", "berta"):
        publish(pack, store, name)
    store.put(keys.canary(pack.digest), b"png")
    store.put(keys.exports(pack.digest), b"{}")
    first = removed("anna", ledger, store)
    assert (first.names, first.kept_by, first.pack) == (("anna",), ("berta",), None)
    assert resolve("berta", store) == pack.digest and store.size(keys.canary(pack.digest))
    with pytest.raises(NotFound):
        resolve("anna", store)
    last = removed("berta", ledger, store)
    assert last.pack == pack.digest and last.size == sum(map(len, content(pack.root).values()))
    assert everything(store) == {}


def test_by_its_digest_a_pack_goes_with_all_its_names_and_leaves_its_neighbour(
    pack: Pack, other: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(other, store, "carla")
    before = everything(store)
    for name in ("anna", "berta"):
        publish(pack, store, name)
    assert removed(pack.digest[:8], ledger, store).names == ("anna", "berta")
    assert everything(store) == before
    with pytest.raises(NotFound, match="it holds carla"):
        plan_removal(pack.digest, ledger, store)


@pytest.mark.parametrize(
    "states",
    [(), (JobState.RUNNING,), (JobState.PAUSED,), (JobState.ASSEMBLING,), (JobState.FAILED, JobState.QUEUED)],
    ids=["queued", "running", "paused", "assembling", "retried"],
)
def test_a_pack_stays_while_a_job_needs_it(
    states: tuple[JobState, ...], pack: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(pack, store, "anna")
    publish(pack, store, "berta")
    before = everything(store)
    job = job_of(ledger, pack.digest, *states)
    with pytest.raises(Rejected, match=f"is in use by job {job}: remove it when that has ended, or cancel it first"):
        plan_removal(pack.digest, ledger, store)
    assert everything(store) == before
    assert removed("anna", ledger, store).kept_by == ("berta",)  # a name that no job needs may go
    with pytest.raises(Rejected, match=job):
        plan_removal("berta", ledger, store)
    ledger.move(job, JobState.CANCELLED)
    removed("berta", ledger, store)
    assert everything(store) == {}


def test_of_many_jobs_some_are_named(pack: Pack, store: ObjectStore, ledger: MemoryLedger) -> None:
    publish(pack, store, "anna")
    jobs = [job_of(ledger, pack.digest) for _ in range(7)]
    with pytest.raises(Rejected, match=f"in use by jobs {', '.join(jobs[:5])} and 2 more: "):
        plan_removal("anna", ledger, store)


def test_jobs_that_are_over_keep_no_pack_and_failed_ones_are_named(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(pack, store, "anna")
    job_of(ledger, pack.digest, JobState.ASSEMBLING, JobState.DONE)
    job_of(ledger, pack.digest, JobState.CANCELLED)
    failed = job_of(ledger, pack.digest, JobState.FAILED)
    job_of(ledger, "f" * 64)
    assert removed("anna", ledger, store).failed_jobs == (failed,)


def test_a_job_that_is_opened_while_its_pack_is_removed_keeps_it(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    before = everything(store)
    removal = plan_removal("anna", ledger, store)
    between(monkeypatch, store, keys.avatar_pack(pack.digest) + AVATAR_JSON, lambda: job_of(ledger, pack.digest))
    with pytest.raises(Rejected, match="in use by job"):
        remove_avatar(removal, ledger, store)
    assert everything(store) == before


def test_a_name_that_is_given_while_the_pack_is_removed_keeps_it(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)
    key = keys.avatar_pack(pack.digest) + AVATAR_JSON
    between(monkeypatch, store, key, lambda: point("berta", pack.digest, store))
    with pytest.raises(Rejected, match="was given the name 'berta' just now"):
        remove_avatar(removal, ledger, store)
    assert {avatar.name for avatar in list_avatars(store)} == {"anna", "berta"}
    assert open_pack(fetch_pack(store, pack.digest, pack.root.parent / "cache").root, pack.digest)


def test_a_name_that_means_another_pack_by_now_stays(
    pack: Pack, other: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)
    publish(other, store, "anna")
    remove_avatar(removal, ledger, store)
    assert resolve("anna", store) == other.digest
    assert [stored.digest for stored in stored_packs(store)] == [other.digest]


def test_a_ledger_that_goes_away_in_the_middle_takes_nothing_with_it(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    before = everything(store)
    removal = plan_removal("anna", ledger, store)

    def away(_: str) -> dict[str, JobState]:
        raise Unreachable("Redis is away.")

    monkeypatch.setattr(ledger, "jobs_of", away)
    with pytest.raises(Unreachable):
        remove_avatar(removal, ledger, store)
    assert everything(store) == before
    with pytest.raises(Unreachable):
        plan_removal("anna", ledger, store)


def test_a_removal_that_broke_off_anywhere_leaves_a_whole_pack_or_none_and_can_be_finished(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    publish(pack, store, "berta")
    store.put(keys.canary(pack.digest), b"png")
    whole = everything(store)
    real_delete, real_put = store.delete, store.put
    outcomes = []
    for survived in range(len(whole)):
        deleted: list[str] = []

        def dies(key: str, deleted: list[str] = deleted, survived: int = survived) -> None:
            if len(deleted) == survived:
                raise SystemExit("killed")
            deleted.append(key)
            real_delete(key)

        def dead(key: str, data: bytes) -> None:
            raise SystemExit("killed")

        removal = plan_removal(pack.digest, ledger, store)
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(store, "delete", dies)
            patched.setattr(store, "put", dead)
            remove_avatar(removal, ledger, store)
        try:
            fetched = fetch_pack(store, pack.digest, tmp_path / f"cache-{survived}")
            assert fetched.digest == pack.digest
            outcomes.append("whole")
        except NotFound:
            outcomes.append("none")
            assert answer("list") != []
        removed(pack.digest, ledger, store)
        assert everything(store) == {}
        for key, data in whole.items():
            real_put(key, data)
    assert outcomes == ["whole"] + ["none"] * (len(whole) - 1)


def test_remains_and_names_without_a_pack_can_be_removed(pack: Pack, store: ObjectStore, ledger: MemoryLedger) -> None:
    publish(pack, store, "anna")
    store.delete(keys.avatar_pack(pack.digest) + AVATAR_JSON)
    store.delete(keys.avatar_pointer("anna"))
    point("gone", "f" * 64, store)
    assert removed(pack.digest[:12], ledger, store).size > 0
    assert removed("f" * 8, ledger, store).names == ("gone",)
    assert everything(store) == {}


def test_a_pack_published_while_it_is_removed_is_no_secret_to_either(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)
    last = keys.avatar_pack(pack.digest) + "generator.onnx"
    between(monkeypatch, store, last, lambda: publish(pack, store, "anna"))
    with pytest.raises(Transient, match=r"published in .* while it was removed"):
        remove_avatar(removal, ledger, store)
    publish(pack, store, "anna")
    assert fetch_pack(store, pack.digest, pack.root.parent / "cache").digest == pack.digest

    real = store.put

    def put(key: str, data: bytes) -> None:
        real(key, data)
        if key == keys.avatar_pointer("anna"):
            store.delete(keys.avatar_pack(pack.digest) + AVATAR_JSON)

    monkeypatch.setattr(store, "put", put)
    with pytest.raises(Transient, match=r"was removed from .* while it was published"):
        publish(pack, store, "anna")


# --- two removals ------------------------------------------------------------------------------------------------


def looking(monkeypatch: pytest.MonkeyPatch, ledger: MemoryLedger, act: Callable[[], object]) -> None:
    """Let something happen just before the ledger is asked for jobs the next time."""
    real = ledger.jobs_of

    def jobs_of(avatar: str) -> dict[str, JobState]:
        monkeypatch.setattr(ledger, "jobs_of", real)
        act()
        return real(avatar)

    monkeypatch.setattr(ledger, "jobs_of", jobs_of)


def test_a_second_removal_waits_for_the_first_so_that_no_job_loses_what_was_put_back(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "berta"):
        publish(pack, store, name)
    before = everything(store)
    first, second = (plan_removal(pack.digest, ledger, store) for _ in range(2))
    jobs = []

    def meanwhile() -> None:
        assert not is_stored(pack.digest, store)
        with pytest.raises(Transient, match=f"Another removal of avatar {pack.digest} is under way"):
            remove_avatar(second, ledger, store)
        jobs.append(job_of(ledger, pack.digest))

    looking(monkeypatch, ledger, meanwhile)
    with pytest.raises(Rejected, match="is in use by job"):
        remove_avatar(first, ledger, store)
    assert everything(store) == before
    with pytest.raises(Rejected, match=jobs[0]):
        remove_avatar(second, ledger, store)
    assert everything(store) == before
    ledger.move(jobs[0], JobState.CANCELLED)
    remove_avatar(second, ledger, store)
    remove_avatar(first, ledger, store)
    assert everything(store) == {}


def test_while_another_removal_is_under_way_nothing_is_touched(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(pack, store, "anna")
    before = everything(store)
    removal = plan_removal("anna", ledger, store)
    assert ledger.begin_removal(pack.digest, "another")
    with pytest.raises(Transient, match="Another removal"):
        remove_avatar(removal, ledger, store)
    assert everything(store) == before


def test_who_finds_a_pack_hidden_already_looks_for_jobs_and_names_all_the_same(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)
    store.delete(keys.avatar_pack(pack.digest) + AVATAR_JSON)
    before = everything(store)
    job = job_of(ledger, pack.digest)
    with pytest.raises(Rejected, match=job):
        remove_avatar(removal, ledger, store)
    ledger.move(job, JobState.CANCELLED)
    point("berta", pack.digest, store)
    with pytest.raises(Rejected, match="was given the name 'berta' just now"):
        remove_avatar(removal, ledger, store)
    store.delete(keys.avatar_pointer("berta"))
    assert everything(store) == before


def test_a_removal_that_took_too_long_leaves_the_rest_to_the_one_that_came_after(
    pack: Pack, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1.8e9]
    ledger = MemoryLedger(clock=lambda: now_s[0])
    publish(pack, store, "anna")
    before = everything(store)
    removal = plan_removal("anna", ledger, store)

    def stalls() -> None:
        now_s[0] += REMOVAL_TTL_S + 1
        assert ledger.begin_removal(pack.digest, "another")

    looking(monkeypatch, ledger, stalls)
    with pytest.raises(Transient, match="Another removal"):
        remove_avatar(removal, ledger, store)
    assert before.keys() - everything(store).keys() == {keys.avatar_pack(pack.digest) + AVATAR_JSON}
    assert not ledger.begin_removal(pack.digest, "a third"), "the claim of the other one still holds"
    now_s[0] += REMOVAL_TTL_S + 1  # it was killed
    removed("anna", ledger, store)
    assert everything(store) == {}


def test_a_job_that_came_with_a_pack_that_was_published_meanwhile_is_named(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)
    jobs = []

    def push_and_submit() -> None:
        publish(pack, store, "anna")
        jobs.append(job_of(ledger, pack.digest))

    between(monkeypatch, store, keys.canary(pack.digest), push_and_submit)
    with pytest.raises(Failed) as lost:
        remove_avatar(removal, ledger, store)
    assert f"job {jobs[0]} came to use it meanwhile" in str(lost.value)
    assert "push or import the same avatar again" in str(lost.value) and "lipsync retry" in str(lost.value)
    assert stored_packs(store) == []


def test_a_removal_that_cannot_look_back_says_so(
    pack: Pack, store: ObjectStore, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    removal = plan_removal("anna", ledger, store)

    def away(_: str) -> dict[str, JobState]:
        raise Unreachable("Redis is away.")

    between(monkeypatch, store, keys.canary(pack.digest), lambda: monkeypatch.setattr(ledger, "jobs_of", away))
    with pytest.raises(Unreachable, match=r"was removed from .* is not known. Redis is away"):
        remove_avatar(removal, ledger, store)
    assert everything(store) == {}


# --- names and digits --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("redis")
def test_damaged_and_foreign_names_stand_in_nobodys_way_and_can_be_removed(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    for name in ("bad", "Foo Bar"):
        store.put(f"{keys.AVATAR_NAMES}{name}.json", b"{}")
    assert answer("rm", "anna", "--yes")["digest"] == pack.digest
    assert set(everything(store)) == {f"{keys.AVATAR_NAMES}{name}.json" for name in ("bad", "Foo Bar")}
    for name in ("bad", "Foo Bar"):
        gone = answer("rm", name, "--yes")
        assert (gone["names"], gone["digest"], gone["pack_removed"]) == ([name], None, False)
    assert everything(store) == {}


def test_a_damaged_name_that_was_mended_meanwhile_stays(pack: Pack, store: ObjectStore, ledger: MemoryLedger) -> None:
    store.put(keys.avatar_pointer("anna"), b"{}")
    removal = plan_removal("anna", ledger, store)
    publish(pack, store, "anna")
    remove_avatar(removal, ledger, store)
    assert resolve("anna", store) == pack.digest


def test_digits_that_fit_two_packs_remove_neither(store: ObjectStore, ledger: MemoryLedger) -> None:
    for last in "12":
        store.put(f"{keys.avatar_pack('ab' * 4 + '0' * 55 + last)}generator.onnx", b"remains")
    with pytest.raises(Rejected, match="give more digits"):
        plan_removal("ab" * 4, ledger, store)
    assert len(everything(store)) == 2


def at_a_terminal(typed: str, *arguments: str) -> tuple[int, str, str]:
    """Run `lipsync avatar` in a process of its own whose input is a terminal; gives exit code and what it printed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        command = [sys.executable, "-m", "jobs.cli", "avatar", *arguments]
        repository = Path(__file__).parents[2]
        done = subprocess.run(
            command, stdin=theirs, capture_output=True, text=True, timeout=60, cwd=repository, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("redis")
def test_rm_asks_at_a_terminal(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    before = everything(store)
    code, out, err = at_a_terminal("n\n", "rm", "anna")
    assert (code, out) == (2, "") and pack.digest in err and err.endswith("lipsync: Nothing was removed.\n")
    assert everything(store) == before
    code, out, err = at_a_terminal("y\n", "rm", "anna")
    assert code == 0 and out.startswith("Removed from") and "Go on?" in err
    assert everything(store) == {}


@pytest.mark.usefixtures("redis")
def test_rm_wants_yes_where_nobody_can_be_asked(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    before = everything(store)
    with pytest.raises(Rejected, match=f"name anna and pack {pack.digest}, .* repeat it with --yes"):
        answer("rm", "anna")
    assert everything(store) == before
    done = answer("rm", "anna", "--yes")
    assert (done["names"], done["digest"], done["pack_removed"]) == (["anna"], pack.digest, True)
    assert everything(store) == {}


@pytest.mark.usefixtures("redis")
def test_rm_wants_yes_where_there_is_no_input_at_all(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m jobs.cli avatar rm anna <&-', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "repeat it with --yes" in done.stderr and len(done.stderr.splitlines()) == 1
    assert resolve("anna", store) == pack.digest


def test_rm_removes_nothing_when_redis_does_not_answer(pack: Pack, store: ObjectStore) -> None:
    for name in ("anna", "berta"):
        publish(pack, store, name)
    before = everything(store)
    for ref in ("anna", pack.digest):
        with pytest.raises(Unreachable):
            answer("rm", ref, "--yes")
    assert everything(store) == before
