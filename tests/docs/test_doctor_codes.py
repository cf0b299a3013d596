"""The table of the doctor's findings is complete, and its levels are those that the code gives."""

import re
from collections import defaultdict
from pathlib import Path
from typing import get_args

from tests.docs.pages import PAGES, ROOT, rows
from workers.doctor.findings import Code

SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "workers" / "doctor").glob("*.py")))


def given_levels() -> dict[str, set[str]]:
    """Code → the levels with which it is made, where the source says that in one place."""
    levels: dict[str, set[str]] = defaultdict(set)
    for level, code, _, other in re.findall(
        r'\b(error|warning|note)\(\s*"([a-z-]+)"( if \w+ else "([a-z-]+)")?', SOURCE
    ):
        for one in filter(None, (code, other)):
            levels[one].add(level)
    for code in re.findall(r'_lack\(\s*devices,\s*"([a-z-]+)"', SOURCE):
        levels[code] |= {"error", "warning"}
    return levels


def check(page: Path) -> None:
    """Compare the table of a page with the code."""
    table = {code.strip("`"): row for code, row in rows(page, "finding").items()}
    assert list(table) == sorted(get_args(Code))
    levels = given_levels()
    assert len(levels) > 45
    for code, (_, level, found, remedy) in table.items():
        assert set(level.split(" or ")) == levels.get(code, {"error"}), code
        assert len(found) > 20 and len(remedy) > 5


def test_every_finding_of_the_doctor_is_documented_with_its_level() -> None:
    (page,) = (page for page in PAGES if "\n| finding | level |" in page.read_text())
    check(page)
