"""Avatars move between this machine and the store whole or not at all, and leave it without harm to any job."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from ulid import ULID

from infra.errors import Failed, LipsyncError, NotFound, Rejected, Transient, Unreachable
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.avatar_removal import Removal, plan_removal, remove_avatar
from jobs.avatar_spec import AVATAR_JSON, Consent, Provenance
from jobs.avatars import list_avatars, point, resolve, stored_packs
from jobs.ledger import JobTicket
from jobs.ledger_memory import MemoryLedger
from jobs.states import JobState
from tests.avatar_sources import HEIGHT, WIDTH, told, training_folder
from tests.servers import free_port, redis_server
from workers.avatar.cache import Shelf, cached_pack, fetch_pack
from workers.avatar.checking import check
from workers.avatar.commands import avatar_app
from workers.avatar.copying import copy_pack, with_consent
from workers.avatar.pack import Pack, open_pack, publish
from workers.avatar.synthetic import make_synthetic

CONSENT = Consent(subject="Anna Example", scope="tests", expires=None, evidence="e" * 64)


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read the settings that the tests have, and no Redis answers."""
    for name in [name for name in os.environ if name.startswith("LIPSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSYNC_HOME", str(settings.home))
    monkeypatch.setenv("LIPSYNC_STORE", settings.store)
    monkeypatch.setenv("LIPSYNC_CACHE", str(settings.cache))
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")
    monkeypatch.setenv("LIPSYNC_THREADS", "1")
    monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    monkeypatch.setenv("LIPSYNC_CONNECT_TIMEOUT_S", "1")


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with redis_server() as server:
        monkeypatch.setenv("LIPSYNC_REDIS_URL", server.url)
        yield


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def other(tmp_path: Path) -> Pack:
    """Another avatar."""
    (tmp_path / "other").mkdir()
    return make_synthetic(tmp_path / "other", frames=2, width=WIDTH, height=HEIGHT, seed=1, small=True)


def answer(*arguments: object) -> Any:
    """The JSON document that a command prints, and nothing else on standard output."""
    result = CliRunner().invoke(avatar_app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def text(*arguments: object) -> str:
    result = CliRunner().invoke(avatar_app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def content(folder: Path) -> dict[str, bytes]:
    """Relative path → bytes of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key) for info in store.list("")}


def job_of(ledger: MemoryLedger, digest: str, *states: JobState) -> str:
    """Open a job and move it through some states."""
    job = ledger.open(JobTicket(str(ULID()), 1, 10, 3, digest, "me"))
    for state in states:
        assert ledger.move(job, state) is state
    return job


# --- push and pull -----------------------------------------------------------------------------------------------


def test_a_pack_travels_from_a_folder_to_the_store_to_a_cache_and_to_another_store(
    pack: Pack, store: ObjectStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = answer("push", pack.root, "--name", "anna")
    assert (pushed["name"], pushed["digest"]) == ("anna", pack.digest)
    assert store.size(keys.canary(pack.digest))
    stored = everything(store)

    pulled = answer("pull", "anna")
    assert pulled == {"digest": pack.digest, "folder": str(Shelf(settings.cache, pack.digest).pack)}
    assert content(Path(pulled["folder"])) == content(pack.root)

    monkeypatch.setenv("LIPSYNC_STORE", (tmp_path / "elsewhere").as_uri())
    for ref in (pack.digest, pack.digest[:8]):
        assert answer("push", ref, "--name", "anna")["digest"] == pack.digest
    assert content(tmp_path / "elsewhere") == stored


def test_pushing_again_changes_nothing_and_a_name_means_what_is_in_the_cache(pack: Pack, store: ObjectStore) -> None:
    answer("push", pack.root, "--name", "anna")
    before = everything(store)
    assert answer("push", pack.root, "--name", "anna")["digest"] == pack.digest
    assert everything(store) == before
    with pytest.raises(NotFound, match="not in the cache"):
        answer("push", "anna", "--name", "berta")
    answer("pull", "anna")
    answer("push", "anna", "--name", "berta")
    assert dict(list_avatars(store)) == {"anna": pack.digest, "berta": pack.digest}


@pytest.mark.parametrize("what", ["generator.onnx", "frames/000001.jpg"])
def test_a_damaged_pack_is_not_pushed_from_anywhere(what: str, pack: Pack, store: ObjectStore) -> None:
    answer("push", pack.root, "--name", "anna")
    cached = Path(answer("pull", "anna")["folder"])
    before = everything(store)
    for root, ref in ((cached, pack.digest), (pack.root, pack.root)):
        (root / what).write_bytes(b"changed")
        with pytest.raises(Failed, match=f"{what} was changed"):
            answer("push", ref, "--name", "berta")
    assert everything(store) == before


@pytest.mark.parametrize("source", ["nothing", "0" * 8, "0" * 64, "."])
def test_what_cannot_be_pushed_gets_a_sentence(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(NotFound, match=r"There is no avatar|is no avatar pack"):
        answer("push", source, "--name", "anna")


def test_pulling_to_a_folder_makes_a_pack_of_its_own(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty"):
        assert answer("pull", pack.digest[:10], "--to", folder)["folder"] == str(folder)
        assert content(folder) == content(pack.root)
        (folder / "generator.onnx").write_bytes(b"changed")  # a copy: the cache must not share its files
    assert answer("pull", "anna", "--to", tmp_path / "third")["digest"] == pack.digest


def test_pulling_refuses_a_folder_that_holds_something_before_it_fetches(
    pack: Pack, store: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    publish(pack, store, "anna")
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for folder in ("file", "full", "dangling", "none/deeper", "file/below"):
        with pytest.raises(LipsyncError, match=folder.partition("/")[0]):
            answer("pull", "anna", "--to", tmp_path / folder)
    assert not settings.cache.exists()
    assert (tmp_path / "file").read_text() == "x" and not (tmp_path / "none").exists()


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_pull_that_breaks_off_leaves_no_half_pack(
    error: BaseException, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").mkdir()
    before = sorted(tmp_path.rglob("*"))
    real = shutil.copyfile
    copied: list[Path] = []

    def breaks(source: Path, target: Path) -> None:
        if len(copied) == 2:
            raise error
        copied.append(real(source, target))

    monkeypatch.setattr(shutil, "copyfile", breaks)
    with pytest.raises((Failed, KeyboardInterrupt)):
        copy_pack(pack, tmp_path / "target" / "new")
    assert len(copied) == 2 and sorted(tmp_path.rglob("*")) == before


def test_a_cached_pack_stays_while_it_is_copied_from(pack: Pack, store: ObjectStore, settings: Settings) -> None:
    publish(pack, store, "anna")
    fetch_pack(store, pack.digest, settings.cache)
    held = cached_pack(pack.digest, settings.cache)
    assert not Shelf(settings.cache, pack.digest).throw_away()
    assert open_pack(held.root, pack.digest)


# --- list and show -----------------------------------------------------------------------------------------------


def test_the_list_says_what_is_cached_how_large_and_what_has_no_name(
    pack: Pack, other: Pack, store: ObjectStore, settings: Settings
) -> None:
    publish(other, store, "anna")
    publish(pack, store, "anna")
    publish(pack, store, "berta")
    fetch_pack(store, other.digest, settings.cache)
    rows = answer("list")
    sizes = {made.digest: sum(map(len, content(made.root).values())) for made in (pack, other)}
    assert [(row["name"], row["digest"], row["cached"], row["bytes"], row["problem"]) for row in rows] == [
        ("anna", pack.digest, False, sizes[pack.digest], None),
        ("berta", pack.digest, False, sizes[pack.digest], None),
        (None, other.digest, True, sizes[other.digest], None),
    ]
    assert (rows[2]["frames"], rows[2]["width"], rows[2]["licence"]) == (2, WIDTH, "Apache-2.0")
    assert "(no name)" in text("list") and "cached here" in text("list")


def test_the_list_survives_names_without_packs_remains_and_damage(pack: Pack, other: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    publish(other, store, "berta")
    point("gone", "f" * 64, store)
    store.delete(keys.avatar_pack(pack.digest) + AVATAR_JSON)
    store.put(keys.avatar_pack(other.digest) + AVATAR_JSON, b"{")
    problems = {row["name"]: row["problem"] for row in answer("list")}
    assert problems["anna"].startswith("Publishing or removing it broke off")
    assert "usable avatar" in problems["berta"]
    assert problems["gone"].startswith("There is no such pack")
    assert len(text("list").splitlines()) == 3


def test_the_cache_is_listed_without_a_store(
    pack: Pack, other: Pack, store: ObjectStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in (pack, other):
        publish(made, store, "anna")
        fetch_pack(store, made.digest, settings.cache)
    (Shelf(settings.cache, other.digest).pack / AVATAR_JSON).write_text("{")
    (settings.cache / "avatars" / ("a" * 64)).mkdir()  # a fetch that failed
    monkeypatch.setenv("LIPSYNC_STORE", "s3://bucket")
    monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    rows = {row["digest"]: row for row in answer("list", "--local")}
    assert rows.keys() == {pack.digest, other.digest}
    assert rows[pack.digest]["problem"] is None and rows[pack.digest]["frames"] == 3
    assert "usable avatar" in rows[other.digest]["problem"]
    assert all(row["name"] is None and row["cached"] and row["bytes"] > 1000 for row in rows.values())
    assert all(row["used"].endswith("+00:00") for row in rows.values())
    assert len(text("list", "--local").splitlines()) == 2


def test_an_empty_cache_and_an_empty_store_are_said_to_be_empty() -> None:
    assert (answer("list"), answer("list", "--local")) == ([], [])
    assert "no avatars in file://" in text("list") and "no avatars in /" in text("list", "--local")


@pytest.mark.usefixtures("redis")
def test_show_says_everything_about_one(pack: Pack, store: ObjectStore, settings: Settings, tmp_path: Path) -> None:
    from infra.settings import read_settings
    from jobs.fleet import Fleet

    given = with_consent(pack, CONSENT, tmp_path / "with-consent")
    for name in ("anna", "berta"):
        publish(given, store, name)
    store.put(keys.exports(given.digest), b'{"exports": [{"network": "generator.onnx", "difference": 1e-7}]}')
    ledger = Fleet(read_settings()).ledger
    running, over = (ledger.open(JobTicket(str(ULID()), 1, 10, 3, given.digest, "me")) for _ in range(2))
    ledger.move(over, JobState.CANCELLED)
    ledger.open(JobTicket(str(ULID()), 1, 10, 3, pack.digest, "me"))
    for target in ("anna", given.digest[:8], given.digest, given.root):
        shown = answer("show", target)
        assert (shown["digest"], shown["names"], shown["jobs"]) == (given.digest, ["anna", "berta"], [running])
        assert (shown["frames"], shown["width"], shown["height"]) == (3, WIDTH, HEIGHT)
        assert (shown["template"], shown["matrix"], shown["cached"]) == ("images", None, False)
        assert shown["networks"] == {
            name: (pack.root / name).stat().st_size for name in ("generator.onnx", "audio_encoder.onnx")
        }
        assert shown["files"] == 6 and shown["bytes"] == sum(map(len, content(given.root).values()))
        sides = [x1 - x0 for x0, _, x1, _ in pack.spec.boxes]
        assert shown["boxes"] == {name: [min(sides), max(sides)] for name in ("width_px", "height_px")}
        assert shown["provenance"]["layout"] == "synthetic" and shown["licence"] == "Apache-2.0"
        assert shown["consent"] == CONSENT.model_dump(mode="json") and shown["consent_problem"] is None
        assert shown["exports"] == [{"network": "generator.onnx", "difference": 1e-7}]
        for said in (given.digest, "anna, berta", f"{WIDTH}x{HEIGHT}", "Anna Example", running, "1e-07"):
            assert said in text("show", target)


def test_show_says_what_it_could_not_ask(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    result = CliRunner().invoke(avatar_app, ["show", "anna", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["jobs"] is None
    assert "unknown: jobs: Redis at" in result.stderr
    with pytest.raises(NotFound, match="it holds anna"):
        answer("show", "berta")
    with pytest.raises(NotFound, match="is no avatar pack"):
        answer("show", tmp_path)


# --- rm ----------------------------------------------------------------------------------------------------------


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
    assert (first.names, first.kept_by, first.takes_pack) == (("anna",), ("berta",), False)
    assert resolve("berta", store) == pack.digest and store.size(keys.canary(pack.digest))
    with pytest.raises(NotFound):
        resolve("anna", store)
    last = removed("berta", ledger, store)
    assert last.takes_pack and last.size == sum(map(len, content(pack.root).values()))
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


def between(monkeypatch: pytest.MonkeyPatch, store: ObjectStore, key: str, act: Callable[[], object]) -> None:
    """Let something happen just before a key of the store is deleted for the first time."""
    real = store.delete

    def delete(deleted: str) -> None:
        if deleted == key:
            monkeypatch.setattr(store, "delete", real)
            act()
        real(deleted)

    monkeypatch.setattr(store, "delete", delete)


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


def test_rm_removes_nothing_when_redis_does_not_answer(pack: Pack, store: ObjectStore) -> None:
    for name in ("anna", "berta"):
        publish(pack, store, name)
    before = everything(store)
    for ref in ("anna", pack.digest):
        with pytest.raises(Unreachable):
            answer("rm", ref, "--yes")
    assert everything(store) == before


# --- consent -----------------------------------------------------------------------------------------------------


def test_a_consent_is_given_at_import_shown_and_renewed(
    store: ObjectStore, settings: Settings, networks: tuple[Path, Path], tmp_path: Path
) -> None:
    source = training_folder(tmp_path / "source")
    (tmp_path / "form.pdf").write_bytes(b"signed")
    record = tmp_path / "consent.json"
    fields = {"subject": "Anna Example", "scope": "tests", "expires": "2020-02-29", "evidence": "form.pdf"}
    record.write_text(json.dumps(fields))
    options = ["--name", "anna", "--generator", networks[0], "--audio-encoder", networks[1], "--licence", "mine"]
    first = answer("import", source, *options, "--consent", record)
    assert answer("import", source, *options, "--consent", record)["digest"] == first["digest"]
    shown = answer("show", "anna")
    assert shown["consent"]["expires"] == "2020-02-29" and "ended on 2020-02-29" in shown["consent_problem"]
    assert [finding.sentence for finding in told(check("anna", settings))] == [shown["consent_problem"]]

    pulled = answer("pull", "anna", "--to", tmp_path / "pulled")["folder"]
    record.write_text(json.dumps(fields | {"expires": None}))
    second = answer("import", pulled, "--name", "anna", "--consent", record)
    assert second["digest"] != first["digest"] and resolve("anna", store) == second["digest"]
    assert answer("show", "anna")["consent_problem"] is None
    assert told(check("anna", settings)) == []


def test_a_wrong_record_is_refused_before_any_work(tmp_path: Path, store: ObjectStore) -> None:
    record = tmp_path / "consent.json"
    record.write_text('{"subject": "Anna Example"}')
    with pytest.raises(Rejected, match="scope is missing"):
        answer("import", training_folder(tmp_path / "source"), "--name", "anna", "--consent", record)
    assert everything(store) == {}


def test_checking_warns_of_a_missing_consent_only_where_one_is_required(
    pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    root = copy_pack(pack, tmp_path / "shown").root
    shown = pack.spec.model_copy(update={"provenance": Provenance(layout="server")})
    (root / AVATAR_JSON).write_bytes(shown.to_bytes())
    assert told(check(root, settings)) == []
    required = settings.model_copy(update={"require_consent": True})
    (finding,) = told(check(root, required))
    assert finding.level == "warning" and "no consent" in finding.sentence
    assert told(check(pack.root, required)) == []
