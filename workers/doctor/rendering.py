"""Rendering for real, in a process of its own: a crash in a driver's library must not take the other findings along.

The process tells what it found as JSON, line by line, so that what it saw before it died is known.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from pydantic import BaseModel

from infra.errors import LipsyncError
from infra.settings import Settings
from jobs.avatar_spec import FrameSize

RENDER_S = 180.0
"""A second or two of processor time, which a host that is busy or slow may take minutes to give."""
ENGINES_S = 900.0
"""For TensorRT, which builds engines first."""
AVATARS_S = 600.0
"""For the avatars of LIPSYNC_AVATARS, which may have to be fetched."""


class Pace(BaseModel):
    """How fast the device paints an avatar."""

    frames_per_s: float
    size: FrameSize


class Rendered(BaseModel):
    """What a process met that rendered canary frames.

    Attributes:
        unloadable: libraries that ONNX Runtime's CUDA provider lacks.
        provider: what a session really got.
        provider_problem: why that is not what was asked for, one sentence.
        x264_problem: why libx264 does not encode, one sentence; None when that was not tried.
        nvenc_problem: why h264_nvenc does not, likewise.
        proved: avatars whose canary frame was right.
        wrong: avatar → the sentence that says how its frame differs.
        refused: avatar → why it could not be rendered at all.
        seconds: from the start of the process until all of that was done.
        memory_bytes: that the process had resident at most.
        network_bytes: size of the files of all networks.
        bank_bytes: memory set aside for template frames.
        paces: of avatars that an accelerator was tried with.
        broken: what kept it from going on, one sentence.
        ended: how the process ended before it was done, as part of a sentence.
    """

    unloadable: list[str] = []
    provider: str = ""
    provider_problem: str = ""
    x264_problem: str | None = None
    nvenc_problem: str | None = None
    proved: list[str] = []
    wrong: dict[str, str] = {}
    refused: dict[str, str] = {}
    seconds: float = 0.0
    memory_bytes: int = 0
    network_bytes: int = 0
    bank_bytes: int = 0
    paces: list[Pace] = []
    broken: str = ""
    ended: str = ""


def render(settings: Settings, avatars: tuple[str, ...], limit_s: float) -> Rendered:
    """Render canary frames in another process.

    Args:
        settings: of the worker.
        avatars: names or digests in the store; empty means the demo avatar that ships, and no store is asked.
        limit_s: after which the process is killed.
    """
    order = json.dumps({"settings": settings.model_dump(mode="json", exclude={"redis_url"}), "avatars": avatars})
    start_s = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        answer, _ = process.communicate(order.encode(), limit_s)
        ended = _ended(process.returncode)
    except subprocess.TimeoutExpired:
        process.kill()
        answer, _ = process.communicate()
        ended = f"it was not done within {limit_s:.0f} s"
    told: dict[str, Any] = {"ended": ended, "seconds": time.monotonic() - start_s}
    for line in answer.splitlines(keepends=True):
        if line.endswith(b"\n"):  # else it died while it wrote
            told |= json.loads(line)
    return Rendered.model_validate(told)


def _ended(code: int) -> str:
    """How a process ended, as part of a sentence; empty when in peace."""
    if code >= 0:
        return f"it ended with code {code}" if code else ""
    try:
        return f"it ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it ended by signal {-code}"


def _render_here() -> None:
    """In the other process: do as standard input says, and tell of it on standard output."""
    from infra.logs import configure_logs
    from infra.processes import end_with_parent
    from workers.doctor.rendering_steps import Steps

    end_with_parent()
    configure_logs(logging.ERROR)
    order = json.load(sys.stdin)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as output:
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout.fileno(), sys.stderr.fileno()):  # libraries print there, each in its own way
            os.dup2(silence, stream)

        def tell(**facts: object) -> None:
            print(json.dumps(facts), file=output, flush=True)

        try:
            steps = Steps(Settings.model_validate({**order["settings"], "redis_url": None}), tell)
            if order["avatars"]:
                steps.with_avatars(tuple(order["avatars"]))
            else:
                steps.with_demo()
        except Exception as error:  # a driver may raise anything, and somebody must hear of it
            tell(broken=str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _render_here()
