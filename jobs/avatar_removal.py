"""Removing avatars from the store, never from under a job.

Whoever submits a job opens it in the ledger and then looks whether its pack is still whole; whoever removes a pack
takes away its `avatar.json` and then asks the ledger once more. However the two meet, one of them sees the other: the
removal is taken back, or the job fails with a sentence. Names are given in the same way: first the name, then a look at
the pack.

`avatar.json` goes first, so that a removal that broke off leaves a whole pack, or one that counts as not there and
whose files the next removal finds.
"""

from dataclasses import dataclass
from typing import Final

from infra.errors import NotFound, Rejected, Transient
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import AVATAR_JSON
from jobs.avatars import is_digits, list_avatars, resolve, stored_packs, the_one
from jobs.ledger import Ledger
from jobs.states import ENDED, JobState

_JOBS_SHOWN: Final = 5


@dataclass(frozen=True)
class Removal:
    """What removing an avatar takes away."""

    digest: str
    names: tuple[str, ...]
    """Names that go."""
    kept_by: tuple[str, ...]
    """Other names that mean the pack, and keep it; with none of them, the pack goes."""
    size: int
    """Bytes of the pack in the store; 0 when only names are left of it."""
    failed_jobs: tuple[str, ...]
    """Failed jobs of the avatar: they can be retried only when the pack is back."""

    @property
    def takes_pack(self) -> bool:
        """Whether the pack goes, and not only a name."""
        return not self.kept_by


def plan_removal(ref: str, ledger: Ledger, store: ObjectStore) -> Removal:
    """Find out what removing an avatar would take away; nothing is removed yet.

    Args:
        ref: a name, which takes the pack along when no other name means it; or a digest or at least 8 digits of it,
            for the pack and all its names.
        ledger: asked for jobs that use the pack, even where only a name would go.
        store: where the avatar is.

    Raises:
        NotFound: there is no such avatar.
        Rejected: a job uses the pack, or the digits fit several.
        Unreachable: the ledger or the store cannot be asked.
    """
    meanings = dict(list_avatars(store))
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
    if removal.takes_pack:
        _refuse_used(digest, jobs)
    return removal


def remove_avatar(removal: Removal, ledger: Ledger, store: ObjectStore) -> None:
    """Remove what was planned; doing it again finishes what broke off.

    Raises:
        Rejected: a job or a new name has come to use the pack since; nothing was removed.
        Unreachable: the ledger or the store cannot be asked.
        Transient: somebody published the pack at the same time.
    """
    if removal.takes_pack:
        _hide(removal, ledger, store)
    meanings = dict(list_avatars(store))
    for name in removal.names:
        if meanings.get(name) == removal.digest:  # else it has come to mean another pack
            store.delete(keys.avatar_pointer(name))
    if removal.takes_pack:
        for key in (keys.canary(removal.digest), keys.exports(removal.digest)):
            store.delete(key)
        store.delete_prefix(keys.avatar_pack(removal.digest))
        if stored_packs(store, removal.digest):
            raise Transient(
                f"Avatar {removal.digest} was published in {store.url} while it was removed: publish it once more to "
                "keep it, or remove it again."
            )


def _find(ref: str, meanings: dict[str, str], store: ObjectStore) -> str:
    """A digest by itself or by its first digits, be the pack whole, broken, or no more than what a name means."""
    if is_digits(ref):
        found = the_one(ref, [*(pack.digest for pack in stored_packs(store, ref)), *meanings.values()])
        if found:
            return found
    return resolve(ref, store)  # which says what there is instead


def _hide(removal: Removal, ledger: Ledger, store: ObjectStore) -> None:
    """Make the pack count as not there, then look once more whether anybody uses it; if so, put it back."""
    key = keys.avatar_pack(removal.digest) + AVATAR_JSON
    try:
        avatar_json = store.get(key)
    except NotFound:
        return
    try:
        store.delete(key)
        _refuse_used(removal.digest, ledger.jobs_of(removal.digest))
        _refuse_named(removal, store)
    except BaseException:
        store.put(key, avatar_json)
        raise


def _refuse_used(digest: str, jobs: dict[str, JobState]) -> None:
    using = [job for job, state in jobs.items() if state not in ENDED]
    if using:
        listed = ", ".join(using[:_JOBS_SHOWN])
        more = f" and {len(using) - _JOBS_SHOWN} more" if len(using) > _JOBS_SHOWN else ""
        one = len(using) == 1
        raise Rejected(
            f"Avatar {digest} is in use by {'job' if one else 'jobs'} {listed}{more}: remove it when "
            f"{'that has' if one else 'those have'} ended, or cancel {'it' if one else 'them'} first."
        )


def _refuse_named(removal: Removal, store: ObjectStore) -> None:
    names = {name for name, digest in list_avatars(store) if digest == removal.digest}
    for name in sorted(names - set(removal.names)):
        raise Rejected(f"Avatar {removal.digest} was given the name {name!r} just now: look again, then remove it.")
