"""The demo avatar that ships with the package: drawn, and trained, by `workers.presenter`."""

from pathlib import Path
from typing import Final

from infra.errors import Failed, NotFound
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatars import list_avatars, read_spec
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

    Where the name means the demo of an earlier release, it means this one from now on. A user's own avatar keeps the
    name, and so does a pack that cannot be read.
    """
    pack = demo_pack()
    if _is_ours(pack.digest, store):
        publish(pack, store, DEMO, {keys.canary(pack.digest): demo_canary()})


def _is_ours(digest: str, store: ObjectStore) -> bool:
    """Whether the name means this demo, an earlier one, or nothing that there is."""
    named = dict(list_avatars(store)).get(DEMO, digest)
    try:
        return named == digest or read_spec(store, named).provenance.layout == "drawn"
    except NotFound:
        return True
    except Failed:
        return False
