"""Every command line of the documentation can be run as it stands."""

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer.main

from infra import errors
from jobs.cli import COMMANDS, app
from tests.docs.pages import DEVELOPMENT, PAGES, README, ROOT, code, fences, named, prose, rows


@pytest.fixture(scope="module")
def root() -> Any:
    """The whole command line, as `lipsync` builds it."""
    for entry in entry_points(group=COMMANDS):
        entry.load()(app)
    return typer.main.get_command(app)


def words_of(line: str) -> list[str] | None:
    """The arguments of a line that runs `lipsync`, None for any other line."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
        words = words[1:]
    return words[1:] if words and words[0].rpartition("/")[2] == "lipsync" else None


def parse(root: Any, words: list[str]) -> str:
    """Parse a command line as it would be run, without running it; returns what is wrong with it."""
    words = [word for word in words if word != "--debug"]
    command, name, parent = root, "lipsync", None
    try:
        while hasattr(command, "resolve_command"):
            context = command.make_context(name, list(words), parent=parent)
            if command.invoke_without_command and not [*context._protected_args, *context.args]:
                return ""
            name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
            parent = context
        command.make_context(name, list(words), parent=parent)
    except typer.Exit:  # an option that answers at once, such as --version
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def shell_lines() -> Iterator[str]:
    for page in PAGES:
        for block in fences(page, "sh"):
            yield from (line for line in block.splitlines() if words_of(line) is not None)


@pytest.mark.parametrize("line", sorted(set(shell_lines())))
def test_every_command_line_of_a_block_can_be_run_as_it_stands(root: Any, line: str) -> None:
    assert parse(root, words_of(line) or []) == ""


@pytest.mark.parametrize(
    "line", ["lipsync submit", "lipsync nothing", "lipsync jobs --nothing", "lipsync up --workers 0"]
)
def test_the_check_of_command_lines_finds_what_is_wrong(root: Any, line: str) -> None:
    assert parse(root, words_of(line) or []) != ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_and_option_that_is_mentioned_exists(root: Any, page: Path) -> None:
    for span in re.findall(r"`(lipsync [^`]+)`", prose(page)):
        wrong = parse(root, words_of(span.removesuffix(" …")) or [])
        assert wrong == "" or wrong.startswith("MissingParameter"), f"{span}: {wrong}"
    options = {option for path, command in commands(root) for param in command.params for option in param.opts}
    flower, artefact, playbooks = {"--db"}, {"--python", "--cache"}, {"--tags", "--check"}
    mentioned = set(re.findall(r"`(--[a-z-]+)", prose(page)))
    assert mentioned <= options | flower | artefact | playbooks


def commands(command: Any, path: str = "lipsync") -> Iterator[tuple[str, Any]]:
    """All commands with their whole names."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def test_the_front_door_lists_every_command(root: Any) -> None:
    table = " ".join(rows(README, "command"))
    leaves = [path for path, command in commands(root) if not hasattr(command, "commands")]
    assert [path for path in leaves if f"`{path}`" not in table and f"`{path.split()[-1]}`" not in table] == []


def test_the_exit_codes_are_those_of_the_errors() -> None:
    codes = rows(README, "exit code")
    expected = {0, errors.EXIT_FAILED, errors.EXIT_REJECTED, errors.EXIT_UNREACHABLE, 130}
    assert {int(code) for code in codes} == expected
    assert "failed" in codes[str(errors.EXIT_FAILED)][1]
    assert "wrong" in codes[str(errors.EXIT_REJECTED)][1]
    assert "cannot be reached" in codes[str(errors.EXIT_UNREACHABLE)][1]


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {target for page in PAGES for target in re.findall(r"^make ([a-z-]+)", code(page), re.MULTILINE)}
    assert {"demo", "test"} <= mentioned <= targets


def test_every_playbook_and_inventory_that_is_mentioned_exists() -> None:
    text = "\n".join(code(page) for page in PAGES)
    for playbook in re.findall(r"\b(\w+\.yml)\b", " ".join(re.findall(r"ansible-playbook .*", text))):
        assert (ROOT / "ansible" / playbook).is_file(), playbook
    own = {"mine"}  # what the reader makes
    for inventory in set(re.findall(r"inventories/(\w+)", text)) - own:
        assert (ROOT / "ansible" / "inventories" / inventory).is_dir(), inventory


def test_every_folder_of_tests_is_explained_and_exists() -> None:
    explained = set(re.findall(r"pytest (tests/\w+)", code(DEVELOPMENT)))
    assert explained == {named(path.parent) for path in (ROOT / "tests").glob("*/test_*.py")}
