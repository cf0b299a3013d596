"""ONNX Runtime sessions: which provider, with which options, and proof that the session really got it."""

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
    """The provider that sessions on this machine are asked to run on; raises as `choose_provider` does."""
    return choose_provider(settings.providers, import_runtime().get_available_providers())


def import_runtime() -> Any:
    """The module `onnxruntime`: large, and absent on clients that only submit.

    Raises:
        Failed: it is not installed, or twice.
    """
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
        Failed: the provider that was asked for is not there.
    """
    onnxruntime = import_runtime()
    provider = wanted_provider(settings)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning burns the encoder's cores
    wanted: list[Any] = [PROVIDER_NAMES["cpu"]]
    if provider != "cpu":
        onnxruntime.preload_dlls()
        wanted[:0] = _accelerators(provider, engines, settings, recorded=recorded)
    try:
        with redirect_stdout(sys.stderr):  # where it prints when it tries again without the accelerator
            session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise NotANetwork(f"{path.name} cannot be loaded as an ONNX network: {first_line(error)}") from error
    got = session.get_providers()[0]
    if got != PROVIDER_NAMES[provider] and settings.providers == "auto":
        log.warning("no_accelerator", asked=provider, got=got, network=path.name)
    elif got != PROVIDER_NAMES[provider]:
        raise Failed(
            f"{provider} was asked of ONNX Runtime, but the session runs on {got}: check the driver and the CUDA "
            "libraries, or set LIPSYNC_PROVIDERS=cpu."
        )
    return session


def first_line(error: Exception) -> str:
    """What ONNX Runtime says went wrong, as part of a sentence."""
    return str(error).partition("\n")[0][:300]


def runs_on(session: Any) -> Provider:
    """What a session really runs on."""
    got = session.get_providers()[0]
    return next(provider for provider, name in PROVIDER_NAMES.items() if name == got)


def device_of(session: Any) -> str:
    """Where a session's tensors live, as ONNX Runtime spells it."""
    return "cpu" if runs_on(session) == "cpu" else "cuda"


def _accelerators(
    provider: Provider, engines: Path | None, settings: Settings, *, recorded: bool
) -> list[tuple[str, dict[str, str]]]:
    """The accelerator that was asked for, and what takes over the nodes that it cannot run."""
    device = str(settings.device)
    # TF32 rounds to 10 bits of mantissa, more than the one grey level that machines may differ by.
    cuda = {"device_id": device, "use_tf32": "0"}
    replay = recorded and settings.cuda_graphs
    if provider == "cuda":
        return [(PROVIDER_NAMES["cuda"], cuda | ({"enable_cuda_graph": "1"} if replay else {}))]
    # An engine's file name tells devices, versions and the network's file name apart, but not the weights.
    kept = {} if engines is None else {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engines)}
    more = {"trt_cuda_graph_enable": "1"} if replay else {}
    return [
        (PROVIDER_NAMES["tensorrt"], {"device_id": device, **kept, **more}),
        (PROVIDER_NAMES["cuda"], cuda),
    ]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
