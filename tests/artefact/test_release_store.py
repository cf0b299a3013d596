"""Releases in the store: whole or not there, found by what people call them, fetched with a plain GET."""

import hashlib
import json
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from infra.errors import Damaged, NotFound, Rejected
from infra.object_store import ObjectStore
from infra.release_record import ReleaseFile, ReleaseRecord, record_json
from jobs import keys, release_store
from jobs.cli import main


def make(folder: Path, version: str = "1.2", variant: str = "cpu", content: bytes = b"content") -> Path:
    """Files of a release, as a build leaves them; what is in them does not matter to a store."""
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(content + version.encode() + variant.encode()).hexdigest()
    stem = f"lipsync-{version}-{variant}-linux-x86_64"
    files = {}
    for form, ending in (("squashfs", "squashfs"), ("tar.zst", "tar.zst"), ("bom", "bom.json")):
        data = content + form.encode()
        (folder / f"{stem}.{ending}").write_bytes(data)
        files[form] = ReleaseFile(
            name=f"{stem}.{ending}", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)
        ).model_dump()
    record = ReleaseRecord.model_validate(
        {
            "id": digest[:16],
            "tree_sha256": digest,
            "version": version,
            "variant": variant,
            "machine": "x86_64",
            "python": "3.11.2",
            "glibc": "2.36",
            "tree_bytes": 12,
            "files": files,
        }
    )
    path = folder / f"{stem}.release.json"
    path.write_bytes(record_json(record))
    return path


def keys_of(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list("")]


def test_what_is_pushed_is_there_whole_and_once(store: ObjectStore, tmp_path: Path) -> None:
    path = make(tmp_path)
    record = release_store.push(path, store)
    place = f"releases/{record.id}/"
    assert keys_of(store) == [
        f"{place}bom.json",
        f"{place}lipsync.squashfs",
        f"{place}lipsync.tar.zst",
        f"{place}release.json",
    ]
    assert release_store.push(path, store) == record
    assert release_store.releases(store) == [record]
    assert len(keys_of(store)) == 4


def test_a_plain_get_of_the_address_gives_the_bytes(store: ObjectStore, tmp_path: Path) -> None:
    release_store.push(make(tmp_path), store)
    for form in ("squashfs", "tar.zst"):
        found = release_store.address(release_store.find("1.2-cpu", store), form, 60, store)
        with build_opener(ProxyHandler({})).open(found.url, timeout=20) as answer:
            data = answer.read()
        assert hashlib.sha256(data).hexdigest() == found.file.sha256
        assert len(data) == found.file.bytes


@pytest.mark.parametrize("form", ["squashfs", "tar.zst", "bom"])
def test_a_file_that_was_changed_is_not_pushed_and_the_release_is_not_there(
    store: ObjectStore, tmp_path: Path, form: str
) -> None:
    path = make(tmp_path)
    record = release_store.read_record(path)
    (tmp_path / record.files[form].name).write_bytes(b"something else")  # type: ignore[index]
    with pytest.raises(Damaged, match="build the release again"):
        release_store.push(path, store)
    assert release_store.releases(store) == []
    assert keys.release_file(record.id, form) not in keys_of(store)


def test_what_broke_off_is_no_release_and_is_pushed_again(store: ObjectStore, tmp_path: Path) -> None:
    path = make(tmp_path)
    record = release_store.push(path, store)
    store.delete(keys.release_record(record.id))
    assert release_store.releases(store) == []
    with pytest.raises(NotFound, match="push one"):
        release_store.find(record.id, store)
    store.delete(keys.release_file(record.id, "squashfs"))
    release_store.push(path, store)
    assert release_store.releases(store) == [record]
    assert len(keys_of(store)) == 4


def test_a_release_that_lost_a_file_is_pushed_again(store: ObjectStore, tmp_path: Path) -> None:
    path = make(tmp_path)
    record = release_store.push(path, store)
    store.put(keys.release_file(record.id, "squashfs"), b"cut off")
    release_store.push(path, store)
    assert store.size(keys.release_file(record.id, "squashfs")) == record.files["squashfs"].bytes


def test_releases_are_found_by_what_people_call_them(store: ObjectStore, tmp_path: Path) -> None:
    one = release_store.push(make(tmp_path / "a", "1.2+one"), store)
    two = release_store.push(make(tmp_path / "b", "1.2+one", "gpu"), store)
    for ref in (one.id, one.id[:8], "1.2+one-cpu"):
        assert release_store.find(ref, store) == one
    assert release_store.find("1.2+one-gpu", store) == two
    for ref in (one.id[:7], "1.2+one", "cpu", "0" * 16, ""):
        with pytest.raises(NotFound, match=f"there are {one.id} \\(1.2\\+one-cpu\\), {two.id}"):
            release_store.find(ref, store)
    again = release_store.push(make(tmp_path / "c", "1.2+one", content=b"another tree"), store)
    with pytest.raises(Rejected, match="name the id") as caught:
        release_store.find("1.2+one-cpu", store)
    assert one.id in str(caught.value)
    assert again.id in str(caught.value)


def test_removing_takes_all_of_one_release_and_what_is_left_of_another(store: ObjectStore, tmp_path: Path) -> None:
    one = release_store.push(make(tmp_path / "a", "1.2"), store)
    two = release_store.push(make(tmp_path / "b", "1.3"), store)
    size = sum(file.bytes for file in one.files.values())
    found, removed = release_store.remove("1.2-cpu", store)
    assert found == one.id
    assert removed > size
    assert release_store.releases(store) == [two]
    store.delete(keys.release_record(two.id))
    assert release_store.remove(two.id, store)[0] == two.id
    assert keys_of(store) == []
    with pytest.raises(NotFound):
        release_store.remove(two.id, store)


def test_what_stands_among_releases_and_is_none_is_passed_over(store: ObjectStore, tmp_path: Path) -> None:
    record = release_store.push(make(tmp_path), store)
    store.put("releases/readme", b"x")
    store.put(keys.release_record("0" * 16), b"{}")
    assert release_store.releases(store) == [record]


def run(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["release", *arguments])
    printed = capfd.readouterr()
    assert (caught.value.code or 0) == code, printed
    return printed.err if code else printed.out


def test_the_commands_print_what_playbooks_and_people_read(
    store: ObjectStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert "There are no releases" in run(capfd, "list")
    record = release_store.read_record(path)
    assert run(capfd, "push", str(path)) == f"{record.id}\n"
    assert [one["id"] for one in json.loads(run(capfd, "list", "--json"))] == [record.id]
    assert run(capfd, "list").startswith(f"{record.id}  1.2-cpu")
    shown = json.loads(run(capfd, "show", record.id[:8], "--json"))
    assert (shown["schema"], shown["files"]["bom"]["name"]) == (1, path.name.replace(".release.", ".bom."))
    assert "glibc 2.36 or newer" in run(capfd, "show", "1.2-cpu")
    address = json.loads(run(capfd, "url", "1.2-cpu", "--form", "tar.zst", "--valid", "60", "--json"))
    assert sorted(address) == ["bytes", "form", "id", "sha256", "url", "variant", "version"]
    assert address["url"].split(":")[0] in {"file", "http"}
    assert "choose 1 to 604800" in run(capfd, "url", "1.2-cpu", "--valid", "604801", code=2)
    assert json.loads(run(capfd, "rm", record.id, "--json"))["id"] == record.id
    assert "There is no release" in run(capfd, "show", record.id, code=2)


def test_a_file_that_is_no_record_is_refused(
    store: ObjectStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_text('{"schema": 1}')
    assert "does not describe a release" in run(capfd, "push", str(tmp_path / "x"), code=2)
    assert "There is no file" in run(capfd, "push", str(tmp_path / "y"), code=2)
    assert keys_of(store) == []
