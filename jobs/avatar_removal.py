"""Removing avatars from the store, never from under a job.

Whoever submits a job opens it in the ledger and then looks whether its pack is still whole; whoever removes a pack
takes away its `avatar.json` and then asks the ledger once more. However the two meet, one of them sees the other: the
removal is taken back, or the job fails with a sentence. Names are given in the same way: first the name, then a look at
the pack. For this to hold there is one removal of a pack at a time, by a claim in the ledger: two of them could take
what one has just put back.

`avatar.json` goes first, so that a removal that broke off leaves a whole pack, or one that counts as not there and
whose files the next removal finds. Only who publishes the pack meanwhile can bring it back under a removal; so there is
a last look when all is gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from infra.errors import Failed, NotFound, Rejected, Transient, Unreachable
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import AVATAR_JSON
from jobs.avatars import is_digits, list_avatars, name_key, resolve, stored_names, stored_packs, the_one
from jobs.ledger import Ledger
from jobs.states import ENDED, JobState

_JOBS_SHOWN: Final = 5


@dataclass(frozen=True)
class Removal:
    """What removing an avatar takes away."""

    digest: str | None
    """The avatar; None for a damaged name, which means none."""
    names: tuple[str, ...]
    """Names that go."""
    kept_by: tuple[str, ...] = ()
    """Other names that mean the pack, and keep it; with none of them, the pack goes."""
    size: int = 0
    """Bytes of the pack in the store; 0 when only names are left of it."""
    failed_jobs: tuple[str, ...] = ()
    """Failed jobs of the avatar: they can be retried only when the pack is back."""

    @property
    def pack(self) -> str | None:
        """Digest of the pack that goes, None when only a name does."""
        return None if self.kept_by else self.digest


def plan_removal(ref: str, ledger: Ledger, store: ObjectStore) -> Removal:
    """Find out what removing an avatar would take away; nothing is removed yet.

    Args:
        ref: a name, which takes the pack along when no other name means it; or a digest or at least 8 digits of it,
            for the pack and all its names. A damaged name, as `list_avatars` leaves out, goes alone.
        ledger: asked for jobs that use the pack, even where only a name would go.
        store: where the avatar is.

    Raises:
        NotFound: there is no such avatar.
        Rejected: a job uses the pack, or the digits fit several.
        Unreachable: the ledger or the store cannot be asked.
    """
    found = {each.name: each.digest for each in stored_names(store)}
    meanings = {name: digest for name, digest in found.items() if digest}
    if ref in found and ref not in meanings:
        return Removal(None, (ref,))
    digest = meanings[ref] if ref in meanings else _find(ref, meanings, store)
    names = {name for name, meant in meanings.items() if meant == digest}
    going = {ref} if ref in meanings else names
    jobs = ledger.jobs_of(digest)
    removal = Removal(
        digest=digest,
        names=tuple(sorted(going)),
        kept_by=tuple(sorted(names - going)),
        size=sum(pack.size for pack in stored_packs(store, digest)),
        failed_jobs=tuple(job for job, state in jobs.items() if state is JobState.FAILED),
    )
    if removal.pack:
        _refuse_used(removal.pack, jobs)
    return removal


def remove_avatar(removal: Removal, ledger: Ledger, store: ObjectStore) -> None:
    """Remove what was planned; doing it again finishes what broke off.

    Raises:
        Rejected: a job or a new name has come to use the pack since; nothing was removed.
        Failed: the pack was published and submitted to while it was removed, and that job has lost it.
        Transient: somebody else removes the pack now, and nothing was removed; or somebody published it meanwhile.
        Unreachable: the ledger or the store cannot be asked.
    """
    pack = removal.pack
    if pack is None:
        _remove_names(removal, store)
        return
    with _alone(pack, ledger) as token:
        _hide(pack, removal.names, token, ledger, store)
        _remove_names(removal, store)
        for key in (keys.canary(pack), keys.exports(pack)):
            store.delete(key)
        store.delete_prefix(keys.avatar_pack(pack))
        _look_back(pack, ledger, store)


def _find(ref: str, meanings: dict[str, str], store: ObjectStore) -> str:
    """A digest by itself or by its first digits, be the pack whole, broken, or no more than what a name means."""
    if is_digits(ref):
        found = the_one(ref, [*(pack.digest for pack in stored_packs(store, ref)), *meanings.values()])
        if found:
            return found
    return resolve(ref, store)  # which says what there is instead


@contextmanager
def _alone(pack: str, ledger: Ledger) -> Iterator[str]:
    """Be the only one who removes a pack; gives the token of the claim."""
    token = uuid4().hex
    if not ledger.begin_removal(pack, token):
        raise _another(pack)
    try:
        yield token
    finally:
        with suppress(Transient):  # then it runs out by itself
            ledger.end_removal(pack, token)


def _another(pack: str) -> Transient:
    return Transient(f"Another removal of avatar {pack} is under way: look again in a minute.")


def _hide(pack: str, names: tuple[str, ...], token: str, ledger: Ledger, store: ObjectStore) -> None:
    """Make the pack count as not there, then look once more whether anybody uses it; if so, put it back."""
    key = keys.avatar_pack(pack) + AVATAR_JSON
    avatar_json = None  # of a pack whose removal broke off
    with suppress(NotFound):
        avatar_json = store.get(key)
    try:
        store.delete(key)
        _refuse_used(pack, ledger.jobs_of(pack))
        _refuse_named(pack, names, store)
        alone = ledger.begin_removal(pack, token)  # a slow store may have used up all the time of the claim
    except BaseException:
        if avatar_json is not None:
            store.put(key, avatar_json)
        raise
    if not alone:  # nothing is put back: the other one may be deleting the files that it lists
        raise _another(pack)


def _remove_names(removal: Removal, store: ObjectStore) -> None:
    for found in stored_names(store):
        if found.name in removal.names and found.digest == removal.digest:  # else it has come to mean another pack
            store.delete(name_key(found.name))


def _look_back(pack: str, ledger: Ledger, store: ObjectStore) -> None:
    """Say what somebody did who published the pack while it was removed."""
    try:
        jobs = ledger.jobs_of(pack)
    except Unreachable as error:
        raise Unreachable(
            f"Avatar {pack} was removed from {store.url}, but whether a job has come to use it meanwhile is not known. "
            f"{error}"
        ) from error
    left = using(jobs)
    if left:
        raise Failed(
            f"Avatar {pack} was removed from {store.url}, and {_spelled(left)} came to use it meanwhile: push or "
            "import the same avatar again, then `lipsync retry` what has failed."
        )
    if stored_packs(store, pack) or any(avatar.digest == pack for avatar in list_avatars(store)):
        raise Transient(
            f"Avatar {pack} was published in {store.url} while it was removed: publish it once more to keep it, or "
            "remove it again."
        )


def using(jobs: dict[str, JobState]) -> list[str]:
    """Those of an avatar's jobs that need its pack: they have not ended."""
    return [job for job, state in jobs.items() if state not in ENDED]


def _spelled(jobs: list[str]) -> str:
    more = f" and {len(jobs) - _JOBS_SHOWN} more" if len(jobs) > _JOBS_SHOWN else ""
    return f"{'job' if len(jobs) == 1 else 'jobs'} {', '.join(jobs[:_JOBS_SHOWN])}{more}"


def _refuse_used(digest: str, jobs: dict[str, JobState]) -> None:
    needing = using(jobs)
    if needing:
        one = len(needing) == 1
        raise Rejected(
            f"Avatar {digest} is in use by {_spelled(needing)}: remove it when {'that has' if one else 'those have'} "
            f"ended, or cancel {'it' if one else 'them'} first."
        )


def _refuse_named(pack: str, going: tuple[str, ...], store: ObjectStore) -> None:
    names = {name for name, digest in list_avatars(store) if digest == pack}
    for name in sorted(names - set(going)):
        raise Rejected(f"Avatar {pack} was given the name {name!r} just now: look again, then remove it.")
