"""The pages as a whole: links, the picture, the version, and what no file of the tree may name."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, ROOT, named, prose
from tests.servers import missing


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (page, target) for page in PAGES for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in target
]


@pytest.mark.parametrize(("page", "target"), LINKS, ids=lambda value: value if isinstance(value, str) else named(value))
def test_every_relative_link_leads_somewhere(page: Path, target: str) -> None:
    place, _, anchor = target.partition("#")
    other = (page.parent / place).resolve() if place else page
    assert other.exists() and other.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(other)


def test_every_page_is_reached_from_the_front_door() -> None:
    reached = {target.partition("#")[0] for page, target in LINKS if page == README}
    assert {named(page) for page in PAGES} - {"README.md"} <= reached


def test_the_picture_of_the_front_door_is_small_enough_to_load_at_once() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())
    assert 10_000 < (ROOT / picture).stat().st_size < 300_000


def test_the_newest_change_is_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None and newest[1] == version


def test_the_front_door_stays_short() -> None:
    assert len(README.read_text().splitlines()) <= 200


def tree() -> list[Path]:
    """All text files of the tree, those not yet committed included."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        missing("this is no git checkout, so its files cannot be listed")
    paths = (ROOT / name for name in found.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:pypi|pythonhosted|npmjs|crates|conda|anaconda)\.(?:org|com|io)\b",
        r"(?<![\w.}>])/(?:work|root|home/\w+|Users/\w+)/",
    ],
    ids=["the address of a package registry", "a path of one machine"],
)
def test_no_file_of_the_tree_names(pattern: str) -> None:
    found = [named(path) for path in tree() if re.search(pattern, path.read_text(errors="replace"))]
    assert found == []
