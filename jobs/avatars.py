"""Avatars in the store, as far as a submitting client needs to know them: names, digests and `avatar.json`."""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from pydantic import BaseModel, ValidationError

from infra.errors import Damaged, NotFound, Rejected
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import AVATAR_JSON, AvatarSpec, Sha256, read_avatar_json

_DIGITS: Final = re.compile(r"[0-9a-f]{8,64}")
_NAMES_SHOWN: Final = 8


class AvatarPointer(BaseModel):
    """The object that gives a name to a pack."""

    digest: Sha256


class NamedAvatar(NamedTuple):
    """A name in the store and the digest of the pack that it means now."""

    name: str
    digest: str


class StoredName(NamedTuple):
    """What the store holds as a name: the digest that it means, or a sentence that says why it means none."""

    name: str
    digest: str | None
    problem: str | None = None


class StoredPack(NamedTuple):
    """What the store holds of a pack: bytes in all, and whether it is whole, which its `avatar.json` says."""

    digest: str
    size: int
    whole: bool


def resolve(ref: str, store: ObjectStore) -> str:
    """Find the digest that a user means.

    Args:
        ref: an avatar's name, its digest, or at least 8 digits of the digest that fit no other avatar.
        store: where the avatars are.

    Raises:
        NotFound: there is no such avatar; the message names those that there are.
        Rejected: the digits fit several avatars, or `ref` can be neither name nor digest.
        Damaged: the name's object in the store is.
    """
    if not keys.is_digest(ref):
        named = _named(ref, store)
        if named:
            return named
    if is_digits(ref):
        found = the_one(ref, [pack.digest for pack in stored_packs(store, ref) if pack.whole])
        if found:
            return found
    raise NotFound(f"There is no avatar {ref!r} in {store.url}: {_known(store)}.")


def is_digits(ref: str) -> bool:
    """Whether `ref` may be a digest, or enough first digits of one."""
    return _DIGITS.fullmatch(ref) is not None


def the_one(ref: str, digests: Iterable[str]) -> str | None:
    """The digest that begins with `ref`, None when there is none.

    Raises:
        Rejected: there are several.
    """
    found = sorted({digest for digest in digests if digest.startswith(ref)})
    if len(found) > 1:
        raise Rejected(f"Avatar {ref!r} may be {' or '.join(found)}: give more digits.")
    return found[0] if found else None


def read_spec(store: ObjectStore, digest: str) -> AvatarSpec:
    """Read and prove the `avatar.json` of a pack in the store.

    Raises:
        NotFound: there is no such pack.
        Damaged: it is, or belongs to another pack.
    """
    key = keys.avatar_pack(digest) + AVATAR_JSON
    try:
        data = store.get(key)
    except NotFound:
        raise NotFound(f"There is no avatar {digest} in {store.url}: {_known(store)}.") from None
    spec, found = read_avatar_json(data, store.location(key))
    if found != digest:
        raise Damaged(f"{store.location(key)} is not the one of avatar {digest}: delete that pack and import it again.")
    return spec


def list_avatars(store: ObjectStore) -> list[NamedAvatar]:
    """Names in the store, sorted, each with the digest it means; damaged ones mean no pack and are left out."""
    return [NamedAvatar(found.name, found.digest) for found in stored_names(store) if found.digest]


def stored_names(store: ObjectStore) -> list[StoredName]:
    """Everything that stands among the names of the store, sorted, damaged and foreign objects included."""
    found = []
    for name in _names(store):
        with suppress(NotFound):  # it was removed while the names were listed
            found.append(_stored_name(name, store))
    return found


def name_key(name: str) -> str:
    """The object of a name as `stored_names` lists it, which may be none that this package would give."""
    return f"{keys.AVATAR_NAMES}{name}.json"


def stored_packs(store: ObjectStore, digits: str = "") -> list[StoredPack]:
    """Packs of the store whose digest begins with `digits`, sorted, those included that are not whole.

    `avatar.json` is the last file to come and the first to go: without it, a pack is being published or removed, or
    that broke off, and it counts as not there.
    """
    sizes: Counter[str] = Counter()
    whole = set()
    for info in store.list(f"{keys.AVATARS}{digits}"):
        digest, _, file = info.key.removeprefix(keys.AVATARS).partition("/")
        if keys.is_digest(digest):
            sizes[digest] += info.size
            if file == AVATAR_JSON:
                whole.add(digest)
    return [StoredPack(digest, size, digest in whole) for digest, size in sizes.items()]


def is_stored(digest: str, store: ObjectStore) -> bool:
    """Whether the store holds a pack, the whole of it."""
    return store.size(keys.avatar_pack(digest) + AVATAR_JSON) is not None


def point(name: str, digest: str, store: ObjectStore) -> None:
    """Let `name` mean the pack `digest` from now on."""
    store.put(keys.avatar_pointer(name), AvatarPointer(digest=digest).model_dump_json().encode())


def _named(ref: str, store: ObjectStore) -> str | None:
    try:
        return _read_pointer(ref, store)
    except NotFound:
        return None


def _read_pointer(name: str, store: ObjectStore) -> str:
    found = _stored_name(keys.avatar_name(name), store)
    if found.digest is None:
        raise Damaged(str(found.problem))
    return found.digest


def _stored_name(name: str, store: ObjectStore) -> StoredName:
    key = name_key(name)
    data = store.get(key)
    try:
        keys.avatar_name(name)
        return StoredName(name, AvatarPointer.model_validate_json(data).digest)
    except Rejected:
        problem = f"{store.location(key)} is no name of an avatar: `lipsync avatar rm` removes it."
    except ValidationError:
        problem = (
            f"{store.location(key)} names no avatar's digest: import the avatar {name!r} again, or remove the name "
            "with `lipsync avatar rm`."
        )
    return StoredName(name, None, problem)


def _names(store: ObjectStore) -> list[str]:
    listed = (info.key for info in store.list(keys.AVATAR_NAMES))
    return [key.removeprefix(keys.AVATAR_NAMES).removesuffix(".json") for key in listed if key.endswith(".json")]


def _known(store: ObjectStore) -> str:
    names = _names(store)
    if not names:
        return "it holds none yet, `lipsync avatar import` or `lipsync avatar synth` adds one"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"it holds {', '.join(names[:_NAMES_SHOWN])}{more}"
