"""The checks that need a device: what it is, what really runs on it, whether its pictures are right. Pure."""

from dataclasses import asdict
from typing import Literal

from infra.settings import Settings
from workers.doctor.device_facts import DeviceFacts
from workers.doctor.device_verdicts import judge_codecs, judge_cores, judge_device_memory, judge_devices, judge_provider
from workers.doctor.findings import Finding, error
from workers.doctor.host_facts import HostFacts
from workers.doctor.host_verdicts import WORKER_BYTES, judge_memory
from workers.doctor.outcome import Outcome, spell_bytes
from workers.doctor.rendering import Rendered


def outcome_of_device(devices: DeviceFacts, demo: Rendered, avatars: Rendered | None, cores: int) -> Outcome:
    """Driver, libraries, provider and the device's memory."""
    largest = avatars or demo
    findings = [
        *judge_devices(devices, demo.unloadable),
        *judge_provider(devices, demo),
        *judge_device_memory(devices, largest.network_bytes, largest.bank_bytes),
        *judge_cores(devices, largest, cores),
    ]
    gpus = ", ".join(f"{gpu.name} ({spell_bytes(gpu.memory_bytes)})" for gpu in devices.gpus) or "no GPU"
    driver = f"NVIDIA driver {devices.driver}" if devices.driver else "no NVIDIA driver"
    line = f"networks run on {demo.provider or 'nothing'}; {gpus}, {driver}"
    seen = {
        "asked": devices.asked,
        "provider": demo.provider or None,
        "device": devices.device,
        "driver": devices.driver,
        "driver_cuda": ".".join(map(str, devices.driver_cuda)) if devices.driver else None,
        "onnxruntime_cuda": devices.runtime_cuda or None,
        "gpus": [asdict(gpu) for gpu in devices.gpus],
    }
    return Outcome(line, seen, tuple(findings))


def outcome_of_canary(demo: Rendered, avatars: Rendered | None, skipped: tuple[Finding, ...]) -> Outcome:
    """Whether frames come out right."""
    proved, seconds = list(demo.proved), demo.seconds
    findings = judge_rendered(demo, "canary-failed")
    if avatars is not None:
        proved += avatars.proved
        seconds += avatars.seconds
        findings += judge_rendered(avatars, "avatar-unusable")
    line = f"{', '.join(proved)} as stored, in {seconds:.1f} s" if proved else "none rendered"
    return Outcome(line, {"proved": proved, "seconds": round(seconds, 3)}, (*findings, *skipped))


def judge_rendered(rendered: Rendered, refused: Literal["canary-failed", "avatar-unusable"]) -> list[Finding]:
    """What went wrong with frames, save for what is told of the provider.

    Args:
        rendered: what was met.
        refused: the code for an avatar that could not be rendered.
    """
    findings = [error("canary-wrong", sentence) for sentence in rendered.wrong.values()]
    findings += [error(refused, sentence) for sentence in rendered.refused.values()]
    if rendered.broken and rendered.broken != rendered.provider_problem:
        findings.append(error("canary-failed", f"No frame could be rendered: {rendered.broken}"))
    if rendered.ended:
        findings.append(
            error(
                "canary-failed",
                f"The process that rendered a frame did not come to its end ({rendered.ended}): check the driver, the "
                "CUDA libraries and ONNX Runtime.",
            )
        )
    return findings


def outcome_of_codecs(devices: DeviceFacts, demo: Rendered) -> Outcome:
    """Which encoders work."""
    if demo.x264_problem is None or demo.nvenc_problem is None:
        return Outcome("not tried")
    able = {"libx264": not demo.x264_problem, "h264_nvenc": not demo.nvenc_problem}
    names = [name for name, works in able.items() if works]
    return Outcome(", ".join(names) or "none", {**able}, tuple(judge_codecs(devices, demo)))


def outcome_of_memory(host: HostFacts, settings: Settings, demo: Rendered, avatars: Rendered | None) -> Outcome:
    """Whether a worker finds room: what rendering took here, or what a worker was seen to take."""
    on_cpu = demo.provider in {"", "cpu"}
    worker = max(WORKER_BYTES, demo.memory_bytes, avatars.memory_bytes if avatars else 0)
    bank = settings.cache_mb * 1_000_000 if on_cpu else 0
    findings = judge_memory(host.memory_bytes, host.memory_free_bytes, worker, bank)
    line = f"{spell_bytes(host.memory_free_bytes)} free of {spell_bytes(host.memory_bytes)}"
    seen = {"total_bytes": host.memory_bytes, "free_bytes": host.memory_free_bytes, "worker_bytes": worker}
    return Outcome(line, seen, tuple(findings))
