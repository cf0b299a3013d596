"""The demo avatar that ships with the package: drawn, and trained, by `workers.presenter`."""

from pathlib import Path
from typing import Final

from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatars import list_avatars
from workers.avatar.pack import Pack, open_pack, publish

DEMO: Final = "demo"
_DATA: Final = Path(__file__).parent.parent / "data"


def demo_pack() -> Pack:
    """Open the pack that ships with the package.

    Raises:
        NotFound: the installation lacks it.
        Failed: a file of it was changed.
    """
    return open_pack(_DATA / "demo", (_DATA / "demo.sha256").read_text().strip())


def demo_canary() -> bytes:
    """The stored answer to the demo pack's canary, a PNG."""
    return (_DATA / "demo-canary.png").read_bytes()


def publish_demo(store: ObjectStore) -> None:
    """Put the demo pack and the canary that ships with it into a store; doing it again changes nothing.

    Where the name means another avatar already, it keeps doing so.
    """
    pack = demo_pack()
    named = {avatar.name: avatar.digest for avatar in list_avatars(store)}
    if named.get(DEMO, pack.digest) == pack.digest:
        store.put(keys.canary(pack.digest), demo_canary())
        publish(pack, store, DEMO)
