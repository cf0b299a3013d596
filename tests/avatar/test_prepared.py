"""Halves are cut once per host and kind of settings, and what was interrupted does no harm."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import Failed, LipsyncError, Rejected
from infra.settings import Settings
from tests.avatar_sources import claiming
from tests.servers import wait_until
from workers.avatar.cache import Shelf
from workers.avatar.networks import prepared
from workers.avatar.networks.prepared import REVISION, HalfFiles, load_halves, open_halves
from workers.avatar.pack import Pack
from workers.sessions import open_session

AT_ONCE = """
import json, sys, time
from pathlib import Path
from infra.settings import Settings
from workers.avatar.networks import prepared
from workers.avatar.pack import open_pack

cuts, cut = 0, prepared.cut_halves
def counting(*arguments):
    global cuts
    cuts += 1
    return cut(*arguments)
prepared.cut_halves = counting
pack, settings = open_pack(Path(sys.argv[1])), Settings(cache=Path(sys.argv[2]), providers="cpu", threads=1)
prepared.wanted_provider(settings)  # imports what takes time
print("ready", flush=True)
files = prepared.open_halves(pack, settings, 1)
print(json.dumps([cuts, str(files.decoder), files.decoder.read_bytes().hex()[:2000]]))
"""

INTERRUPTED = """
import os, sys
from pathlib import Path
from infra.settings import Settings
from workers.avatar.networks import halves, prepared
from workers.avatar.pack import open_pack

def killed(*_, **__):
    os._exit(9)
if sys.argv[3] == "before the first file":
    halves.split = killed
else:
    prepared.settle = killed
prepared.open_halves(open_pack(Path(sys.argv[1])), Settings(cache=Path(sys.argv[2]), providers="cpu", threads=1), 1)
"""


def stamps(files: HalfFiles) -> list[tuple[int, int]]:
    return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in (files.encoder, files.decoder)]


def test_they_are_cut_once(pack: Pack, settings: Settings) -> None:
    first = open_halves(pack, settings, 1)
    made = stamps(first)
    assert open_halves(pack, settings, 1) == first
    assert stamps(first) == made
    assert not (Shelf(settings.cache, pack.digest).home / "unfinished").exists()


def test_of_two_processes_at_once_one_cuts(pack: Pack, settings: Settings) -> None:
    command = [sys.executable, "-c", AT_ONCE, str(pack.root), str(settings.cache)]
    shelf = Shelf(settings.cache, pack.digest)
    lease = shelf.use()
    with shelf.making():  # so that both find nothing and wait
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [process.stdout.readline() for process in both if process.stdout] == ["ready\n"] * 2
        wait_until(lambda: waiting_for_a_lock() >= 2, 30, "both processes to wait for their turn")
    lease.release()
    found = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(cuts for cuts, *_ in found) == [0, 1]
    assert found[0][1:] == found[1][1:]


def waiting_for_a_lock() -> int:
    """Processes on this host that wait for a file's lock: lines of /proc/locks with an arrow."""
    return sum("->" in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.parametrize(
    ("changed", "batch"), [({"precision": "float16"}, 1), ({}, 2), ({}, 3)], ids=["precision", "batch 2", "batch 3"]
)
def test_other_settings_have_other_files(changed: dict[str, str], batch: int, pack: Pack, settings: Settings) -> None:
    usual = open_halves(pack, settings, 1)
    made, before = stamps(usual), usual.decoder.read_bytes()
    other = open_halves(pack, settings.model_copy(update=changed), batch)
    assert other.decoder.parent != usual.decoder.parent
    assert other.decoder.read_bytes() != before
    assert stamps(usual) == made


def test_settings_that_change_nothing_share_the_files(pack: Pack, settings: Settings) -> None:
    more = settings.model_copy(update={"threads": 7, "cache_mb": 5, "device": 3})
    assert open_halves(pack, settings, 1) == open_halves(pack, more, 1)


def test_an_accelerator_has_other_files_than_the_cpu(
    pack: Pack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = open_halves(pack, settings, 1)
    monkeypatch.setattr(prepared, "wanted_provider", lambda _: "cuda")
    elsewhere = open_halves(pack, settings, 1)
    assert (on_cpu.from_bank, elsewhere.from_bank) == (False, True)
    assert elsewhere.decoder.parent != on_cpu.decoder.parent


def with_generator(pack: Pack, write: Callable[[Path], object]) -> Pack:
    write(pack.generator)
    return pack


@pytest.mark.parametrize(
    ("write", "kind", "words"),
    [
        (lambda path: path.write_bytes(b"<html>404</html>"), Failed, "generator.onnx cannot be loaded as an ONNX"),
        (
            lambda path: claiming(path, {"a": ["N", 6, 160, 160], "b": ["N", 32, 16, 16]}, ["N", 3, 160, 160]),
            Rejected,
            r"\['N', 6, 160, 160\], but float32 \['N', 6, 320, 320\] is expected",
        ),
        (
            lambda path: claiming(path, {"a": ["N", 6, 320, 320], "b": ["N", 32, 32, 32]}, ["N", 3, 320, 320]),
            Rejected,
            "another audio front end",
        ),
    ],
    ids=["no network", "another size", "another front end"],
)
def test_a_generator_of_another_kind_is_refused_with_one_sentence(
    write: Callable[[Path], object], kind: type[LipsyncError], words: str, pack: Pack, settings: Settings
) -> None:
    with pytest.raises(kind, match=words) as refused:
        open_halves(with_generator(pack, write), settings, 1)
    assert "\n" not in str(refused.value)
    assert list(Shelf(settings.cache, pack.digest).home.iterdir()) == []


@pytest.mark.parametrize("when", ["before the first file", "with the first file open"])
def test_what_an_interrupted_process_left_does_no_harm(when: str, pack: Pack, settings: Settings) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(pack.root), str(settings.cache), when]
    assert subprocess.run(command, check=False).returncode == 9
    home = Shelf(settings.cache, pack.digest).home
    assert [path.name for path in home.iterdir()] == ["unfinished"]
    files = open_halves(pack, settings, 1)
    assert files.encoder.stat().st_size > 0 and files.decoder.stat().st_size > 0
    assert [path for path in home.iterdir() if path.name == "unfinished"] == []


def test_an_avatar_whose_halves_were_opened_may_leave_the_cache(pack: Pack, settings: Settings) -> None:
    files = open_halves(pack, settings, 1)
    assert Shelf(settings.cache, pack.digest).throw_away()
    assert not files.decoder.exists()
    assert open_halves(pack, settings, 1).decoder.exists()


@pytest.mark.parametrize("cut_before", [True, False])
def test_without_onnx_halves_can_be_opened_but_not_cut(cut_before: bool, pack: Pack, settings: Settings) -> None:
    if cut_before:
        open_halves(pack, settings, 1)
    script = "import sys; sys.modules['onnx'] = None\n" + AT_ONCE
    command = [sys.executable, "-c", script, str(pack.root), str(settings.cache)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode == 0) == cut_before, done.stderr
    assert cut_before or "Failed: Rendering needs the package onnx: install" in done.stderr


def test_a_cache_that_cannot_be_written_is_named(pack: Pack, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocked = settings.model_copy(update={"cache": tmp_path / "file" / "cache"})
    with pytest.raises(LipsyncError, match="file/cache"):
        open_halves(pack, blocked, 1)


def test_halves_that_cannot_be_loaded_are_cut_once_more(pack: Pack, settings: Settings) -> None:
    damaged = open_halves(pack, settings, 1).decoder
    whole = damaged.stat().st_size
    damaged.write_bytes(b"")
    seen: list[int] = []

    def load(files: HalfFiles) -> Path:
        seen.append(files.decoder.stat().st_size)
        open_session(files.decoder, settings)
        return files.decoder

    assert load_halves(pack, settings, 1, load) == damaged
    assert seen == [0, whole]


def test_halves_of_other_versions_leave_the_disk_when_new_ones_are_cut(pack: Pack, settings: Settings) -> None:
    folder = open_halves(pack, settings, 1).decoder.parent
    old = folder.with_name(folder.name.replace(f"halves{REVISION}", "halves0"))
    folder.rename(old)
    other_batch = open_halves(pack, settings, 3).decoder.parent
    assert old.is_dir(), "another batch is another kind"
    assert open_halves(pack, settings, 1).decoder.parent == folder
    assert not old.exists()
    assert other_batch.is_dir()
