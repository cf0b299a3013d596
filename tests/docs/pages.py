"""The pages of the documentation, taken apart."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, AVATARS = ROOT / "README.md", ROOT / "docs" / "avatars.md"
OPERATING, REFERENCE = ROOT / "docs" / "operating.md", ROOT / "docs" / "reference.md"
DEVELOPMENT = ROOT / "docs" / "development.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(page: Path, language: str = "") -> list[str]:
    """Fenced blocks, those of one language or all."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for kind, text in found if kind == language or not language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def code(page: Path) -> str:
    """All that a page sets as code: fenced blocks and spans."""
    return "\n".join([*fences(page), *re.findall(r"`([^`\n]+)`", prose(page))])


def rows(page: Path, first: str) -> dict[str, list[str]]:
    """The table whose header begins with the cell `first`: first cell → all cells of each row."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            break
    cells = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells.append([cell.strip() for cell in line.strip("|").split("|")])
    assert cells, f"{page} has no table that begins with {first}"
    return {row[0]: row for row in cells}
