"""Avatars move between this machine and the store whole or not at all, and say everything about themselves."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner
from ulid import ULID

from infra.errors import Failed, LipsyncError, NotFound, Rejected, Transient
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.avatar_spec import AVATAR_JSON, GENERATOR_FILE, Consent, Provenance
from jobs.avatars import list_avatars, point, resolve
from jobs.ledger import JobTicket
from jobs.states import JobState
from tests.avatar_commands import answer, content, everything, text
from tests.avatar_sources import HEIGHT, WIDTH, told, training_folder
from tests.servers import free_port
from workers.avatar.cache import Shelf, cached_pack, fetch_pack
from workers.avatar.checking import check
from workers.avatar.commands import avatar_app
from workers.avatar.copying import copy_pack, resealed
from workers.avatar.demo import DEMO, demo_pack, publish_demo
from workers.avatar.pack import Pack, open_pack, publish

pytestmark = pytest.mark.usefixtures("environment")
CONSENT = Consent(subject="Anna Example", scope="tests", expires=None, evidence="e" * 64)


# --- push and pull -----------------------------------------------------------------------------------------------


def test_a_pack_travels_from_a_folder_to_the_store_to_a_cache_and_to_another_store(
    pack: Pack, store: ObjectStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = answer("push", pack.root, "--name", "anna")
    assert (pushed["name"], pushed["digest"]) == ("anna", pack.digest)
    assert store.size(keys.canary(pack.digest))
    stored = everything(store)

    pulled = answer("pull", "anna")
    assert pulled == {"digest": pack.digest, "folder": str(Shelf(settings.cache, pack.digest).pack), "fetched": True}
    assert answer("pull", "anna")["fetched"] is False
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
    for folder in (tmp_path / "target" / "new", tmp_path / "target"):
        copied.clear()
        with pytest.raises((Failed, KeyboardInterrupt)):
            copy_pack(pack, folder)
        assert len(copied) == 2 and sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_stays_the_folder_it_is_and_becomes_a_pack_with_its_last_file(
    pack: Pack, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pack, store, "anna")
    here = tmp_path / "here"
    here.mkdir()
    here.chmod(0o750)
    before = here.stat()
    monkeypatch.chdir(here)
    moved: list[str] = []
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        assert not (here / AVATAR_JSON).exists()
        moved.append(target.name)
        return real(self, target)

    fetch_pack(store, pack.digest, tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        answer("pull", "anna", "--to", ".")
    after = Path.cwd().stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before.st_ino, 0o750)
    assert content(Path.cwd()) == content(pack.root)
    assert moved[-1] == AVATAR_JSON and len(moved) == 4


def test_an_avatar_that_lost_its_canary_while_it_was_published_is_no_success(
    pack: Pack, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary is stored, a whole removal comes in between, and then the pack is."""
    real = type(store).put_file

    def put_file(self: ObjectStore, key: str, path: Path) -> None:
        self.delete(keys.canary(pack.digest))
        real(self, key, path)

    monkeypatch.setattr(type(store), "put_file", put_file)
    with pytest.raises(Transient, match=r"was removed from .* while it was published"):
        answer("push", pack.root, "--name", "anna")
    monkeypatch.undo()


# --- the record of checkpoints ------------------------------------------------------------------------------------


def of_checkpoints(pack: Pack, root: Path) -> tuple[Pack, bytes]:
    """A pack that says that its generator was made of a checkpoint, and the record of what was measured then."""
    copy_pack(pack, root)
    provenance = Provenance(layout="synthetic", checkpoints={GENERATOR_FILE: "c" * 64})
    (root / AVATAR_JSON).write_bytes(pack.spec.model_copy(update={"provenance": provenance}).to_bytes())
    export = {"network": GENERATOR_FILE, "checkpoint": "c" * 64, "difference": 1e-7}
    return open_pack(root), json.dumps({"exports": [export]}).encode()


def test_what_was_measured_travels_with_a_pack_and_into_one_with_a_new_consent(
    pack: Pack, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, record = of_checkpoints(pack, tmp_path / "made")
    publish(made, store, "anna", {keys.exports(made.digest): record})
    answer("pull", "anna", "--to", tmp_path / "pulled")
    monkeypatch.setenv("LIPSYNC_STORE", (tmp_path / "elsewhere").as_uri())
    pushed = answer("push", tmp_path / "pulled", "--name", "anna")
    assert (tmp_path / "elsewhere" / keys.exports(made.digest)).read_bytes() == record
    assert pushed["exports"][0]["difference"] == 1e-7

    consent = tmp_path / "consent.json"
    consent.write_text(CONSENT.model_dump_json())
    renewed = answer("import", tmp_path / "pulled", "--name", "anna", "--consent", consent)
    assert renewed["digest"] != made.digest
    assert (tmp_path / "elsewhere" / keys.exports(renewed["digest"])).read_bytes() == record
    assert answer("show", "anna")["exports"][0]["difference"] == 1e-7


def test_a_record_of_other_checkpoints_is_not_carried_and_show_says_that_there_is_none(
    pack: Pack, store: ObjectStore, tmp_path: Path
) -> None:
    made, record = of_checkpoints(pack, tmp_path / "made")
    store.put(keys.exports(made.digest), record.replace(b"c" * 64, b"d" * 64))
    assert "exports" not in answer("push", made.root, "--name", "anna")
    store.delete(keys.exports(made.digest))
    assert "made of checkpoints, but what was measured then is stored neither here" in text("show", "anna")
    assert answer("show", "anna")["exports"] == []
    publish(pack, store, "berta")
    assert "checkpoints" not in text("show", "berta")


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


def test_damaged_and_foreign_names_are_listed_with_what_is_wrong(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    store.put(f"{keys.AVATAR_NAMES}bad.json", b"{}")
    store.put(f"{keys.AVATAR_NAMES}Foo Bar.json", b"{}")
    rows = {row["name"]: row for row in answer("list")}
    assert rows["anna"]["problem"] is None
    assert (rows["bad"]["digest"], rows["bad"]["frames"]) == (None, None)
    assert "bad.json names no avatar's digest" in rows["bad"]["problem"]
    assert "Foo Bar.json is no name of an avatar" in rows["Foo Bar"]["problem"]
    assert len(text("list").splitlines()) == 3
    assert answer("show", "anna")["names"] == ["anna"]


def test_a_name_that_goes_while_names_are_listed_is_left_out(
    pack: Pack, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "berta"):
        publish(pack, store, name)
    real = store.get

    def get(key: str) -> bytes:
        store.delete(keys.avatar_pointer("anna"))
        return real(key)

    monkeypatch.setattr(store, "get", get)
    assert dict(list_avatars(store)) == {"berta": pack.digest}


def test_text_that_others_wrote_reaches_no_terminal_raw(pack: Pack, store: ObjectStore) -> None:
    nasty = "free\x1b]0;title\x07\x9b2J\u202e\nanna forged"
    spec = pack.spec.model_copy(
        update={"licence": nasty, "provenance": Provenance(layout="synthetic", note=nasty, repairs=(nasty,))}
    )
    (pack.root / AVATAR_JSON).write_bytes(spec.to_bytes())
    publish(open_pack(pack.root), store, "anna")
    for printed in (text("list"), text("show", "anna")):
        assert all(line.isprintable() for line in printed.splitlines())
        assert r"free\x1b]0;title\x07\x9b2J\u202e\nanna forged" in printed
    assert len(text("list").splitlines()) == 1
    assert answer("list")[0]["licence"] == nasty


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

    given = resealed(pack, tmp_path / "with-consent", consent=CONSENT)
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


def test_checking_refuses_a_missing_consent_only_where_one_is_required(
    pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    root = copy_pack(pack, tmp_path / "shown").root
    shown = pack.spec.model_copy(update={"provenance": Provenance(layout="server")})
    (root / AVATAR_JSON).write_bytes(shown.to_bytes())
    assert told(check(root, settings)) == []
    required = settings.model_copy(update={"require_consent": True})
    (finding,) = told(check(root, required))
    assert finding.level == "error" and "no consent" in finding.sentence
    assert told(check(pack.root, required)) == []


def test_show_calls_a_missing_consent_a_problem_only_where_one_is_required(
    pack: Pack, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = pack.spec.model_copy(update={"provenance": Provenance(layout="server")})
    (pack.root / AVATAR_JSON).write_bytes(shown.to_bytes())
    publish(open_pack(pack.root), store, "anna")
    assert answer("show", "anna")["consent_problem"] is None
    assert "none recorded" in text("show", "anna") and "warning" not in text("show", "anna")
    monkeypatch.setenv("LIPSYNC_REQUIRE_CONSENT", "true")
    assert "warning     It carries no consent" in text("show", "anna")


# --- the demo avatar ---------------------------------------------------------------------------------------------


def test_the_demo_of_an_earlier_release_gives_its_name_to_this_one_and_a_users_avatar_keeps_it(
    pack: Pack, store: ObjectStore
) -> None:
    demo = demo_pack().digest
    mine = pack.digest
    (pack.root / AVATAR_JSON).write_bytes(
        pack.spec.model_copy(update={"provenance": Provenance(layout="drawn")}).to_bytes()
    )
    earlier = open_pack(pack.root)
    publish(earlier, store, DEMO)
    publish_demo(store)
    assert resolve(DEMO, store) == demo and store.size(keys.canary(demo))
    before = everything(store)
    publish_demo(store)
    assert everything(store) == before

    (pack.root / AVATAR_JSON).write_bytes(pack.spec.to_bytes())
    publish(open_pack(pack.root, mine), store, DEMO)
    publish_demo(store)
    assert resolve(DEMO, store) == mine

    store.put(keys.avatar_pack(mine) + AVATAR_JSON, b"{")
    publish_demo(store)
    assert resolve(DEMO, store) == mine, "what cannot be read may be a user's"
    store.delete(keys.avatar_pack(mine) + AVATAR_JSON)
    publish_demo(store)
    assert resolve(DEMO, store) == demo
    store.put(keys.avatar_pointer(DEMO), b"{}")
    publish_demo(store)
    assert resolve(DEMO, store) == demo
