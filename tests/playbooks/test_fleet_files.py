"""Many files of a host in one visit: `ansible/library/fleet_files.py`."""

import stat
from pathlib import Path

import pytest

from tests.playbooks.call import Answer, call

SECRETS = {"settings": "PASSWORD='s3cr3t-word'\nNAME='value'\n"}


def put(*files: dict[str, object], options: tuple[str, ...] = (), failed: bool = False) -> Answer:
    return call("fleet_files", {"files": list(files), "secrets": SECRETS}, *options, failed=failed)


def noting(note: Path, word: str) -> list[list[str]]:
    """A command that adds a word to a file."""
    return [["sh", "-c", f"echo {word} >> {note}"]]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_and_links_are_put_in_place_and_then_left_alone(tmp_path: Path) -> None:
    files: tuple[dict[str, object], ...] = (
        {"path": str(tmp_path / "new" / "folder" / "plain"), "content": "größer\n"},
        {"path": str(tmp_path / "program"), "content": "#!/bin/sh\n", "mode": "0755"},
        {"path": str(tmp_path / "hidden"), "secret": "settings", "mode": "0600"},
        {"path": str(tmp_path / "link"), "link": "program"},
    )
    first = put(*files)
    assert first.result["written"] == [file["path"] for file in files]
    assert (tmp_path / "new" / "folder" / "plain").read_text() == "größer\n"
    assert [mode_of(tmp_path / name) for name in ("program", "hidden")] == [0o755, 0o600]
    assert (tmp_path / "link").read_text() == "#!/bin/sh\n"
    inode = (tmp_path / "program").stat().st_ino
    second = put(*files)
    assert (second.changed, second.result["written"]) == (False, [])
    assert (tmp_path / "program").stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hidden", "link", "new", "program"]


@pytest.mark.parametrize("what", ["mode", "content", "link", "kind"])
def test_what_differs_is_mended(what: str, tmp_path: Path) -> None:
    files: tuple[dict[str, object], ...] = (
        {"path": str(tmp_path / "file"), "content": "text"},
        {"path": str(tmp_path / "link"), "link": "file"},
    )
    put(*files)
    touched = tmp_path / ("link" if what == "link" else "file")
    if what == "mode":
        touched.chmod(0o666)
    elif what == "content":
        touched.write_text("other")
    else:
        touched.unlink()
        touched.symlink_to("elsewhere")
    assert put(*files).result["written"] == [str(touched)]
    assert (tmp_path / "link").resolve().read_text() == "text"
    assert mode_of(tmp_path / "file") == 0o644


def test_commands_follow_changes_before_the_next_file_and_once_for_several(tmp_path: Path) -> None:
    note = tmp_path / "note"
    seen = [["sh", "-c", f"ls {tmp_path} | grep -c file >> {note}"]]
    files: tuple[dict[str, object], ...] = (
        {"path": str(tmp_path / "file-1"), "content": "1", "then": noting(note, "both") + noting(note, "one")},
        {"path": str(tmp_path / "file-2"), "content": "2", "then": seen},
        {"path": str(tmp_path / "file-3"), "content": "3", "then": noting(note, "both")},
    )
    put(*files)
    assert note.read_text().split() == ["2", "both", "one"]
    put(*files)
    assert note.read_text().split() == ["2", "both", "one"]
    (tmp_path / "file-1").write_text("changed")
    put(*files)
    assert note.read_text().split() == ["2", "both", "one", "both", "one"]


def test_a_file_whose_command_fails_is_what_it_was_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o600)
    (tmp_path / "alone").write_text("old")
    failing = [["sh", "-c", f"test -e {tmp_path}/mended || {{ echo why it fails; exit 3; }}"]]
    files: tuple[dict[str, object], ...] = (
        {"path": str(tmp_path / "alone"), "content": "new"},
        {"path": str(tmp_path / "old"), "content": "new", "then": failing},
        {"path": str(tmp_path / "fresh"), "content": "new", "then": failing},
        {"path": str(tmp_path / "later"), "content": "new"},
    )
    failed = put(*files, failed=True)
    assert failed.result["msg"].endswith("ended with 3: why it fails")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"alone": "new", "old": "old"}
    assert mode_of(tmp_path / "old") == 0o600
    (tmp_path / "mended").touch()
    assert put(*files).result["written"] == [str(tmp_path / name) for name in ("old", "fresh", "later")]
    assert mode_of(tmp_path / "old") == 0o644


def test_a_file_whose_commands_left_nothing_counts_as_changed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    file: dict[str, object] = {
        **{"path": str(tmp_path / "file"), "content": "text"},
        **{"then": [["touch", str(made)]], "proof": ["test", "-e", str(made)]},
    }
    assert put(file).changed
    assert not put(file).changed
    made.unlink()
    assert put(file).changed
    assert made.exists()


def test_a_rehearsal_shows_what_would_change_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("before\n")
    note = tmp_path / "note"
    answer = put(
        {"path": str(tmp_path / "known"), "content": "after\n", "then": noting(note, "no")},
        {"path": str(tmp_path / "hidden"), "secret": "settings"},
        options=("--check", "--diff"),
    )
    assert answer.result["written"] == [str(tmp_path / "known"), str(tmp_path / "hidden")]
    assert "-before\n+after\n" in answer.printed
    assert "s3cr3t-word" not in answer.printed
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"known": "before\n"}


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    secret: dict[str, object] = {"path": str(tmp_path / "hidden"), "secret": "settings"}
    for _ in range(2):
        printed = put(secret, options=("-vvv", "--diff")).printed
        assert "s3cr3t-word" not in printed
        assert str(tmp_path / "hidden") in printed
    assert (tmp_path / "hidden").read_text() == SECRETS["settings"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"path": "{}/file/below"}, "File exists"),
        ({"path": "{}/new", "group": "nobody-knows-it"}, "There is no group nobody-knows-it."),
        ({"path": "{}/new", "secret": "other"}, "There is no secret other for "),
        ({"path": "{}/new", "mode": "rw"}, "rw is no mode: give octal digits, such as 0644."),
    ],
)
def test_what_cannot_be_written_is_said(wrong: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = {name: value.format(tmp_path) for name, value in wrong.items()}
    text = {} if "secret" in given else {"content": "text"}
    assert said in put({**text, **given}, failed=True).result["msg"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
