"""What importing and checking have to say about an avatar, and how reading it goes on after a fault.

A *reading* is a generator: it yields findings as it meets them and returns what it has read. Whoever checks takes all
of them; whoever imports takes the value and refuses at the first error. So both read with the same code.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar

from infra.errors import Damaged, Failed, Rejected

Level = Literal["error", "warning", "repair", "note"]
SEVERITY: Final[tuple[Level, ...]] = ("error", "warning", "repair", "note")

Code = Literal[
    "baked-mask",
    "baked-pictures",
    "box-conflict",
    "box-file",
    "box-jump",
    "box-outside",
    "box-shape",
    "box-size",
    "clip-length",
    "colour-untagged",
    "config-file",
    "consent",
    "frame-rate",
    "frame-size",
    "front-end",
    "frozen-frames",
    "index-base",
    "landmark-file",
    "length-mismatch",
    "licence",
    "memory",
    "missing-boxes",
    "missing-landmarks",
    "missing-network",
    "missing-pictures",
    "network-digest",
    "network-file",
    "network-output",
    "network-shape",
    "not-checked",
    "odd-size",
    "pack-damaged",
    "pack-repairs",
    "parsing-file",
    "parsing-missing",
    "picture-file",
    "picture-format",
    "picture-size",
    "source-layout",
    "stale-cache",
    "stale-frames",
    "unknown-avatar",
    "variable-frame-rate",
    "video-file",
]
"""Names of findings for machines; they stay the same when sentences are reworded."""


class Finding(NamedTuple):
    """One sentence about an avatar, with what to do.

    An `error` makes it unusable, a `repair` is something that importing fills in or drops, a `warning` may be seen in
    the video or surprise later, a `note` is good to know.
    """

    level: Level
    code: Code
    sentence: str
    fact: str = ""
    """What was found, in numbers and names without a sentence around them. That of a repair is kept in the pack and
    must stay the same for the same source, since the pack's digest depends on it."""


T = TypeVar("T")
P = ParamSpec("P")
Reading: TypeAlias = Generator[Finding, None, T]

_SHOWN: Final = 3  # faults of one kind that get a sentence each; a folder of broken files must not fill the screen


def insist(reading: Reading[T]) -> tuple[T, tuple[Finding, ...]]:
    """Read to the end, and no further than the first error.

    Returns:
        What was read, and the findings, none of them an error.

    Raises:
        Rejected: with the first error's sentence.
        Failed: the same, when this machine could not read on.
    """
    findings: list[Finding] = []
    while True:
        try:
            finding = next(reading)
        except StopIteration as end:
            return end.value, tuple(findings)
        if finding.level == "error":
            reading.close()
            raise (Failed if finding.code == "not-checked" else Rejected)(finding.sentence)
        findings.append(finding)


def attempt(code: Code, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Reading[T | None]:
    """Call `read`; what it refuses becomes an error with that code, and None is returned.

    What this machine could not do says nothing of the avatar: it becomes an error with the code `not-checked`.
    """
    try:
        return read(*args, **kwargs)
    except (Rejected, Failed) as error:
        refused = _refused(code, error)
    yield refused
    return None


def _refused(code: Code, error: Rejected | Failed) -> Finding:
    return Finding("error", code if isinstance(error, Rejected | Damaged) else "not-checked", str(error))


def read_each(code: Code, names: Mapping[int, str], read: Callable[[int], T]) -> Reading[dict[int, T]]:
    """Read many things of one kind; each that is refused becomes an error, the last sentence counts those left over.

    Args:
        code: of the errors.
        names: number → how messages call it.
        read: gives the content of a number, or raises `Rejected` or `Failed`.

    Returns:
        Number → content, without the refused ones.
    """
    contents, refused = {}, []
    for number, name in names.items():
        try:
            contents[number] = read(number)
        except (Rejected, Failed) as error:
            refused.append(name)
            finding = _refused(code, error)
        else:
            continue
        if len(refused) <= _SHOWN:
            yield finding
    if left := refused[_SHOWN:]:
        yield finding._replace(sentence=f"{len(left)} more are as bad: {some(left)}.")
    return contents


def some(items: Iterable[object], shown: int = 5) -> str:
    """Spell a few items and count the others: `3, 4 and 17 more`."""
    listed = [str(item) for item in items]
    rest = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + rest


def runs(numbers: Iterable[int]) -> list[str]:
    """Spell sorted numbers, consecutive ones together: `3`, `5-9`."""
    spelled: list[list[int]] = []
    for number in numbers:
        if spelled and number == spelled[-1][-1] + 1:
            spelled[-1][1:] = [number]
        else:
            spelled.append([number])
    return ["-".join(map(str, ends)) for ends in spelled]


def usable(findings: Iterable[Finding]) -> bool | None:
    """Whether an avatar can be used, or a source imported; None when this machine could not tell."""
    errors = {finding.code for finding in findings if finding.level == "error"}
    return None if errors == {"not-checked"} else not errors


def verdict(target: str, findings: Sequence[Finding]) -> str:
    """`FOLDER cannot be used: 2 errors, 1 warning.`"""
    needed = "".join(finding.fact for finding in findings if finding.code == "missing-network")
    can = f"can be imported with {needed}" if needed else "can be used"
    state = {True: can, False: "cannot be used", None: "could not be checked"}[usable(findings)]
    count = Counter(finding.level for finding in findings)
    found = ", ".join(f"{count[level]} {level}{'s' if count[level] > 1 else ''}" for level in SEVERITY if count[level])
    return f"{target} {state}: {found or 'nothing to say'}."
