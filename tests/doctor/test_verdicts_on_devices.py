"""What the doctor says of accelerators, by values: none was to be had."""

from dataclasses import replace

import pytest

from infra.gpu import visible
from infra.settings import Providers
from jobs.avatar_spec import FrameSize
from workers.doctor.device_facts import DeviceFacts, Gpu
from workers.doctor.device_verdicts import (
    judge_codecs,
    judge_cores,
    judge_device_memory,
    judge_devices,
    judge_provider,
)
from workers.doctor.findings import Finding
from workers.doctor.rendering import Pace, Rendered
from workers.doctor.rendering_checks import judge_rendered, outcome_of_device
from workers.sessions import PROVIDER_NAMES

CUDA, TENSORRT, CPU = PROVIDER_NAMES["cuda"], PROVIDER_NAMES["tensorrt"], PROVIDER_NAMES["cpu"]
GB = 1_000_000_000
CARD = Gpu("NVIDIA L4", 24 * GB, 1 * GB)
DEVICES = DeviceFacts(
    asked="cuda",
    device=0,
    offered=(TENSORRT, CUDA, CPU),
    runtime_cuda="12.8",
    driver="550.54.15",
    driver_cuda=(12, 4),
    silence="",
    gpus=(CARD, CARD),
)
NO_DRIVER = replace(DEVICES, driver=None, driver_cuda=(0, 0), silence="Driver Not Loaded", gpus=())


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in findings]


def test_a_good_card_is_told_nothing() -> None:
    rendered = Rendered(provider="cuda", x264_problem="", nvenc_problem="", network_bytes=200_000_000)
    assert outcome_of_device(DEVICES, rendered, None, cores=16).findings == ()
    assert judge_codecs(DEVICES, rendered) == []


@pytest.mark.parametrize(
    ("devices", "unloadable", "code", "says"),
    [
        (NO_DRIVER, "", "driver-missing", "(Driver Not Loaded): install the driver"),
        (
            replace(DEVICES, driver_cuda=(11, 8)),
            "",
            "driver-old",
            "CUDA up to 11.8 and this ONNX Runtime was built for",
        ),
        (replace(DEVICES, device=2), "", "device-index", "no GPU for LIPSYNC_DEVICE=2, since there are 2"),
        (replace(DEVICES, device=1, gpus=(CARD,)), "", "device-index", "there is one, counted from 0"),
        (replace(DEVICES, gpus=()), "", "device-index", "there are none"),
        (DEVICES, "libcudnn.so.9", "cudnn-missing", "cuDNN cannot be loaded (libcudnn.so.9 is not found)"),
        (DEVICES, "libcublasLt.so.12", "cuda-missing", "libcublasLt.so.12 cannot be loaded: deploy the layer"),
        (DEVICES, "libcuda.so.1", "driver-missing", "libcuda.so.1 is not found"),
    ],
)
@pytest.mark.parametrize(("asked", "level"), [("cuda", "error"), ("tensorrt", "error"), ("auto", "warning")])
def test_what_keeps_a_card_from_working_is_an_error_where_it_was_asked_for(
    devices: DeviceFacts, unloadable: str, code: str, says: str, asked: Providers, level: str
) -> None:
    (found,) = judge_devices(replace(devices, asked=asked), [unloadable] if unloadable else [])
    assert (found.level, found.code) == (level, code)
    assert says in found.sentence and found.sentence.endswith("or set LIPSYNC_PROVIDERS=cpu.")


def test_everything_that_is_missing_is_told_at_once_and_the_driver_once() -> None:
    found = judge_devices(NO_DRIVER, ["libcuda.so.1", "libcudnn.so.9"])
    assert [finding.code for finding in found] == ["driver-missing", "cudnn-missing"]


def test_a_driver_that_is_older_than_the_minor_version_of_cuda_is_good_enough() -> None:
    assert judge_devices(replace(DEVICES, driver_cuda=(12, 0)), []) == []
    assert judge_devices(replace(DEVICES, driver_cuda=(13, 0)), []) == []


def test_no_accelerator_is_missed_where_none_is_wanted() -> None:
    assert judge_devices(replace(NO_DRIVER, asked="cpu"), ["libcudnn.so.9"]) == []
    assert judge_devices(replace(NO_DRIVER, asked="auto", offered=(CPU,)), []) == []
    assert judge_devices(replace(DEVICES, asked="cpu", offered=(CPU,)), []) == []


def test_a_card_that_nobody_uses_is_told() -> None:
    assert codes(judge_devices(replace(DEVICES, asked="auto", offered=(CPU,)), [])) == [("warning", "device-unused")]


def test_a_build_without_cuda_is_told_once() -> None:
    devices, problem = replace(NO_DRIVER, offered=(CPU,)), "LIPSYNC_PROVIDERS=cuda was asked for: install `gpu`."
    rendered = Rendered(provider_problem=problem, broken=problem)
    assert judge_devices(devices, []) == []
    assert codes(judge_provider(devices, rendered)) == [("error", "provider-missing")]
    assert judge_rendered(rendered, "canary-failed") == []


def test_a_provider_that_fell_back_to_the_cpu_is_told_by_what_the_session_got() -> None:
    rendered = Rendered(provider="cpu", provider_problem="cuda cannot run audio_encoder.onnx (no device).")
    assert codes(judge_provider(replace(DEVICES, asked="auto"), rendered)) == [("warning", "provider-fallback")]
    assert codes(judge_provider(DEVICES, rendered)) == [("error", "provider-missing")]
    assert judge_provider(DEVICES, Rendered(provider="cuda")) == []


@pytest.mark.parametrize(
    ("card", "networks", "bank", "found"),
    [
        (Gpu("c", 24 * GB, 0), 200_000_000, 8 * GB, []),
        (Gpu("c", 2 * GB, 0), 200_000_000, 8 * GB, [("error", "device-memory-small")]),
        (Gpu("c", 8 * GB, 0), 200_000_000, 8 * GB, [("warning", "bank-large")]),
        (Gpu("c", 24 * GB, 20 * GB), 200_000_000, 8 * GB, [("warning", "device-memory-taken")]),
    ],
)
def test_the_memory_of_a_card_is_judged(card: Gpu, networks: int, bank: int, found: list[tuple[str, str]]) -> None:
    devices = replace(DEVICES, device=1, gpus=(CARD, card))
    assert codes(judge_device_memory(devices, networks, bank)) == found
    assert judge_device_memory(replace(devices, asked="cpu"), networks, bank) == []


def test_a_bank_that_does_not_fit_on_the_card_is_told_what_does() -> None:
    devices = replace(DEVICES, gpus=(Gpu("Small Card", 8 * GB, 0),))
    (found,) = judge_device_memory(devices, 200_000_000, 8 * GB)
    assert "Small Card" in found.sentence and "LIPSYNC_CACHE_MB to 5900 at most" in found.sentence


def test_cores_are_shared_by_the_cards_of_a_host() -> None:
    rendered = Rendered(paces=[Pace(frames_per_s=400, size=FrameSize(width=1280, height=720))])
    assert judge_cores(DEVICES, rendered, cores=16) == []
    (found,) = judge_cores(DEVICES, rendered, cores=8)
    assert (found.level, found.code) == ("warning", "cores-few") and "this worker has 4" in found.sentence
    assert judge_cores(replace(DEVICES, gpus=(CARD,)), rendered, cores=8) == []


def test_a_card_without_an_encoder_is_a_note_and_a_host_without_x264_an_error() -> None:
    rendered = Rendered(x264_problem="No x264.", nvenc_problem="This machine cannot encode with h264_nvenc (x).")
    assert codes(judge_codecs(DEVICES, rendered)) == [("error", "codec-missing"), ("note", "nvenc-missing")]
    assert codes(judge_codecs(replace(DEVICES, gpus=()), rendered)) == [("error", "codec-missing")]


def test_frames_that_went_wrong_are_told_apart() -> None:
    rendered = Rendered(wrong={"a": "A is wrong."}, refused={"b": "B is not there."}, ended="it ended by SIGSEGV")
    assert codes(judge_rendered(rendered, "avatar-unusable")) == [
        ("error", "canary-wrong"),
        ("error", "avatar-unusable"),
        ("error", "canary-failed"),
    ]
    assert "SIGSEGV" in judge_rendered(rendered, "avatar-unusable")[2].sentence


@pytest.mark.parametrize(
    ("variable", "shown"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [2, 0]),
        ("", []),
        ("-1", []),
        ("1,9,0", [1]),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", [0, 1, 2, 3]),
    ],
)
def test_cuda_shows_what_the_environment_lets_it(variable: str | None, shown: list[int]) -> None:
    assert visible(4, {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}) == shown
