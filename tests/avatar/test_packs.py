"""Packs are immutable, named, published whole or not at all, and fetched once per host."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.errors import Failed, LipsyncError, NotFound, Rejected
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.avatar_spec import AvatarSpec, read_avatar_json
from jobs.avatars import NamedAvatar, list_avatars, read_spec, resolve
from tests.avatar_sources import HEIGHT, WIDTH, told
from workers.avatar.cache import Shelf, fetch_pack, make_room
from workers.avatar.checking import check
from workers.avatar.demo import demo_pack
from workers.avatar.pack import Pack, open_pack, publish
from workers.avatar.synthetic import make_synthetic
from workers.avatar.template import open_template

FETCH = """
import sys
from pathlib import Path
from infra.object_store import open_store
from infra.settings import Settings
from workers.avatar.cache import fetch_pack

store_url, cache, digest = sys.argv[1:]
sys.stdin.readline()
pack = fetch_pack(open_store(Settings(store=store_url)), digest, Path(cache))
print(pack.root, pack.root.stat().st_ino, flush=True)
sys.stdin.readline()
"""


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def another(tmp_path: Path, seed: int) -> Pack:
    folder = tmp_path / f"another-{seed}"
    folder.mkdir()
    return make_synthetic(folder, frames=2, width=WIDTH, height=HEIGHT, seed=seed, small=True)


@pytest.mark.parametrize("name", ["generator.onnx", "audio_encoder.onnx", "frames/000001.jpg"])
def test_one_changed_bit_is_found_and_its_file_named(name: str, pack: Pack) -> None:
    assert open_pack(pack.root, pack.digest).spec == pack.spec
    flip(pack.root / name)
    with pytest.raises(Failed, match=f"{name} was changed"):
        open_pack(pack.root)


def test_another_avatar_json_makes_another_pack(pack: Pack) -> None:
    changed = pack.spec.model_copy(update={"licence": "mine"})
    (pack.root / "avatar.json").write_bytes(changed.to_bytes())
    assert open_pack(pack.root).digest != pack.digest
    with pytest.raises(Failed, match=r"avatar\.json was changed"):
        open_pack(pack.root, pack.digest)


def drop_box(document: dict[str, Any]) -> None:
    document["boxes"].pop()


def move_box(document: dict[str, Any]) -> None:
    document["boxes"][1][2] = WIDTH + 1


def name_outsider(document: dict[str, Any]) -> None:
    document["files"]["../outside"] = "0" * 64


def drop_file(document: dict[str, Any]) -> None:
    del document["files"]["generator.onnx"]


def foreign_contract(document: dict[str, Any]) -> None:
    document["contract"] = 2


@pytest.mark.parametrize("edit", [drop_box, move_box, name_outsider, drop_file, foreign_contract])
def test_an_avatar_json_that_cannot_be_true_is_refused(edit: Callable[[dict[str, Any]], None], pack: Pack) -> None:
    document = json.loads(pack.spec.to_bytes())
    edit(document)
    with pytest.raises(Failed, match="usable avatar"):
        read_avatar_json(json.dumps(document).encode(), "avatar.json")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "frames/000001.jpg").unlink(), "frames/000001.jpg is missing"),
        (lambda root: (root / "extra.txt").write_text("x"), "extra.txt does not belong"),
        (lambda root: (root / "avatar.json").write_bytes(b"\xff{"), "usable avatar"),
        (lambda root: (root / "avatar.json").unlink(), "is no avatar pack"),
        (lambda root: flip(root / "generator.onnx"), "generator.onnx was changed"),
    ],
)
def test_a_damaged_pack_gets_a_sentence(damage: Callable[[Path], Any], sentence: str, pack: Pack) -> None:
    damage(pack.root)
    with pytest.raises(LipsyncError) as refused:
        open_pack(pack.root)
    assert sentence in str(refused.value)


def test_checking_a_pack_names_every_damaged_file(pack: Pack, settings: Settings) -> None:
    assert told(check(pack.root, settings)) == []
    flip(pack.root / "generator.onnx")
    (pack.root / "frames/000002.jpg").unlink()
    findings = check(str(pack.root), settings)
    assert [finding.level for finding in findings] == ["error", "error"]
    assert "000002.jpg is missing" in findings[0].sentence
    assert "generator.onnx was changed" in findings[1].sentence


def test_checking_finds_a_stored_avatar_by_name_and_says_when_there_is_none(
    pack: Pack, settings: Settings, store: ObjectStore
) -> None:
    publish(pack, store, "anna")
    assert told(check("anna", settings, store)) == []
    (finding,) = check("berta", settings, store)
    assert finding.level == "error"
    assert "it holds anna" in finding.sentence


def test_a_published_avatar_is_found_by_name_digest_and_first_digits(pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    for ref in ("anna", pack.digest, pack.digest[:8], pack.digest[:63]):
        assert resolve(ref, store) == pack.digest
    assert list_avatars(store) == [NamedAvatar("anna", pack.digest)]
    assert read_spec(store, pack.digest) == pack.spec


def test_publishing_twice_changes_nothing_and_a_name_can_be_given_again(
    pack: Pack, store: ObjectStore, tmp_path: Path
) -> None:
    publish(pack, store, "anna")
    before = list(store.list(""))
    publish(pack, store, "anna")
    assert list(store.list("")) == before
    later = another(tmp_path, 1)
    publish(later, store, "anna")
    assert resolve("anna", store) == later.digest
    assert resolve(pack.digest, store) == pack.digest


def test_publishing_again_restores_what_the_store_lost(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    store.delete(keys.avatar_pack(pack.digest) + "generator.onnx")
    with pytest.raises(Failed, match="is not whole"):
        fetch_pack(store, pack.digest, tmp_path / "cache")
    publish(pack, store, "anna")
    assert fetch_pack(store, pack.digest, tmp_path / "cache").digest == pack.digest


def test_a_half_uploaded_pack_is_no_pack(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    prefix = keys.avatar_pack(pack.digest)
    for name in pack.spec.files:
        store.put_file(prefix + name, pack.root / name)
    for attempt in (lambda: resolve(pack.digest, store), lambda: fetch_pack(store, pack.digest, tmp_path / "cache")):
        with pytest.raises(NotFound, match="holds none yet"):
            attempt()


@pytest.mark.parametrize("ref", ["berta", "0" * 8, "0" * 64])
def test_an_unknown_avatar_is_answered_with_the_known_ones(ref: str, pack: Pack, store: ObjectStore) -> None:
    publish(pack, store, "anna")
    with pytest.raises(NotFound, match="it holds anna"):
        resolve(ref, store)


def test_first_digits_that_fit_two_avatars_are_refused(pack: Pack, store: ObjectStore) -> None:
    twins = [f"{'ab' * 4}{number:056x}" for number in (1, 2)]
    for digest in twins:
        store.put(f"{keys.avatar_pack(digest)}avatar.json", b"{}")
    with pytest.raises(Rejected, match="give more digits"):
        resolve("ab" * 4, store)


def test_a_damaged_name_and_a_swapped_avatar_json_are_failures(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    store.put(keys.avatar_pointer("anna"), b'{"digest": "../x"}')
    with pytest.raises(Failed, match="names no avatar's digest"):
        resolve("anna", store)
    store.put(f"{keys.avatar_pack(pack.digest)}avatar.json", another(tmp_path, 1).spec.to_bytes())
    with pytest.raises(Failed, match="is not the one of avatar"):
        read_spec(store, pack.digest)


def test_a_pack_damaged_in_the_store_is_refused_by_the_name_of_its_file(
    pack: Pack, store: ObjectStore, tmp_path: Path
) -> None:
    publish(pack, store, "anna")
    store.put(f"{keys.avatar_pack(pack.digest)}generator.onnx", b"changed")
    with pytest.raises(Failed, match=r"is damaged there.*generator\.onnx was changed"):
        fetch_pack(store, pack.digest, tmp_path / "cache")


def test_two_processes_fetch_one_avatar_once(pack: Pack, store: ObjectStore, settings: Settings) -> None:
    publish(pack, store, "anna")
    cache = settings.cache
    root = cache / "avatars" / pack.digest / "pack"
    command = [sys.executable, "-c", FETCH, settings.store_url, str(cache), pack.digest]
    repository, pipe = Path(__file__).parents[2], subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=repository) for _ in range(2)]
    inputs = [process.stdin for process in processes if process.stdin]
    outputs = [process.stdout for process in processes if process.stdout]
    try:
        for stream in inputs:
            print(file=stream, flush=True)
        answers = [stream.readline().split() for stream in outputs]
        # A second download would have put another folder, with another inode, in the place of the first.
        assert answers == [[str(root), str(root.stat().st_ino)]] * 2
        assert [path.name for path in root.parent.iterdir()] == ["pack"]
        make_room(cache, 0)
        assert root.exists(), "an avatar in use must stay"
    finally:
        for process in processes:
            process.communicate("\n", timeout=30)
    assert [process.returncode for process in processes] == [0, 0]
    make_room(cache, 0)
    assert not root.exists(), "an avatar that nobody uses any more may go"


def test_a_damaged_cached_pack_is_fetched_again(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    cached = fetch_pack(store, pack.digest, tmp_path / "cache")
    flip(cached.generator)
    assert open_pack(fetch_pack(store, pack.digest, tmp_path / "cache").root, pack.digest)


def test_what_a_killed_fetch_left_behind_is_cleared_away(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    left = tmp_path / "cache" / "avatars" / pack.digest / "unfinished" / "frames"
    left.mkdir(parents=True)
    (left / "000000.jpg").write_bytes(b"half")
    assert fetch_pack(store, pack.digest, tmp_path / "cache").spec == pack.spec
    assert not left.exists()


def test_the_least_recently_used_avatars_leave_first_and_none_in_use(store: ObjectStore, tmp_path: Path) -> None:
    cache, packs = tmp_path / "cache", [another(tmp_path, seed) for seed in range(3)]
    for number, made in enumerate(packs):
        publish(made, store, f"avatar-{number}")
    homes = [Shelf(cache, made.digest).home for made in packs]
    held = fetch_pack(store, packs[0].digest, cache)  # the oldest, but in use
    for number in (1, 2):
        fetch_pack(store, packs[number].digest, cache)
    os.utime(homes[2], (0, 0))  # so that number 2 is the least recently used; file systems' clocks are coarse
    size_mb = sum(path.stat().st_size for path in homes[0].rglob("*") if path.is_file()) / 1e6
    make_room(cache, 1, needed_bytes=round(1e6 - 2.5 * size_mb * 1e6))  # room for two and a half
    assert [home.exists() for home in homes] == [True, True, False]
    make_room(cache, 0)
    assert [home.exists() for home in homes] == [True, False, False]
    assert open_pack(held.root, held.digest)


def test_a_template_that_cannot_fit_into_the_cache_is_refused_before_decoding(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="LIPSYNC_CACHE_DISK_MB allows 0"):
        open_template(pack, tmp_path / "cache", disk_mb=0)


def test_a_cache_that_cannot_be_written_gets_a_sentence(pack: Pack, store: ObjectStore, tmp_path: Path) -> None:
    publish(pack, store, "anna")
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(Failed, match="cache of avatar"):
        fetch_pack(store, pack.digest, tmp_path / "cache")


def test_the_demo_pack_ships_whole(settings: Settings) -> None:
    pack = demo_pack()
    assert (pack.spec.frame_count, pack.spec.licence) == (100, "Apache-2.0")
    assert told(check(pack.root, settings)) == []


def test_avatar_json_reads_back_as_it_was_written(pack: Pack) -> None:
    data = (pack.root / "avatar.json").read_bytes()
    assert read_avatar_json(data, "avatar.json") == (pack.spec, pack.digest)
    assert AvatarSpec.model_validate_json(data).to_bytes() == data
