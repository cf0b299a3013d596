"""What importing and checking have to say about an avatar."""

from typing import Literal, NamedTuple

Level = Literal["error", "warning", "repair"]


class Finding(NamedTuple):
    """One sentence about an avatar.

    An `error` makes it unusable, a `repair` is something that importing fills in or drops, a `warning` is neither.
    """

    level: Level
    sentence: str


def some(numbers: list[int], shown: int = 5) -> str:
    """Spell a few numbers and count the others: `3, 4 and 17 more`."""
    listed = ", ".join(str(number) for number in numbers[:shown])
    return f"{listed} and {len(numbers) - shown} more" if len(numbers) > shown else listed
