"""ONNX Runtime sessions: which provider, with which options, and proof that the session really got it."""

import os
import sys
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from infra.errors import Failed
from infra.settings import Providers, Settings

log = structlog.get_logger(__name__)

Provider = Literal["cuda", "tensorrt", "cpu"]

PROVIDER_NAMES: Final[dict[Provider, str]] = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
PROVIDING: Final = ("onnxruntime", "onnxruntime-gpu")
"""The packages of the extras `cpu` and `gpu`: both contain the same module."""


class NotANetwork(Failed):
    """ONNX Runtime cannot load the file, whatever network it should be."""


def choose_provider(asked: Providers, available: list[str]) -> Provider:
    """Which provider to ask of a session; `auto` takes CUDA where this build of ONNX Runtime has it, else the CPU.

    Raises:
        Failed: the provider that was asked for is not in this build.
    """
    if asked == "auto":
        return "cuda" if PROVIDER_NAMES["cuda"] in available else "cpu"
    if PROVIDER_NAMES[asked] not in available:
        raise Failed(
            f"LIPSYNC_PROVIDERS={asked} was asked for, but this ONNX Runtime offers only {', '.join(available)}: "
            "install the extra `gpu`, or set LIPSYNC_PROVIDERS=cpu."
        )
    return asked


def wanted_provider(settings: Settings) -> Provider:
    """The provider that sessions on this machine are asked to run on.

    Raises:
        Failed: it is not in this build of ONNX Runtime, or cannot do what else was set.
    """
    provider = choose_provider(settings.providers, import_runtime().get_available_providers())
    if provider == "tensorrt" and settings.cuda_graphs:  # every single node would have to be TensorRT's
        raise Failed("LIPSYNC_CUDA_GRAPHS does not go with TensorRT: set LIPSYNC_PROVIDERS=cuda, or leave it off.")
    return provider


def import_runtime() -> Any:
    """The module `onnxruntime`: large, and absent on clients that only submit.

    Raises:
        Failed: it is not installed, or twice.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read while it is loaded, when it would already write an id to the disk
    try:
        import onnxruntime
    except ImportError:
        raise Failed("Rendering needs ONNX Runtime: install lipsync-fleet with its extra `cpu` or `gpu`.") from None
    if all(_is_installed(package) for package in PROVIDING):
        raise Failed(
            "Both onnxruntime and onnxruntime-gpu are installed and overwrite each other: keep only one extra."
        )
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: classes of its own without a common base, and what C++ throws.

    To be caught in place of `Exception`, which would catch the end of a task's time, too.
    """
    import_runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, MemoryError)


def open_session(path: Path, settings: Settings, *, engines: Path | None = None, recorded: bool = False) -> Any:
    """Load a network where the settings say.

    Args:
        path: the ONNX file.
        settings: provider, device, threads.
        engines: folder where TensorRT may keep what it builds of networks, this one and others of other file names;
            None lets it build anew each time, which takes minutes.
        recorded: whether CUDA may record a run and replay it, where `cuda_graphs` is set: all tensors must be bound,
            and stay where they are.

    Raises:
        NotANetwork: the file cannot be loaded.
        Failed: the provider that was asked for is not there, or cannot run the network.
    """
    provider = wanted_provider(settings)
    if provider == "cpu":
        return _on_cpu(path, settings)
    try:
        session = _load(path, settings, _accelerators(provider, engines, settings, recorded=recorded))
    except runtime_errors() as error:
        session, reason = _on_cpu(path, settings), first_line(error)  # which tells whether the file is to blame
    else:
        reason = f"the session runs on {session.get_providers()[0]}"
        if runs_on(session) == provider:
            return session
    if settings.providers != "auto":
        raise Failed(
            f"{provider} was asked of ONNX Runtime, but cannot run {path.name} ({reason}): check the driver, the "
            "CUDA libraries and the device's memory, or set LIPSYNC_PROVIDERS=cpu."
        )
    log.warning("no_accelerator", asked=provider, got=session.get_providers()[0], network=path.name, reason=reason)
    return session


def first_line(error: Exception) -> str:
    """What ONNX Runtime says went wrong, as part of a sentence."""
    return str(error).partition("\n")[0][:300]


def runs_on(session: Any) -> Provider:
    """What a session really runs on."""
    return short_name(session.get_providers()[0])


def short_name(name: str) -> Provider:
    """A provider as the settings call it, by the name that ONNX Runtime gives it."""
    return next(provider for provider, known in PROVIDER_NAMES.items() if known == name)


def device_of(session: Any) -> str:
    """Where a session's tensors live, as ONNX Runtime spells it."""
    return "cpu" if runs_on(session) == "cpu" else "cuda"


def _on_cpu(path: Path, settings: Settings) -> Any:
    try:
        return _load(path, settings, [])
    except runtime_errors() as error:
        raise NotANetwork(f"{path.name} cannot be loaded as an ONNX network: {first_line(error)}") from error


def _load(path: Path, settings: Settings, accelerators: list[tuple[str, dict[str, str]]]) -> Any:
    """A session on accelerators and the CPU, in this order; raises what ONNX Runtime does."""
    onnxruntime = import_runtime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning burns the encoder's cores
    providers: list[Any] = [*accelerators, PROVIDER_NAMES["cpu"]]
    with redirect_stdout(sys.stderr):
        if accelerators:
            os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # for libraries that ask no option of ours, TensorRT's among them
            onnxruntime.preload_dlls()  # prints what it does not find
        # Its own fallback to the CPU would hide the reason, at the first run as well as here.
        return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)


def _accelerators(
    provider: Provider, engines: Path | None, settings: Settings, *, recorded: bool
) -> list[tuple[str, dict[str, str]]]:
    """The accelerator that was asked for, and what takes over the nodes that it cannot run."""
    device = str(settings.device)
    # TF32 rounds to 10 bits of mantissa, more than the one grey level that machines may differ by.
    cuda = {"device_id": device, "use_tf32": "0"}
    if provider == "cuda":
        replay = recorded and settings.cuda_graphs
        return [(PROVIDER_NAMES["cuda"], cuda | ({"enable_cuda_graph": "1"} if replay else {}))]
    # An engine's file name tells devices, versions and the network's file name apart, but not the weights.
    kept = {} if engines is None else {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engines)}
    half = {"trt_fp16_enable": "1"} if settings.precision == "float16" else {}
    return [
        (PROVIDER_NAMES["tensorrt"], {"device_id": device, **kept, **half}),
        (PROVIDER_NAMES["cuda"], cuda),
    ]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
