"""A segment is stored while it grows, and whoever stops it stops everything that makes it."""

import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from infra.errors import ClaimLost, Transient
from infra.media_facts import describe
from infra.settings import Settings
from infra.store_directory import DirectoryStore
from jobs.ledger import Record
from jobs.manifest import Encoding, Manifest
from jobs.submit import new_job_id
from jobs.timing import Span
from workers.avatar.pack import Pack
from workers.pipeline import Painted
from workers.segment import Watch, store_segment
from workers.stopwatch import Stage, Stopwatch
from workers.warm import WarmAvatar, warm_up

SAMPLES = 16_000 * 3


class FailingStore(DirectoryStore):
    """Takes one block of a stream, then is away; and remembers the stream, as an exception's traceback might."""

    held: list[Iterable[bytes]]

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        self.held = [blocks]
        for _ in blocks:
            raise Transient("The store went away.")
        return 0


@pytest.fixture(scope="module")
def avatar(small_pack: Pack, settings: Settings) -> WarmAvatar:
    return warm_up(small_pack, settings)


def render(avatar: WarmAvatar, pack: Pack, store: DirectoryStore, settings: Settings, watch: Watch) -> Record:
    size = pack.spec.frame_size
    manifest = Manifest(
        job=new_job_id(),
        owner="somebody",
        avatar=pack.digest,
        length="exact",
        samples=SAMPLES,
        frames_total=75,
        chunk_frames=75,
        width=size.width,
        height=size.height,
        encoding=Encoding(),
        max_attempts=3,
        source_extension=".wav",
    )
    sound = np.random.default_rng(0).normal(0, 0.1, SAMPLES).astype(np.float32)
    stopwatch = Stopwatch()
    record = store_segment(
        manifest, Span(0, 75), avatar, lambda span: sound[slice(*span)], store, "a.mp4", 2, watch, settings, stopwatch
    )
    assert all(stopwatch.laps(stage) for stage in Stage), "every stage was measured"
    return record


def stages() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stage")]


def test_a_segment_is_recorded_as_it_is_stored(
    avatar: WarmAvatar, small_pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    seen: list[int] = []
    record = render(avatar, small_pack, DirectoryStore(tmp_path), settings, lambda face: seen.append(face.frame))
    assert seen == list(range(75))
    assert (record.attempt, record.frames, record.size) == (2, 75, (tmp_path / "a.mp4").stat().st_size)
    assert describe(tmp_path / "a.mp4")["video"]["frames"] == 75
    assert not stages()


def test_nothing_works_on_when_the_store_goes_away(
    avatar: WarmAvatar, small_pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    store = FailingStore(tmp_path)
    with pytest.raises(Transient):
        render(avatar, small_pack, store, settings, lambda _: None)
    assert not stages()


def test_nothing_works_on_and_nothing_is_stored_when_the_claim_is_lost(
    avatar: WarmAvatar, small_pack: Pack, settings: Settings, tmp_path: Path
) -> None:
    def lose(face: Painted) -> None:
        if face.frame == 60:
            raise ClaimLost("Somebody else has it.")

    with pytest.raises(ClaimLost):
        render(avatar, small_pack, DirectoryStore(tmp_path), settings, lose)
    assert not stages()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
