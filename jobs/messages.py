"""Task names and payloads. A message is a doorbell: `{"v": 1, "job": …, "chunk": …}` and no more."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Rejected
from jobs import keys
from jobs.states import ASSEMBLE_PART, AUDIO_PART

RENDER_CHUNK = "lipsync.render_chunk"
ENCODE_AUDIO = "lipsync.encode_audio"
ASSEMBLE = "lipsync.assemble"

_FIXED_PARTS = {ENCODE_AUDIO: AUDIO_PART, ASSEMBLE: ASSEMBLE_PART}
_FIXED_TASKS = {part: task for task, part in _FIXED_PARTS.items()}


class _JobMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    v: int = Field(ge=1, le=1)
    job: str = Field(max_length=26)


class _ChunkMessage(_JobMessage):
    chunk: int = Field(ge=0, lt=10_000_000)


def message_for(job: str, part: str) -> tuple[str, dict[str, Any]]:
    """The task name and payload that ring for a part of a job."""
    if part in _FIXED_TASKS:
        return _FIXED_TASKS[part], {"v": 1, "job": job}
    return RENDER_CHUNK, {"v": 1, "job": job, "chunk": int(part)}


def part_of(task: str, payload: Mapping[str, Any]) -> tuple[str, str]:
    """Check a payload and return job id and part.

    Raises:
        Rejected: the payload is malformed, hostile or of an unknown version.
    """
    model = _JobMessage if task in _FIXED_PARTS else _ChunkMessage
    try:
        message = model.model_validate(dict(payload))
    except ValidationError as error:
        first = error.errors()[0]
        where = repr(".".join(map(str, first["loc"]))[:80] or "payload")
        raise Rejected(f"A message for {task} was refused: {where}: {first['msg']}.") from None
    job = keys.job_id(message.job)
    return job, _FIXED_PARTS.get(task) or str(message.chunk)  # type: ignore[attr-defined]
