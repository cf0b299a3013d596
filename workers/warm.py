"""Avatars kept warm in one worker: networks loaded and proved, template mapped; the least recently used leaves."""

from collections import OrderedDict
from typing import NamedTuple

import structlog

from infra.object_store import ObjectStore
from infra.settings import Settings
from workers.avatar.cache import fetch_pack
from workers.avatar.template import Template, open_template
from workers.canary import prove
from workers.lip_model import LipModel, load_lip_model

log = structlog.get_logger(__name__)


class WarmAvatar(NamedTuple):
    """An avatar ready to render."""

    model: LipModel
    template: Template


class WarmAvatars:
    """Gives avatars by digest, at most `settings.warm_avatars` of them loaded at a time."""

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._warm: OrderedDict[str, WarmAvatar] = OrderedDict()

    def get(self, digest: str) -> WarmAvatar:
        """The avatar, loaded and proved on first use.

        Raises:
            NotFound: the store has no such pack.
            Failed: the pack is damaged, or this machine renders it wrongly.
        """
        if digest not in self._warm:
            while len(self._warm) >= self._settings.warm_avatars:
                left, _ = self._warm.popitem(last=False)
                log.info("avatar_left_memory", avatar=left)
            self._warm[digest] = self._load(digest)
        self._warm.move_to_end(digest)
        return self._warm[digest]

    def _load(self, digest: str) -> WarmAvatar:
        settings = self._settings
        pack = fetch_pack(self._store, digest, settings.cache, settings.cache_disk_mb)
        template = open_template(pack, settings.cache, settings.cache_disk_mb)
        model = load_lip_model(pack.generator, pack.audio_encoder, settings)
        prove(digest, model, template, self._store)
        log.info("avatar_warm", avatar=digest, provider=model.provider, template_frames=len(template))
        return WarmAvatar(model, template)
