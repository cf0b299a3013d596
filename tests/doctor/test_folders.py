"""Folders that really cannot be written: read-only, full, not a folder at all."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.settings import Settings
from workers.doctor.disk_checks import probe_folder
from workers.doctor.local_checks import examine_cache, examine_temp


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this root may not mount either")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_good_folder_is_left_as_it_was(tmp_path: Path) -> None:
    found = probe_folder(tmp_path)
    assert found.problem == 0 and found.owner == found.user == os.geteuid() and found.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_tried_and_is_not_there_afterwards(tmp_path: Path) -> None:
    assert probe_folder(tmp_path / "a" / "b").problem == 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_folder_holds_is_added_up(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(1_000_000))
    assert 1_000_000 <= probe_folder(tmp_path, measure=True).used_bytes < 1_100_000


def test_a_cache_that_may_only_be_read_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path / "cache", "ro,size=8m") as cache:
        outcome, usable = examine_cache(Settings(cache=cache))
    assert [finding.code for finding in outcome.findings] == ["cache-not-writable"] and not usable
    assert os.strerror(errno.EROFS) in outcome.findings[0].sentence


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path / "cache", "size=512k") as cache:
        outcome, usable = examine_cache(Settings(cache=cache))
    assert [finding.code for finding in outcome.findings] == ["cache-full"] and not usable


def test_a_small_disk_is_a_warning(tmp_path: Path) -> None:
    with mounted(tmp_path / "cache", "size=64m") as cache:
        outcome, usable = examine_cache(Settings(cache=cache))
    assert [finding.code for finding in outcome.findings] == ["cache-disk-small"] and usable


def test_a_folder_of_another_user_is_an_error_for_who_may_not_write_there(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "cache").mkdir(mode=0o500)
    outcome, _ = examine_cache(Settings(cache=tmp_path / "cache"))
    assert [finding.code for finding in outcome.findings] == ["cache-not-writable"]


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome, usable = examine_cache(Settings(cache=tmp_path / "file" / "cache"))
    assert [finding.code for finding in outcome.findings] == ["cache-not-writable"] and not usable


def test_temporary_files_are_tried_where_they_would_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = examine_temp()
    assert outcome.line.startswith(f"{tmp_path}: ")
    assert "temp-not-writable" not in {finding.code for finding in outcome.findings}
