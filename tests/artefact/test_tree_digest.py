"""One digest for a tree, whatever form it travels in."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import Damaged, NotFound
from infra.tree_digest import RELEASE_JSON, tree_files, tree_sha256
from jobs.release import current_release
from jobs.release_proof import prove


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make(tmp_path / "tree")


def make(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "run").write_bytes(b"#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o755)
    (root / "bin.txt").write_bytes(b"x")
    (root / "link").symlink_to("bin/run")
    (root / "empty").mkdir()
    return root


def test_two_trees_alike_have_one_digest_whenever_they_were_made(tree: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "elsewhere" / "other")
    for path in tree_files(other):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert tree_sha256(tree) == tree_sha256(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "bin" / "run").write_bytes(b"#!/bin/sh\n\n"),
        lambda root: (root / "bin" / "run").chmod(0o644),
        lambda root: (root / "empty").chmod(0o700),
        lambda root: (root / "empty").rmdir(),
        lambda root: (root / "more").mkdir(),
        lambda root: (root / "bin.txt").rename(root / "bin.tx"),
        lambda root: [(root / "link").unlink(), (root / "link").symlink_to("bin/ru")],
        lambda root: [(root / "link").unlink(), (root / "link").write_bytes(b"bin/run")],
    ],
    ids=["content", "mode", "mode of a folder", "a folder less", "a folder more", "name", "target", "kind"],
)
def test_whatever_is_changed_changes_the_digest(tree: Path, change: Callable[[Path], object]) -> None:
    before = tree_sha256(tree)
    change(tree)
    assert tree_sha256(tree) != before


def release_json(root: Path, **facts: str) -> None:
    known = {
        "schema": 1,
        "version": "1.2+b",
        "variant": "cpu",
        "machine": "x86_64",
        "python": "3.11.2",
        "glibc": "2.36",
    }
    (root / RELEASE_JSON).write_text(json.dumps(known | facts))


def test_the_digest_does_not_count_itself_but_all_else_that_the_release_says(tree: Path) -> None:
    release_json(tree)
    before = tree_sha256(tree)
    release_json(tree, id=before[:16], tree_sha256=before)
    assert tree_sha256(tree) == before
    release_json(tree, id=before[:16], tree_sha256=before, version="1.3")
    assert tree_sha256(tree) != before


def test_a_tree_is_proved_and_says_which_release_it_is(tree: Path) -> None:
    release_json(tree)
    digest = tree_sha256(tree)
    release_json(tree, id=digest[:16], tree_sha256=digest)
    assert prove(tree).id == digest[:16]
    found = current_release(tree)
    assert (found.version, found.variant, found.id) == ("1.2+b", "cpu", digest[:16])
    (tree / "bin.txt").write_bytes(b"y")
    with pytest.raises(Damaged, match="was changed since it was built"):
        prove(tree)


def test_what_is_no_release_is_none(tree: Path) -> None:
    found = current_release(tree)
    assert (found.variant, found.id) == (None, None)
    with pytest.raises(NotFound, match=r"holds no release\.json"):
        prove(tree)
    (tree / RELEASE_JSON).write_text("{}")
    with pytest.raises(Damaged, match="does not describe a release"):
        current_release(tree)
