"""Rendering for real, in a process of its own: a crash in a driver's library must not take the other findings along.

The process tells what it found as JSON, line by line, so that what it saw before it died is known.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from pydantic import BaseModel

from infra.errors import LipsyncError
from infra.settings import Settings
from jobs.avatar_spec import FrameSize

RENDER_S = 60.0
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
        unloadable: the first library that ONNX Runtime's CUDA provider lacks.
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

    unloadable: str = ""
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
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_render_there, args=(there, settings, avatars), daemon=True)
    start_s = time.monotonic()
    process.start()
    there.close()
    told: dict[str, Any] = {}
    ended = ""
    try:
        for line in _lines(here, start_s + limit_s):
            told |= line
    except TimeoutError:
        process.kill()
        ended = f"it was not done within {limit_s:.0f} s"
    process.join()
    if not ended and process.exitcode:
        ended = f"it ended by {_named(-process.exitcode)}" if process.exitcode < 0 else "it ended with an error"
    return Rendered.model_validate(told | {"ended": ended, "seconds": time.monotonic() - start_s})


def _lines(connection: Connection, deadline_s: float) -> Iterator[dict[str, Any]]:
    """What the other process tells until it closes the pipe."""
    with connection, suppress(EOFError, ConnectionError):
        while True:
            if not connection.poll(max(deadline_s - time.monotonic(), 0)):
                raise TimeoutError
            yield json.loads(connection.recv_bytes())


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _render_there(connection: Connection, settings: Settings, avatars: tuple[str, ...]) -> None:
    """In the other process."""
    import logging

    from infra.logs import configure_logs
    from infra.processes import end_with_parent
    from workers.doctor.rendering_steps import Steps

    end_with_parent()
    configure_logs(logging.ERROR)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):  # libraries print there, each in its own way
        os.dup2(silence, stream)

    def tell(**facts: object) -> None:
        connection.send_bytes(json.dumps(facts).encode())

    steps = Steps(settings, tell)
    try:
        if avatars:
            steps.with_avatars(avatars)
        else:
            steps.with_demo()
    except Exception as error:  # a driver may raise anything, and somebody must hear of it
        sentence = str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
        tell(broken=sentence)
