"""Which provider a session is asked to run on, and with what options."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import structlog
from celery.exceptions import SoftTimeLimitExceeded

from infra.errors import Failed
from infra.settings import Precision, Providers, Settings
from workers import sessions
from workers.sessions import (
    NotANetwork,
    Provider,
    _accelerators,
    choose_provider,
    device_of,
    first_line,
    open_session,
    runs_on,
    runtime_errors,
    wanted_provider,
)

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("asked", "available", "chosen"),
    [
        ("auto", [CPU], "cpu"),
        ("auto", ["AzureExecutionProvider", CPU], "cpu"),
        ("auto", [TENSORRT, CUDA, CPU], "cuda"),
        ("cpu", [TENSORRT, CUDA, CPU], "cpu"),
        ("cuda", [TENSORRT, CUDA, CPU], "cuda"),
        ("tensorrt", [TENSORRT, CUDA, CPU], "tensorrt"),
    ],
)
def test_the_provider_that_was_asked_for_is_chosen(asked: Providers, available: list[str], chosen: str) -> None:
    assert choose_provider(asked, available) == chosen


@pytest.mark.parametrize("asked", ["cuda", "tensorrt"])
def test_an_accelerator_that_is_not_there_is_refused_with_what_is(asked: Providers) -> None:
    with pytest.raises(Failed) as refused:
        choose_provider(asked, [CPU])
    text = str(refused.value)
    assert f"LIPSYNC_PROVIDERS={asked}" in text
    assert CPU in text
    assert "LIPSYNC_PROVIDERS=cpu" in text


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
def test_cuda_keeps_its_precision_and_records_only_what_may_be_recorded(graphs: bool, recorded: bool) -> None:
    settings = Settings(device=3, cuda_graphs=graphs)
    ((name, options),) = _accelerators("cuda", Path("/cache/engines"), settings, recorded=recorded)
    assert name == CUDA
    assert options.pop("enable_cuda_graph", "0") == ("1" if graphs and recorded else "0")
    assert options == {"device_id": "3", "use_tf32": "0"}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_tensorrt_keeps_its_engines_and_leaves_the_rest_to_cuda(precision: Precision) -> None:
    settings = Settings(device=3, precision=precision)
    (first, options), second = _accelerators("tensorrt", Path("/cache/engines"), settings, recorded=True)
    assert first == TENSORRT
    assert second == (CUDA, {"device_id": "3", "use_tf32": "0"})
    assert options.pop("trt_fp16_enable", "0") == ("1" if precision == "float16" else "0")
    assert options == {"device_id": "3", "trt_engine_cache_enable": "1", "trt_engine_cache_path": "/cache/engines"}


def test_tensorrt_and_recorded_graphs_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "choose_provider", lambda *_: "tensorrt")
    with pytest.raises(Failed, match="LIPSYNC_PROVIDERS=cuda"):
        wanted_provider(Settings(cuda_graphs=True))
    assert wanted_provider(Settings()) == "tensorrt"


def test_the_end_of_a_tasks_time_is_no_error_of_onnx_runtime() -> None:
    assert not issubclass(SoftTimeLimitExceeded, runtime_errors())
    with pytest.raises(runtime_errors()):
        onnxruntime.InferenceSession(b"no network")


def test_tensorrt_keeps_no_engines_where_nobody_says_where() -> None:
    """Beside a network that somebody brought, or in a pack, they would be files that do not belong there."""
    (_, options), _ = _accelerators("tensorrt", None, Settings(), recorded=False)
    assert options == {"device_id": "0"}


@pytest.mark.parametrize(
    ("providers", "provider", "device"),
    [([CPU], "cpu", "cpu"), ([CUDA, CPU], "cuda", "cuda"), ([TENSORRT, CUDA, CPU], "tensorrt", "cuda")],
)
def test_a_session_runs_on_the_first_of_what_it_got(providers: list[str], provider: Provider, device: str) -> None:
    session = SimpleNamespace(get_providers=lambda: providers)
    assert (runs_on(session), device_of(session)) == (provider, device)


def test_a_session_has_the_threads_that_were_set_and_does_not_spin(
    networks: tuple[Path, Path], settings: Settings
) -> None:
    options = open_session(networks[0], settings.model_copy(update={"threads": 2})).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(("text", "line"), [("", ""), ("one", "one"), ("one\ntwo", "one"), ("x" * 999, "x" * 300)])
def test_of_what_onnx_runtime_says_a_line_goes_into_a_sentence(text: str, line: str) -> None:
    assert first_line(RuntimeError(text)) == line


def test_what_onnx_runtime_raises_is_told_apart_from_the_end_of_a_tasks_time(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"<html>")
    for path in (tmp_path / "no.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(runtime_errors()):
            onnxruntime.InferenceSession(str(path), providers=[CPU])
    assert not issubclass(SoftTimeLimitExceeded, runtime_errors())


@pytest.fixture
def _a_broken_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build with CUDA on a machine without: no test machine has one for sure."""
    load = sessions._load

    def broken(path: Path, settings: Settings, accelerators: list[tuple[str, dict[str, str]]]) -> Any:
        if accelerators:
            raise RuntimeError("CUDA failure 35: the driver is too old\nat some line of C++")
        return load(path, settings, accelerators)

    monkeypatch.setattr(sessions, "_load", broken)
    monkeypatch.setattr(sessions, "wanted_provider", lambda _: "cuda")


@pytest.mark.usefixtures("_a_broken_driver")
def test_an_accelerator_that_fails_gives_way_to_the_cpu_and_says_why(
    networks: tuple[Path, Path], settings: Settings
) -> None:
    with structlog.testing.capture_logs() as logs:
        session = open_session(networks[0], settings.model_copy(update={"providers": "auto"}))
    assert runs_on(session) == "cpu"
    (line,) = logs
    assert (line["event"], line["reason"]) == ("no_accelerator", "CUDA failure 35: the driver is too old")


@pytest.mark.usefixtures("_a_broken_driver")
def test_an_accelerator_that_was_asked_for_and_fails_is_refused_with_the_reason(
    networks: tuple[Path, Path], settings: Settings, tmp_path: Path
) -> None:
    asked = settings.model_copy(update={"providers": "cuda"})
    with pytest.raises(Failed, match=r"cuda was asked .* \(CUDA failure 35: the driver is too old\)"):
        open_session(networks[0], asked)
    (tmp_path / "no.onnx").write_bytes(b"<html>")
    with pytest.raises(NotANetwork, match="cannot be loaded"):
        open_session(tmp_path / "no.onnx", asked)
