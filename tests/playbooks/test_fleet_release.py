"""A release on a host, beside the one that runs: `ansible/library/fleet_release.py`."""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.playbooks.call import Answer, call
from tests.servers import wait_until

IMAGE = b"image of a release" * 200_000
ID = "22a2193244d26bc1"
PROGRAM = '#!/bin/sh\necho "$@" >>"$0.called"\necho \'{"changed": false}\'\n'


@dataclass
class Store:
    """A web server that gives what each request asks it to.

    Attributes:
        address: where it is reached.
        answers: status, length that it promises, and body, one for each request; the last repeats.
        asked: how often it was asked.
    """

    address: str = ""
    answers: list[tuple[int, int, bytes]] = field(default_factory=lambda: [(200, len(IMAGE), IMAGE)])
    asked: int = 0

    def next_answer(self) -> tuple[int, int, bytes]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, length, body = made.next_answer()
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_address[1]}/image?signature=s3cr3t"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


Bring = Callable[..., Answer]


@pytest.fixture
def bring(store: Store, tmp_path: Path) -> Bring:
    """Bring a release to a folder, as a playbook would."""
    (tmp_path / "images").mkdir()

    def called(*options: str, failed: bool = False, **more: object) -> Answer:
        file = {
            **{"id": ID, "form": "squashfs", "url": store.address, "version": "0.2.0", "variant": "cpu"},
            "sha256": hashlib.sha256(IMAGE).hexdigest(),
            "bytes": len(IMAGE),
        }
        arguments = {
            "program": PROGRAM,
            "program_path": str(tmp_path / "lipsync-release"),
            "folder": str(tmp_path / "images"),
            "files": [file],
            "pause_s": 0,
            "prepare": [["current", ID, "squashfs", "none", "doctor"]],
        }
        return call("fleet_release", arguments | more, *options, failed=failed)

    return called


def images(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def test_a_release_is_fetched_once_and_prepared_every_time(bring: Bring, store: Store, tmp_path: Path) -> None:
    first = bring()
    assert first.changed
    assert first.result["fetched"] == [f"{ID}.squashfs"]
    assert first.result["reports"] == [{"changed": False}]
    assert (tmp_path / "images" / f"{ID}.squashfs").read_bytes() == IMAGE
    second = bring()
    assert (second.changed, second.result["fetched"], second.result["program"]) == (False, [], False)
    assert store.asked == 1
    called = (tmp_path / "lipsync-release.called").read_text().splitlines()
    assert called == [f"prepare current {ID} squashfs none doctor"] * 2
    assert images(tmp_path) == [f"{ID}.squashfs"]
    assert "s3cr3t" not in json.dumps([first.result, second.result])


def test_a_store_may_be_a_folder(bring: Bring, store: Store, tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(IMAGE)
    store.address = (tmp_path / "stored").as_uri()
    assert bring().result["fetched"] == [f"{ID}.squashfs"]
    assert (tmp_path / "images" / f"{ID}.squashfs").read_bytes() == IMAGE
    (tmp_path / "images" / f"{ID}.squashfs").unlink()
    (tmp_path / "stored").unlink()
    assert "could not be fetched: " in bring(failed=True).result["msg"]


def test_a_rehearsal_says_what_it_would_bring(bring: Bring, store: Store, tmp_path: Path) -> None:
    answer = bring("--check")
    assert (answer.result["program"], answer.result["fetched"]) == (True, [f"{ID}.squashfs"])
    assert store.asked == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_a_damaged_file_is_fetched_again_unless_it_has_proved_itself(
    bring: Bring, store: Store, tmp_path: Path
) -> None:
    image = tmp_path / "images" / f"{ID}.squashfs"
    image.write_bytes(b"damaged")
    assert bring().result["fetched"] == [image.name]
    assert image.read_bytes() == IMAGE
    (tmp_path / "releases" / ID / "bin").mkdir(parents=True)
    image.write_bytes(b"its tree is up")
    assert bring().result["fetched"] == []
    image.unlink()
    assert bring().result["fetched"] == [image.name]
    assert store.asked == 2


@pytest.mark.parametrize("trouble", [(503, 0, b""), (429, 0, b""), (200, len(IMAGE), IMAGE[:1000])])
def test_a_store_in_trouble_is_asked_again(
    trouble: tuple[int, int, bytes], bring: Bring, store: Store, tmp_path: Path
) -> None:
    store.answers = [trouble, trouble, *store.answers]
    assert bring().result["fetched"] == [f"{ID}.squashfs"]
    assert store.asked == 3
    assert images(tmp_path) == [f"{ID}.squashfs"]


@pytest.mark.parametrize(
    ("answer", "asked", "said"),
    [
        ((403, 0, b""), 1, "the store answered 403 Forbidden."),
        ((503, 0, b""), 3, "the store answered 503 Service Unavailable."),
        ((200, 1000, IMAGE[:1000]), 3, f"the store ended after 1000 of {len(IMAGE)} bytes."),
        ((200, len(IMAGE), IMAGE[::-1]), 3, "what lies in the store does not match its digest; push it again."),
    ],
)
def test_what_cannot_be_fetched_is_said_and_leaves_nothing(
    answer: tuple[int, int, bytes], asked: int, said: str, bring: Bring, store: Store, tmp_path: Path
) -> None:
    store.answers = [answer]
    failed = bring(failed=True)
    prefix = "This host keeps what it runs: release 0.2.0 (cpu) could not be fetched: "
    assert failed.result["msg"] == prefix + said
    assert store.asked == asked
    assert images(tmp_path) == []
    assert not (tmp_path / "lipsync-release.called").exists()


def test_a_store_that_is_not_there_is_said_without_what_it_signed(bring: Bring, store: Store) -> None:
    store.address = "http://127.0.0.1:9/image?signature=s3cr3t"
    failed = bring(failed=True)
    assert "could not be fetched: the store cannot be reached: " in failed.result["msg"]
    assert "s3cr3t" not in json.dumps(failed.result)


def test_a_full_disk_is_said(bring: Bring, store: Store, tmp_path: Path) -> None:
    (tmp_path / "images" / f".{ID}.squashfs.part").symlink_to("/dev/full")
    failed = bring(failed=True)
    assert failed.result["msg"].endswith(
        f"could not be fetched: the disk of {tmp_path}/images is full; make room there."
    )
    assert (store.asked, images(tmp_path)) == (1, [])


def test_a_host_that_has_not_been_set_up_is_told_so(bring: Bring, tmp_path: Path) -> None:
    (tmp_path / "images").rmdir()
    failed = bring(failed=True)
    assert failed.result["msg"] == "This host keeps what it runs: it has not been set up; run site.yml for it."


def test_an_authority_that_has_not_been_brought_is_missed(bring: Bring, tmp_path: Path) -> None:
    failed = bring(failed=True, ca_path=str(tmp_path / "ca.pem"))
    assert failed.result["msg"].endswith(
        f"{tmp_path}/ca.pem, which signs the store's certificate, is missing; run site.yml."
    )


def test_a_run_waits_for_one_that_still_fetches(bring: Bring, store: Store, tmp_path: Path) -> None:
    handle = os.open(tmp_path / "images", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(bring)
        wait_until((tmp_path / "lipsync-release").exists, 60, "the second run to begin")
        (tmp_path / "images" / f"{ID}.squashfs").write_bytes(IMAGE)
        os.close(handle)
        assert second.result().result["fetched"] == []
    assert store.asked == 0


def test_what_the_release_finds_is_passed_on(bring: Bring, tmp_path: Path) -> None:
    program = "#!/bin/sh\necho 'first words' >&2\necho 'Release x is not fit for this host: no driver.' >&2\nexit 1\n"
    failed = bring(failed=True, program=program)
    assert failed.result["msg"] == "This host keeps what it runs: Release x is not fit for this host: no driver."
    assert "first words" in failed.result["stderr"]
    assert images(tmp_path) == [f"{ID}.squashfs"]
