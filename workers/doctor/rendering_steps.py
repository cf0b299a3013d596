"""The steps of rendering that a host must be able to do, each told of as soon as it is done."""

import ctypes
import re
import resource
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.errors import Failed, LipsyncError
from infra.media_codecs import encoding_problem
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs import keys
from jobs.avatars import resolve
from jobs.scratch import scratch_folder
from workers.avatar.cache import fetch_pack
from workers.avatar.demo import DEMO, demo_canary, demo_pack
from workers.avatar.pack import Pack
from workers.batches import choose_batch
from workers.canary import compare_canary, render_canary
from workers.sessions import PROVIDER_NAMES, NotANetwork, import_runtime, open_session, runs_on, wanted_provider
from workers.warm import WarmAvatar, warm_up

_CUDNN: Final = "libcudnn.so.9"
"""Looked for by itself: the provider loads it only when the first convolution runs."""
_LACKING: Final = re.compile(r"^(?:.*/)?(lib[\w.+-]+): cannot open shared object file")


class Steps:
    """Everything that is tried, with what was found so far."""

    def __init__(self, settings: Settings, tell: Callable[..., None]) -> None:
        """Begin.

        Args:
            settings: of the worker.
            tell: takes facts of `rendering.Rendered` by their names.
        """
        self._settings = settings
        self._tell = tell
        self._proved: list[str] = []
        self._wrong: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._network_bytes = self._bank_bytes = 0
        self._paces: list[dict[str, Any]] = []

    def with_demo(self) -> None:
        """Encode, open a session, and render a frame with the avatar that ships. No store is asked."""
        self._encode()
        self._tell(unloadable=unloadable_libraries())
        pack = demo_pack()
        self._open_session(pack)
        with scratch_folder() as cache:  # not the host's: who runs the doctor may not be the user of the workers
            update = {"cache": cache, "batch": self._settings.batch or 1}  # a batch is not worth a trial here
            self._render(DEMO, lambda: pack, lambda _: demo_canary(), self._settings.model_copy(update=update))

    def with_avatars(self, avatars: tuple[str, ...]) -> None:
        """Fetch avatars into the host's cache and render a frame with each, as a worker does before its first task."""
        self._open_session(demo_pack())
        store, settings = open_store(self._settings), self._settings
        for ref in avatars:
            find = partial(_fetch, ref, store, settings)
            found = self._render(ref, find, lambda digest: store.get(keys.canary(digest)), settings)
            if found is not None:
                self._time(*found)

    def _encode(self) -> None:
        self._tell(
            x264_problem=encoding_problem("libx264") or "",
            nvenc_problem=encoding_problem("h264_nvenc", self._settings.device) or "",
        )

    def _open_session(self, pack: Pack) -> None:
        """Open a real session where the settings say, and go on with the CPU where that is allowed and needed."""
        try:
            wanted = wanted_provider(self._settings)
            session = open_session(pack.audio_encoder, self._settings.model_copy(update={"providers": wanted}))
        except NotANetwork:
            raise
        except Failed as error:
            self._tell(provider_problem=str(error))
            if self._settings.providers != "auto":
                raise
            self._settings = self._settings.model_copy(update={"providers": "cpu"})
            self._tell(provider="cpu")
        else:
            self._tell(provider=runs_on(session))

    def _render(
        self, name: str, find: Callable[[], Pack], stored: Callable[[str], bytes], settings: Settings
    ) -> tuple[Pack, WarmAvatar] | None:
        try:
            pack = find()
            avatar = warm_up(pack, settings)
            answer, canary = render_canary(avatar), stored(pack.digest)
        except LipsyncError as error:
            self._refused[name] = str(error)
            self._tell(refused=self._refused)
            return None
        try:
            compare_canary(pack.digest, answer, canary, avatar.painter)
        except LipsyncError as error:
            self._wrong[name] = str(error)
        else:
            self._proved.append(name)
        self._network_bytes += sum(path.stat().st_size for path in (pack.generator, pack.audio_encoder))
        self._bank_bytes += avatar.painter.bank.bytes
        self._tell(
            proved=self._proved,
            wrong=self._wrong,
            memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            network_bytes=self._network_bytes,
            bank_bytes=self._bank_bytes,
        )
        return pack, avatar

    def _time(self, pack: Pack, avatar: WarmAvatar) -> None:
        """Tell how fast an accelerator was found to paint; it was tried when the avatar was loaded."""
        frames_per_s = choose_batch(pack, avatar.template.crops, self._settings).frames_per_s
        if frames_per_s:
            self._paces.append({"frames_per_s": frames_per_s, "size": pack.spec.frame_size.model_dump()})
            self._tell(paces=self._paces)


def _fetch(ref: str, store: ObjectStore, settings: Settings) -> Pack:
    return fetch_pack(store, resolve(ref, store), settings.cache, settings.cache_disk_mb)


def unloadable_libraries() -> list[str]:
    """Libraries that ONNX Runtime's CUDA provider lacks here; none where this build has no such provider."""
    runtime = import_runtime()
    if PROVIDER_NAMES["cuda"] not in runtime.get_available_providers():
        return []
    folder = Path(runtime.__file__).parent / "capi"
    with suppress(OSError):
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
    runtime.preload_dlls()
    return list(filter(None, map(_lacking, (str(folder / "libonnxruntime_providers_cuda.so"), _CUDNN))))


def _lacking(library: str) -> str:
    """The first library that is not found when one is loaded: itself, or one that it needs; empty when all are."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        found = _LACKING.match(str(error))
        return found[1] if found else ""
    return ""
