"""Every name in the store and in Redis, spelled once. Identifiers are checked before they become part of a key."""

import re
from typing import Final

from infra import settings
from infra.errors import Rejected

_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_RELEASE: Final = re.compile(r"[0-9a-f]{16}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def job_id(text: str) -> str:
    """Return `text` when it is a job id (a ULID), refuse it otherwise."""
    if not _ULID.fullmatch(text):
        raise Rejected(f"{text[:40]!r} is not a job id: 26 characters as `lipsync jobs` prints them are expected.")
    return text


def is_digest(text: str) -> bool:
    """Whether `text` is a whole SHA-256 in lower-case hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def avatar_name(text: str) -> str:
    """Return `text` when it may name an avatar, refuse it otherwise."""
    if not _NAME.fullmatch(text) or is_digest(text):
        raise Rejected(
            f"{text[:80]!r} cannot name an avatar: use up to 63 lower-case letters, digits, dots, dashes and "
            "underscores, beginning with a letter or digit."
        )
    return text


# --- the store ---------------------------------------------------------------------------------------------------


AVATARS: Final = "avatars/"
"""Everything that belongs to avatars."""


def avatar_pack(digest: str) -> str:
    """Prefix of a pack's files."""
    if not is_digest(digest):
        raise Rejected(f"{digest[:80]!r} is not an avatar's digest.")
    return f"{AVATARS}{digest}/"


AVATAR_NAMES: Final = f"{AVATARS}names/"


def avatar_pointer(name: str) -> str:
    """The object that says which digest a name means."""
    return f"{AVATAR_NAMES}{avatar_name(name)}.json"


def canary(digest: str) -> str:
    """A pack's stored canary answer: beside the pack, since its last bits depend on the machine that made it."""
    return f"{AVATARS}canaries/{avatar_pack(digest).split('/')[1]}.png"


def exports(digest: str) -> str:
    """How far a pack's networks are from the checkpoints they were made of: measured, so beside the pack as well."""
    return f"{AVATARS}exports/{avatar_pack(digest).split('/')[1]}.json"


RELEASES: Final = "releases/"
"""Everything that belongs to releases of the product."""


def is_release_id(text: str) -> bool:
    """Whether `text` is the id of a release: 16 lower-case hexadecimal digits."""
    return _RELEASE.fullmatch(text) is not None


def release(release_id: str) -> str:
    """Prefix of a release's files."""
    if not is_release_id(release_id):
        raise Rejected(f"{release_id[:80]!r} is not a release's id: 16 digits as `lipsync release list` prints them.")
    return f"{RELEASES}{release_id}/"


def release_record(release_id: str) -> str:
    """What the release is; the last of its files to come and the first to go."""
    return f"{release(release_id)}release.json"


def release_file(release_id: str, form: str) -> str:
    """The release in one of its forms, `squashfs` or `tar.zst`, or its bill of materials, `bom`."""
    return f"{release(release_id)}{'bom.json' if form == 'bom' else f'lipsync.{form}'}"


def job_prefix(job: str) -> str:
    """Prefix of everything that belongs to a job."""
    return f"jobs/{job_id(job)}/"


def manifest(job: str) -> str:
    """The job in full."""
    return f"{job_prefix(job)}manifest.json"


def job_audio(job: str) -> str:
    """What the mouth hears: raw float32 samples."""
    return f"{job_prefix(job)}audio.f32"


def source(job: str, extension: str) -> str:
    """The sound or video as it was submitted."""
    return f"{job_prefix(job)}source{extension}"


def encoded_audio(job: str) -> str:
    """The audio track of the video."""
    return f"{job_prefix(job)}audio.m4a"


def segments(job: str) -> str:
    """Prefix of all segments."""
    return f"{job_prefix(job)}segments/"


def segment(job: str, chunk: int, attempt: int) -> str:
    """One attempt's segment of one chunk."""
    return f"{segments(job)}{chunk:06d}-{attempt}.mp4"


def video(job: str) -> str:
    """The finished video."""
    return f"{job_prefix(job)}video.mp4"


def result(job: str) -> str:
    """What came of the job."""
    return f"{job_prefix(job)}result.json"


def tombstone(job: str) -> str:
    """Says that the job was cancelled, so that nothing revives it."""
    return f"{job_prefix(job)}cancelled"


# --- Redis (below the prefix of the settings, which the queue shares) -------------------------------------------

QUEUE: Final = settings.QUEUE
LEDGER: Final = "ledger:"


def ledger_job(job: str) -> str:
    """Prefix of one job's keys in the ledger; the job's own hash has this very name."""
    return f"{LEDGER}job:{job_id(job)}"


def ledger_idempotency(owner: str, key: str) -> str:
    """The job that was submitted with an idempotency key."""
    return f"{LEDGER}once:{owner}:{key}"


def ledger_removal(digest: str) -> str:
    """Who removes an avatar's pack at the moment."""
    return f"{LEDGER}removing:{avatar_pack(digest).split('/')[1]}"


WORKERS: Final = f"{LEDGER}workers"
"""Sorted set of the workers that take work, by the time they were last seen."""
SEEN: Final = f"{LEDGER}seen"
"""Sorted set of all workers, those of drained hosts and those that vanished lately included."""
FACTS: Final = f"{LEDGER}facts"
"""Hash of what each of them said of itself."""
DRAINED: Final = f"{LEDGER}drained"
"""Set of hosts that take no more work."""
TALLIES: Final = f"{LEDGER}tallies"
"""Hash of what is counted over the life of the fleet."""
TURNS: Final = f"{LEDGER}turn:"
JOBS: Final = f"{LEDGER}jobs"
ACTIVE: Final = f"{LEDGER}active"
