"""The variables `LIPSYNC_*`: which cannot be used, and which are none of the product's."""

import difflib
from collections.abc import Iterable
from typing import Final, NamedTuple

from infra.settings import Settings, settings_in_part
from workers.doctor.findings import Finding, warning

PREFIX: Final = "LIPSYNC_"
REDIS_SETTINGS: Final = frozenset({"redis_url", "redis_prefix"})
STORE_SETTINGS: Final = frozenset({"store", "s3_endpoint", "s3_region", "s3_ca_bundle"})


class Reading(NamedTuple):
    """The settings of the environment, with defaults for those that cannot be used, and why these cannot."""

    settings: Settings
    problems: dict[str, str]


def read() -> Reading:
    """Read the environment, so that all else can be looked at when a part of it cannot be used."""
    return Reading(*settings_in_part())


def judge_names(variables: Iterable[str]) -> list[Finding]:
    """A variable that no setting reads was probably misspelled, and means nothing."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    findings = []
    for variable in sorted(variables):
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            close = difflib.get_close_matches(variable.upper(), known, 1, 0.8)
            hint = f"write {close[0]}, or " if close else ""
            findings.append(warning("setting-unknown", f"{variable} is no setting and means nothing: {hint}remove it."))
    return findings


def judge_avatars(settings: Settings) -> list[Finding]:
    """A worker loads no more avatars than it keeps."""
    named, kept = len(settings.avatars), settings.warm_avatars
    if named <= kept:
        return []
    return [
        warning(
            "avatars-many",
            f"LIPSYNC_AVATARS names {named} avatars, of which a worker loads the first {kept} only: raise "
            "LIPSYNC_WARM_AVATARS, or name fewer.",
        )
    ]
