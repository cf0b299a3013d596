"""The demo avatar that ships with the package: a drawn face and the networks trained for it."""

import json
import shutil
from pathlib import Path
from typing import Final

from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import AUDIO_ENCODER_FILE, GENERATOR_FILE, FrameSize, Provenance, VideoTemplate
from jobs.avatars import list_avatars
from workers.avatar.pack import Pack, open_pack, publish, seal

DEMO: Final = "demo"
_DATA: Final = Path(__file__).parent.parent / "data"
_SHIPPED: Final = _DATA / "demo"
_CANARY: Final = _DATA / "demo-canary.png"
_DIGEST: Final = "3f1d78d1ddf6925317529c625ab9aa05a9ee8976eb183dbdea39cd7380d1f844"


def demo_pack() -> Pack:
    """Open the pack that ships with the package.

    Raises:
        NotFound: the installation lacks it.
        Failed: a file of it was changed.
    """
    return open_pack(_SHIPPED, _DIGEST)


def demo_canary() -> bytes:
    """The stored answer to the demo pack's canary, a PNG."""
    return _CANARY.read_bytes()


def publish_demo(store: ObjectStore) -> None:
    """Put the demo pack and the canary that ships with it into a store; doing it again changes nothing.

    Where the name means another avatar already, it keeps doing so.
    """
    pack = demo_pack()
    named = {avatar.name: avatar.digest for avatar in list_avatars(store)}
    if named.get(DEMO, pack.digest) == pack.digest:
        store.put(keys.canary(pack.digest), demo_canary())
        publish(pack, store, DEMO)


def build_demo_pack(drawn: Path, root: Path) -> Pack:
    """Make the demo pack from what drawing and training left in a folder; the same files give the same pack.

    Args:
        drawn: holds `gen.onnx`, `enc.onnx`, `template16.mp4` (untagged, BT.601 matrix) and `boxes.json`.
        root: folder to make.
    """
    root.mkdir(parents=True)
    template = VideoTemplate(matrix="smpte170m")
    names = {"gen.onnx": GENERATOR_FILE, "enc.onnx": AUDIO_ENCODER_FILE, "template16.mp4": template.file}
    for name, target in names.items():
        shutil.copyfile(drawn / name, root / target)
    return seal(
        root,
        frame_size=FrameSize(width=1280, height=720),
        template=template,
        boxes=json.loads((drawn / "boxes.json").read_text()),
        provenance=Provenance(layout="drawn", note="drawn and trained for this project: no real face, no real voice"),
        licence="Apache-2.0",
    )
