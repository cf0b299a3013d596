"""The doctor renders for real, in a process that may crash, hang or answer wrongly."""

import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs import keys
from tests.servers import wait_until
from workers.avatar.publishing import publish_proved
from workers.avatar.synthetic import make_synthetic
from workers.canary import encode_png
from workers.doctor.rendering import RENDER_S, Rendered, render
from workers.doctor.rendering_checks import judge_rendered, outcome_of_canary
from workers.doctor.rendering_steps import unloadable_libraries


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri(), providers="cpu", threads=1)


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> ObjectStore:
    """A store with one small avatar, `tiny`."""
    store = open_store(settings)
    pack = make_synthetic(tmp_path / "tiny", frames=5, width=384, height=352, small=True)
    publish_proved(pack, "tiny", store, settings)
    return store


def test_the_avatar_that_ships_is_rendered_on_what_a_session_really_got(settings: Settings) -> None:
    rendered = render(settings, (), RENDER_S)
    assert rendered.proved == ["demo"] and rendered.provider == "cpu"
    assert (rendered.x264_problem, rendered.broken, rendered.ended) == ("", "", "")
    assert "h264_nvenc" in (rendered.nvenc_problem or "")
    assert rendered.memory_bytes > 50_000_000 and rendered.network_bytes > 100_000
    assert judge_rendered(rendered, "canary-failed") == []
    assert not settings.cache.exists()  # it is not for whoever runs the doctor to fill


def test_named_avatars_are_fetched_and_proved_as_a_worker_does(settings: Settings, store: ObjectStore) -> None:
    rendered = render(settings, ("tiny", "nobody"), RENDER_S)
    assert rendered.proved == ["tiny"]
    assert list(rendered.refused) == ["nobody"]
    assert rendered.bank_bytes > 0
    assert [finding.code for finding in judge_rendered(rendered, "avatar-unusable")] == ["avatar-unusable"]
    assert outcome_of_canary(Rendered(proved=["demo"]), rendered, ()).line.startswith("demo, tiny as stored")
    assert (settings.cache / "avatars").is_dir()


def test_a_frame_that_differs_from_the_stored_one_is_told(settings: Settings, store: ObjectStore) -> None:
    (canary,) = (info.key for info in store.list("avatars/canaries/"))
    store.put(canary, encode_png(np.zeros((320, 320, 3), np.uint8)))
    rendered = render(settings, ("tiny",), RENDER_S)
    (found,) = judge_rendered(rendered, "avatar-unusable")
    assert found.code == "canary-wrong" and "grey levels on CPUExecutionProvider" in found.sentence
    assert rendered.proved == []


def test_an_avatar_without_a_stored_frame_is_told(settings: Settings, store: ObjectStore) -> None:
    store.delete_prefix("avatars/canaries/")
    assert list(render(settings, ("tiny",), RENDER_S).refused) == ["tiny"]


def test_a_provider_that_is_not_in_the_build_is_told_and_encoders_are_tried_all_the_same(settings: Settings) -> None:
    rendered = render(settings.model_copy(update={"providers": "cuda"}), (), RENDER_S)
    assert "LIPSYNC_PROVIDERS=cuda was asked for" in rendered.provider_problem
    assert rendered.broken == rendered.provider_problem
    assert rendered.proved == [] and rendered.x264_problem == ""


def test_a_process_that_hangs_is_killed(settings: Settings) -> None:
    rendered = render(settings, (), 0.001)
    assert rendered.ended == "it was not done within 0 s"
    assert [finding.code for finding in judge_rendered(rendered, "canary-failed")] == ["canary-failed"]


def rendering_processes() -> list[psutil.Process]:
    """Those of this process; servers of other tests may be children of it, too."""
    return [child for child in psutil.Process().children() if "workers.doctor.rendering" in child.cmdline()]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL], ids=lambda number: number.name)
def test_a_process_that_crashes_takes_nobody_along(settings: Settings, number: signal.Signals) -> None:
    answers: list[Rendered] = []
    thread = threading.Thread(target=lambda: answers.append(render(settings, (), RENDER_S)))
    thread.start()
    wait_until(rendering_processes, 30, "the process that renders")
    (child,) = rendering_processes()
    child.send_signal(number)
    thread.join()
    (rendered,) = answers
    assert rendered.ended == f"it ended by {number.name}"


def test_this_build_of_the_runtime_lacks_no_library() -> None:
    assert unloadable_libraries() == []


def test_keys_of_canaries_are_where_this_page_looks_for_them() -> None:
    assert keys.canary("0" * 64).startswith("avatars/canaries/")
