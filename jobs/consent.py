"""Whether an avatar carries the consent of the person it shows, and whether that holds today."""

from datetime import UTC, date, datetime
from typing import Final

from infra.errors import Rejected
from jobs.avatar_spec import AvatarSpec

SHOWS_NOBODY: Final = frozenset({"drawn", "synthetic"})
"""Layouts of avatars whose face was made up: nobody can be asked."""


def consent_problem(spec: AvatarSpec, today: date) -> str | None:
    """What is wrong with the consent of an avatar.

    Args:
        spec: the avatar.
        today: the date in UTC; a consent holds through its last day.

    Returns:
        A sentence, or None when the avatar carries a consent that holds today, or shows nobody.
    """
    if spec.provenance.layout in SHOWS_NOBODY:
        return None
    if spec.consent is None:
        return "It carries no consent of the person it shows: import it again with --consent FILE."
    if spec.consent.expires is not None and spec.consent.expires < today:
        return (
            f"The consent of {spec.consent.subject} ended on {spec.consent.expires}: import it again with the record "
            "of a new one, --consent FILE."
        )
    return None


def demand_consent(digest: str, spec: AvatarSpec) -> None:
    """Refuse an avatar that cannot show a consent that holds today.

    Raises:
        Rejected: it cannot.
    """
    problem = consent_problem(spec, today_utc())
    if problem:
        raise Rejected(f"Avatar {digest} may not be used where LIPSYNC_REQUIRE_CONSENT is set. {problem}")


def today_utc() -> date:
    """The date, the same on every machine."""
    return datetime.now(UTC).date()
