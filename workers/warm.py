"""Avatars ready to render, and those kept warm in one worker: the least recently used leaves."""

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import structlog

from infra.memory import free_bytes
from infra.object_store import ObjectStore
from infra.settings import Settings
from workers.avatar.cache import Shelf, fetch_pack
from workers.avatar.networks.prepared import HalfFiles, load_halves
from workers.avatar.pack import Pack
from workers.avatar.template import Template, open_template
from workers.batches import choose_batch
from workers.encoding_capacity import core_shortage
from workers.lip_model import Float32, Network, hear_windows, load_audio_encoder
from workers.painter import Painter
from workers.sessions import wanted_provider
from workers.stopwatch import Stopwatch

log = structlog.get_logger(__name__)

ACCELERATOR_CACHE_MB = 8_000
"""Holds the tensors of some 940 template frames of the real networks."""
CPU_SHARE = 2
"""One part in so many of the free memory is for them on a CPU; networks and other programs want some, too."""


class WarmAvatar(NamedTuple):
    """An avatar ready to render."""

    audio_encoder: Network
    painter: Painter
    template: Template

    def encode(self, windows: Float32, stopwatch: Stopwatch | None = None) -> Float32:
        """Mel windows float32 (N, 1, 80, 16) → audio features float32 (N, 512)."""
        return self.painter.on_device(hear_windows, self.audio_encoder, windows, stopwatch or Stopwatch())


Prove = Callable[[str, WarmAvatar, ObjectStore], None]
"""Raises when an avatar, by its digest, is rendered wrongly here."""


def warm_up(pack: Pack, settings: Settings, used_bytes: int = 0) -> WarmAvatar:
    """Load a pack: its networks on the device, its template mapped.

    Args:
        pack: the avatar.
        settings: what to run on, and with how much memory.
        used_bytes: of that memory, what other avatars have.

    Raises:
        Failed: a file is damaged, or the provider that was asked for is not there.
        Rejected: the networks are of another kind than the render contract's.
    """
    template = open_template(pack, settings.cache, settings.cache_disk_mb)
    batch = choose_batch(pack, template.crops, settings)
    budget = max(cache_bytes(settings) - used_bytes, 0)
    if batch.frames_per_s:
        shortage = core_shortage(batch.frames_per_s, pack.spec.frame_size, len(os.sched_getaffinity(0)))
        if shortage:
            log.warning("cores_too_few", avatar=pack.digest, reason=shortage)

    def load(halves: HalfFiles) -> Painter:
        return Painter(halves, template.crops, settings, budget, batch.frames)

    painter = load_halves(pack, settings, batch.frames, load)
    engines = Shelf(settings.cache, pack.digest).home / "engines"
    audio_encoder = painter.on_device(load_audio_encoder, pack.audio_encoder, settings, engines)
    return WarmAvatar(audio_encoder, painter, template)


def cache_bytes(settings: Settings) -> int:
    """How much memory of the device may hold what the generator knows of template frames."""
    if settings.cache_mb:
        return settings.cache_mb * 1_000_000
    on_cpu = wanted_provider(settings) == "cpu"
    return free_bytes() // CPU_SHARE if on_cpu else ACCELERATOR_CACHE_MB * 1_000_000


class WarmAvatars:
    """Gives avatars by digest, at most `settings.warm_avatars` of them loaded at a time."""

    def __init__(self, store: ObjectStore, settings: Settings, prove: Prove) -> None:
        self._store = store
        self._prove = prove
        # Asked once: what the banks take is no longer free, and would count twice.
        self._settings = settings.model_copy(update={"cache_mb": max(cache_bytes(settings) // 1_000_000, 1)})
        self._warm: OrderedDict[str, WarmAvatar] = OrderedDict()

    def get(self, digest: str) -> WarmAvatar:
        """The avatar, loaded and proved on first use.

        Raises:
            NotFound: the store has no such pack.
            Failed: the pack is damaged, or this machine renders it wrongly.
        """
        if digest not in self._warm:
            while len(self._warm) >= self._settings.warm_avatars:
                left = next(iter(self._warm))
                del self._warm[left]  # no name may hold it while its successor is loaded
                log.info("avatar_left_memory", avatar=left)
            self._warm[digest] = self._load(digest)
        self._warm.move_to_end(digest)
        return self._warm[digest]

    def _load(self, digest: str) -> WarmAvatar:
        settings = self._settings
        pack = fetch_pack(self._store, digest, settings.cache, settings.cache_disk_mb)
        used = sum(avatar.painter.bank.bytes for avatar in self._warm.values())
        if settings.warm_avatars > 1:
            used += max(cache_bytes(settings) - used, 0) // 2  # half of what is left, for the next ones
        avatar = warm_up(pack, settings, used)
        self._prove(digest, avatar, self._store)
        painter = avatar.painter
        log.info(
            "avatar_warm",
            avatar=digest,
            provider=painter.provider,
            batch=painter.batch,
            template_frames=len(avatar.template),
            kept_frames=painter.bank.room,
        )
        return avatar
