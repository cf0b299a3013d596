"""One contract, kept by every store; then what only the one or the other kind can meet."""

import errno
import hashlib
import os
import resource
import socket
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import botocore.compat
import pytest

from infra.errors import Failed, NotFound, Rejected, Transient, Unreachable
from infra.object_store import MAX_VALID_S, ObjectStore, open_store
from infra.settings import Settings
from infra.store_directory import DirectoryStore
from infra.store_s3 import S3Store
from tests.servers import S3Server, free_port

MIB = 1 << 20
HOSTILE = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".a", "a/.b", "a\\b", "a\0b", "a\nb"]
HOSTILE += ["x" * 256, "/".join(["y" * 200] * 6), "a\ud800b"]
FRIENDLY = ["a", "a/b.c", "jobs/01/segments/000000-1.mp4", "a b/ü 漢字 😀/100%+&=?#.txt", "a..b/c.", "x" * 255]


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


# --- the contract ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", FRIENDLY)
def test_what_was_put_comes_back(store: ObjectStore, key: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5
    store.put(key, data)
    assert store.get(key) == data
    assert store.size(key) == len(data)
    assert list(store.list("")) == [(key, len(data))]
    store.get_file(key, tmp_path / "new directory" / "copy")
    assert (tmp_path / "new directory" / "copy").read_bytes() == data
    assert list((tmp_path / "new directory").iterdir()) == [tmp_path / "new directory" / "copy"]


@pytest.mark.parametrize("data", [b"", b"x"])
def test_the_smallest_objects_are_objects(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(data)
    store.put("put", data)
    store.put_file("file", tmp_path / "source")
    assert store.put_stream("stream", iter([data])) == len(data)
    assert [store.get(key) for key in keys(store)] == [data] * 3
    store.get_file("put", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_put_replaces_and_delete_may_be_repeated(store: ObjectStore) -> None:
    store.put("a/b", b"old and long")
    store.put("a/b", b"new")
    assert store.get("a/b") == b"new"
    for _ in range(2):
        store.delete("a/b")
        assert store.size("a/b") is None
    assert keys(store) == []


def test_what_is_absent_is_said_to_be(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a/b", b"x")
    for key in ("c", "a", "a/b/c"):
        assert store.size(key) is None
        for call in (
            partial(store.get, key),
            partial(store.get_range, key, 0, 1),
            partial(store.get_range, key, 0, 0),
            partial(store.get_file, key, tmp_path / "copy"),
        ):
            with pytest.raises(NotFound, match=f"{key}."):
                call()
        store.delete(key)
    assert list(tmp_path.glob("copy*")) == []
    assert keys(store) == ["a/b"]
    assert keys(store, "nothing/") == []


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 1000), (1, 17), (999, 1000), (500, 500), (1000, 1000)])
def test_a_range_is_exact(store: ObjectStore, start: int, stop: int) -> None:
    data = os.urandom(1000)
    store.put("a", data)
    assert store.get_range("a", start, stop) == data[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(0, 1001), (999, 1001), (1000, 1001), (5000, 6000)])
def test_a_range_beyond_the_end_fails(store: ObjectStore, start: int, stop: int) -> None:
    store.put("a", bytes(1000))
    with pytest.raises(Failed, match="the object is shorter than expected"):
        store.get_range("a", start, stop)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4)])
def test_a_range_that_is_none_is_refused(store: ObjectStore, start: int, stop: int) -> None:
    with pytest.raises(Rejected):
        store.get_range("a", start, stop)


def test_hostile_keys_are_refused_by_every_method(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for key in HOSTILE:
        for call in (
            partial(store.put, key, b"x"),
            partial(store.put_file, key, source),
            partial(store.put_stream, key, [b"x"]),
            partial(store.get, key),
            partial(store.get_range, key, 0, 1),
            partial(store.get_range, key, 0, 0),
            partial(store.get_file, key, tmp_path / "copy"),
            partial(store.size, key),
            partial(store.delete, key),
            partial(store.location, key),
            partial(store.download_url, key, 60),
        ):
            with pytest.raises(Rejected):
                call()
    assert sorted(path.name for path in tmp_path.iterdir()) in (["source"], ["a store", "source"])
    assert keys(store) == []


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a/../", "\\"])
def test_hostile_prefixes_are_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(Rejected):
        keys(store, prefix)
    with pytest.raises(Rejected):
        store.delete_prefix(prefix)


def test_a_listing_is_sorted_by_whole_keys_and_spans_pages(store: ObjectStore) -> None:
    names = ["a", "a-b", "a.b", "a/a", "a/b/c", "a/b.c", "aa/x", "b", "Z", "ä", "😀", "\uffee"]
    names.remove("a")  # a directory cannot hold both a and a/a
    for name in reversed(names):
        store.put(name, name.encode())
    if isinstance(store, S3Store):
        store.page_keys = 2
    assert list(store.list("")) == [(name, len(name.encode())) for name in sorted(names)]
    assert keys(store, "a/") == ["a/a", "a/b.c", "a/b/c"]
    assert keys(store, "a/b") == ["a/b.c", "a/b/c"]
    assert keys(store, "a") == [name for name in sorted(names) if name.startswith("a")]
    assert keys(store, "a/b.c/") == []


def test_a_prefix_is_deleted_without_its_neighbours(store: ObjectStore) -> None:
    for name in ("jobs/1/a", "jobs/1/b/c", "jobs/1/b/d", "jobs/1/e", "jobs/10/a", "jobs/1.x"):
        store.put(name, b"x")
    if isinstance(store, S3Store):
        store.page_keys = 2
    for _ in range(2):
        store.delete_prefix("jobs/1/")
        assert keys(store) == ["jobs/1.x", "jobs/10/a"]
    for prefix in ("", "jobs/1"):
        with pytest.raises(Rejected, match="slash"):
            store.delete_prefix(prefix)
    store.delete_prefix("jobs/")
    assert keys(store) == []


def test_a_long_stream_arrives_whole(store: ObjectStore, tmp_path: Path) -> None:
    """40 MB in blocks that fit no part."""
    digest = hashlib.sha256()
    pattern = os.urandom(100_000)

    def blocks() -> Iterator[bytes]:
        for index in range(400):
            block = index.to_bytes(4, "big") + pattern[4:]
            digest.update(block)
            yield block

    assert store.put_stream("long", blocks()) == store.size("long") == 40_000_000
    store.get_file("long", tmp_path / "copy")
    with (tmp_path / "copy").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    assert (
        store.get_range("long", 8 * MIB - 3, 8 * MIB + 3) == (tmp_path / "copy").read_bytes()[8 * MIB - 3 : 8 * MIB + 3]
    )
    store.put_file("again", tmp_path / "copy")
    assert hashlib.sha256(store.get("again")).digest() == digest.digest()


def test_a_stream_takes_constant_memory(store: ObjectStore) -> None:
    """96 MiB, twelve parts, of which five may exist at one time: four under way and the next one."""
    tracemalloc.start()
    try:
        store.put_stream("long", (bytes(MIB) for _ in range(96)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * MIB


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1])
def test_streams_about_one_part_long_arrive_whole(store: ObjectStore, size: int) -> None:
    data = bytes(size - 1) + b"x"
    assert store.put_stream("a", [data]) == size
    assert store.get("a") == data


class Interrupted(BaseException):
    """As an interrupt from the keyboard or a task's time limit is: no `Exception`."""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "not the store's"), KeyError("own"), Interrupted()])
@pytest.mark.parametrize("size", [0, 1000, 20 * MIB])
def test_a_stream_that_breaks_leaves_nothing_behind(store: ObjectStore, size: int, error: BaseException) -> None:
    def blocks() -> Iterator[bytes]:
        assert threading.current_thread() is threading.main_thread()
        yield from [bytes(1 * MIB)] * (size // MIB) or [bytes(size)]
        raise error

    with pytest.raises(type(error)) as caught:
        store.put_stream("a/b", blocks())
    assert caught.value is error
    assert store.size("a/b") is None
    assert keys(store) == []
    assert leftovers(store) == []
    store.put("a/b", b"old")
    with pytest.raises(type(error)):
        store.put_stream("a/b", blocks())
    assert store.get("a/b") == b"old"


def leftovers(store: ObjectStore) -> list[Any]:
    """What the store holds beside objects: files under way, uploads in parts that nobody ended."""
    if isinstance(store, DirectoryStore):
        root = Path(store.location("x")).parent
        return [path for path in root.rglob("*") if path.is_dir() or path.name.startswith(".")]
    assert isinstance(store, S3Store)
    return list(store._client.list_multipart_uploads(Bucket=store._bucket).get("Uploads", []))


def test_an_unfinished_put_is_seen_by_nobody(store: ObjectStore) -> None:
    seen = []

    def blocks() -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(MIB)
            seen.append((keys(store), store.size("a")))

    store.put_stream("a", blocks())
    assert seen == [([], None)] * 10
    assert keys(store) == ["a"]


def test_of_two_writers_one_wins_whole_and_readers_see_no_mixture(store: ObjectStore) -> None:
    versions = [bytes([number]) * 200_000 for number in (1, 2)]
    store.put("a/b", versions[0])
    done = threading.Event()

    def read() -> set[bytes]:
        found = set()
        while not done.is_set():
            found.add(store.get("a/b"))
        return found

    def write(version: bytes) -> None:
        for _ in range(10):
            store.put("a/b", version)

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(write, version) for version in versions]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert reader.result() <= set(versions)
    assert store.get("a/b") in versions
    assert leftovers(store) in ([], [Path(store.location("a/b")).parent])


def test_check_passes_and_leaves_nothing(store: ObjectStore) -> None:
    store.check()
    assert keys(store) == []
    assert leftovers(store) == []


def test_locations_and_addresses_are_what_a_person_opens(store: ObjectStore) -> None:
    assert repr(store).count(store.url) == 1
    location = store.location("a b/c")
    if isinstance(store, DirectoryStore):
        store.put("a b/c", b"x")
        assert Path(location).is_absolute()
        assert Path(location).read_bytes() == b"x"
        assert store.url.startswith("file:///")
    else:
        assert location == f"{store.url}/a b/c"


@pytest.mark.parametrize("key", [key for key in FRIENDLY if len(key) < 200])
def test_a_plain_get_of_an_address_gives_the_bytes_and_needs_no_credentials(
    store: ObjectStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(key, b"some bytes")
    address = store.download_url(key, 60)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with build_opener(ProxyHandler({})).open(address, timeout=20) as answer:
        assert answer.read() == b"some bytes"


@pytest.mark.parametrize("valid_s", [0, -1, MAX_VALID_S + 1])
def test_an_address_for_no_time_or_too_long_is_refused(store: ObjectStore, valid_s: int) -> None:
    store.download_url("a", MAX_VALID_S)
    with pytest.raises(Rejected, match=f"cannot be valid for {valid_s} s"):
        store.download_url("a", valid_s)


def test_an_address_is_signed_for_its_object_and_time_alone(s3: S3Server) -> None:
    """What a host was given opens nothing else; a changed address is refused by a server that checks signatures."""
    store = open_store(s3.settings())
    store.put("a", b"x")
    store.put("b", b"y")
    address = store.download_url("a", 60)
    assert "X-Amz-Expires=60&" in address
    assert s3.secret_key not in address
    if s3.access_key == "moto":
        pytest.skip("moto accepts any signature")
    for changed in (address.replace("/a?", "/b?"), address.replace("X-Amz-Expires=60&", "X-Amz-Expires=600&")):
        with pytest.raises(HTTPError, match="403"):
            build_opener(ProxyHandler({})).open(changed, timeout=20)


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://host/SECRET",
        "/SECRET/dir",
        "file://SECRET/dir",
        "s3:///SECRET",
        "s3://SECRET:SECRET@bucket/x",
        "s3://bucket:9000/SECRET",
        "s3://bucket/x?key=SECRET",
        "s3://bucket/../x",
        "s3://[SECRET/x",
    ],
)
def test_a_bad_address_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(Rejected) as caught:
        open_store(Settings(store=address))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("more", [{"s3_endpoint": "no address"}, {"s3_ca_bundle": "/no/such/file"}])
def test_settings_of_s3_that_cannot_be_used_are_refused(more: dict[str, str]) -> None:
    with pytest.raises(Rejected, match="LIPSYNC_S3_"):
        open_store(Settings.model_validate({"store": "s3://bucket", **more}))


# --- directories -------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def directory(root: Path) -> ObjectStore:
    return open_store(Settings(store=root.as_uri()))


def test_a_directory_keeps_no_empty_directories(directory: ObjectStore, root: Path) -> None:
    for name in ("a/b/c/d", "a/b/e", "f/g"):
        directory.put(name, b"x")
    directory.delete("a/b/c/d")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["a", "a/b", "a/b/e", "f", "f/g"]
    directory.delete_prefix("a/")
    directory.delete("f/g")
    assert list(root.rglob("*")) == []


def test_files_that_no_key_may_name_are_never_listed(directory: ObjectStore, root: Path, tmp_path: Path) -> None:
    directory.put("a/b", b"x")
    for name in (".hidden", "a/.hidden", "a/back\\slash", os.fsdecode(b"a/\xff")):
        (root / name).write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c").write_bytes(b"x")
    (root / "link").symlink_to(tmp_path / "outside")
    assert keys(directory) == ["a/b"]


def test_putting_and_deleting_neighbours_at_once_loses_nothing(directory: ObjectStore) -> None:
    """A delete removes the directory that it empties, at the moment in which a put needs it."""

    def put_and_delete(name: str) -> None:
        for _ in range(200):
            directory.put(f"a/b/{name}", b"x")
            assert directory.get(f"a/b/{name}") == b"x"
            directory.delete(f"a/b/{name}")

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(put_and_delete, str(number)) for number in range(4)]:
            future.result()
    assert keys(directory) == []


def test_check_removes_only_what_was_abandoned(directory: ObjectStore, root: Path) -> None:
    directory.put("a", b"x")
    old, fresh = root / ".unfinished-old", root / ".unfinished-fresh"
    for path in (old, fresh):
        path.write_bytes(b"x")
    day_and_hour = time.time() - 25 * 3600
    os.utime(old, (day_and_hour, day_and_hour))
    os.utime(root / "a", (day_and_hour, day_and_hour))
    directory.check()
    assert sorted(path.name for path in root.iterdir()) == [".unfinished-fresh", "a"]


@pytest.mark.parametrize("key", ["a/b/c", "a"])
def test_an_object_where_a_directory_is_needed_fails_in_one_sentence(directory: ObjectStore, key: str) -> None:
    directory.put("a/b", b"x")
    with pytest.raises(Failed, match="already stands"):
        directory.put(key, b"y")
    assert list(directory.list("")) == [("a/b", 1)]
    assert leftovers(directory) == [Path(directory.location("a"))]


@pytest.fixture
def read_only(root: Path) -> Iterator[Path]:
    """A directory that even root may not write to: a read-only mount; its bare permissions for others."""
    root.mkdir()
    if os.geteuid() != 0:
        root.chmod(0o500)
        yield root
        root.chmod(0o700)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", root], capture_output=True, check=False).returncode:
        pytest.skip("root may not mount here, and permissions do not bind root")
    yield root
    subprocess.run(["umount", root], check=True)


def test_a_directory_that_cannot_be_written_fails_in_one_sentence(directory: ObjectStore, read_only: Path) -> None:
    for call in (partial(directory.put, "a/b", b"x"), directory.check):
        with pytest.raises(Failed, match=f"{read_only}.* failed: this user may not"):
            call()
    assert keys(directory) == []


@pytest.fixture
def full(root: Path) -> Iterator[Path]:
    """A file system with room for 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    root.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], capture_output=True, check=False
    ).returncode:
        pytest.skip("root may not mount here")
    yield root
    subprocess.run(["umount", root], check=True)


def test_a_full_disk_fails_in_one_sentence_and_keeps_nothing_of_it(
    directory: ObjectStore, full: Path, tmp_path: Path
) -> None:
    directory.put("small", b"x")
    big = tmp_path / "big"
    big.write_bytes(bytes(2 * MIB))
    for call in (
        lambda: directory.put("a/big", bytes(2 * MIB)),
        lambda: directory.put_file("a/big", big),
        lambda: directory.put_stream("a/big", [bytes(1000)] * 3000),
    ):
        with pytest.raises(Failed, match="a/big failed: there is no room left"):
            call()
        assert list(full.iterdir()) == [full / "small"]
    directory.put("next", bytes(MIB // 2))


def test_a_limit_on_file_sizes_fails_in_one_sentence(directory: ObjectStore, root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(Failed, match="larger than this process or file system allows"):
            directory.put("a", bytes(2 * MIB))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(root.iterdir()) == []


# --- S3 ----------------------------------------------------------------------------------------------------------


def one_sentence(error: pytest.ExceptionInfo[Exception], bucket: str) -> None:
    text = str(error.value)
    assert repr(bucket) in text
    assert text.endswith(".")
    assert "\n" not in text
    assert not any(secret in text for secret in ("moto-secret", "swift-secret", "wrong-secret"))


def test_a_missing_bucket_fails_with_its_name(s3: S3Server, tmp_path: Path) -> None:
    store = open_store(s3.settings("no-such-bucket"))
    for call in (
        store.check,
        lambda: store.put("a", b"x"),
        lambda: store.put_stream("a", [bytes(9 * MIB)]),
        lambda: store.get("a"),
        lambda: store.get_range("a", 0, 1),
        lambda: keys(store),
    ):
        with pytest.raises(Failed, match="does not exist") as error:
            call()
        one_sentence(error, "no-such-bucket")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_fail_with_a_remedy(
    swift: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    swift.use(monkeypatch)
    bucket = swift.make_bucket()
    monkeypatch.setenv(name, "test:wrong-secret")
    store = open_store(swift.settings(bucket))
    for call in (store.check, lambda: store.put("a", b"x"), lambda: store.get_file("a", tmp_path / "copy")):
        with pytest.raises(Failed, match="credentials") as error:
            call()
        one_sentence(error, bucket)


def test_missing_credentials_fail_with_a_remedy(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    moto.use(monkeypatch)
    bucket = moto.make_bucket()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Failed, match="set AWS_ACCESS_KEY_ID") as error:
        open_store(moto.settings(bucket)).check()
    one_sentence(error, bucket)


def test_a_profile_that_does_not_exist_fails_with_a_remedy(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    moto.use(monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Failed, match="or a profile"):
        open_store(moto.settings("bucket"))


def test_a_closed_port_is_unreachable(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    moto.use(monkeypatch)
    store = open_store(moto.settings("bucket", s3_endpoint=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Unreachable, match="LIPSYNC_S3_ENDPOINT") as error:
        store.check()
    one_sentence(error, "bucket")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def test_a_server_that_never_answers_is_unreachable_within_a_bounded_wait(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    moto.use(monkeypatch)
    store = open_store(moto.settings("bucket", s3_endpoint=f"http://127.0.0.1:{silent_port}"))
    monkeypatch.setattr("infra.store_s3._CHECK_READ_TIMEOUT_S", 0.5)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="does not answer"):
        store.check()
    assert time.monotonic() - began < 10


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server that gives one answer to everything: status and body."""
    status, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answering", "kind", "text"),
    [
        ((503, b"<Error><Code>SlowDown</Code></Error>"), Transient, "busy or restarting"),
        ((500, b""), Transient, "busy or restarting"),
        ((200, b"<html>a web page</html>"), Failed, "is no S3"),
        ((404, b"<html>a web page</html>"), Failed, "does not exist; create it or correct"),
        ((418, b"<Error><Code>Teapot</Code></Error>"), Failed, "Teapot"),
        ((400, b"<Error><Code>ExpiredToken</Code></Error>"), Failed, "have expired; renew"),
    ],
    indirect=["answering"],
)
def test_other_answers_are_sorted_by_what_to_do(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch, answering: str, kind: type[Exception], text: str
) -> None:
    moto.use(monkeypatch)
    with pytest.raises(kind, match=text) as error:
        open_store(moto.settings("bucket", s3_endpoint=answering)).check()
    assert type(error.value) is kind
    one_sentence(error, "bucket")


def test_an_endpoint_without_the_expected_tls_fails_with_a_remedy(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto.use(monkeypatch)
    store = open_store(moto.settings("bucket", s3_endpoint=moto.endpoint.replace("http:", "https:")))
    with pytest.raises(Failed, match="LIPSYNC_S3_CA_BUNDLE"):
        store.check()


def test_a_wrong_clock_fails_with_a_remedy(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    swift.use(monkeypatch)
    store = open_store(swift.settings())
    now = botocore.compat.get_current_datetime
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda remove_tzinfo=True: now(remove_tzinfo) - timedelta(hours=1)
    )
    with pytest.raises(Failed, match="set the clock"):
        store.check()


def test_many_threads_may_share_one_store(s3: S3Server) -> None:
    store = open_store(s3.settings())

    def work(number: int) -> bytes:
        store.put(f"a/{number}", str(number).encode())
        return store.get(f"a/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [str(number).encode() for number in range(40)]


def test_foreign_objects_in_the_bucket_are_passed_over(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    for name in ("a/", "a/b", "a//c", ".hidden", "other"):
        s3.client().put_object(Bucket=bucket, Key=f"mine/{name}", Body=b"x")
    s3.client().put_object(Bucket=bucket, Key="mine", Body=b"x")
    assert keys(open_store(s3.settings(bucket, "mine"))) == ["a/b", "other"]
    assert keys(open_store(s3.settings(bucket, ""))) == ["mine", "mine/a/b", "mine/other"]
