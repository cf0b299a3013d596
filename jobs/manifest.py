"""The manifest: what a job is. Written once, to the store, and never changed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from infra.errors import Failed, NotFound
from infra.object_store import ObjectStore
from jobs import keys
from jobs.avatar_spec import CONTRACT_VERSION, Sha256
from jobs.plan import MAX_CHUNK_FRAMES, chunk_count, chunk_span
from jobs.timing import MIN_SAMPLES, LengthMode, Span

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
Codec = Literal["libx264", "h264_nvenc"]
Label = Annotated[str, StringConstraints(pattern=r"^[\w.@+-]{1,128}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Encoding(_Frozen):
    """How segments are encoded: one codec and one setting for the whole job, or they could not be joined.

    The colour matrix is not among them: it follows from the height (see `infra.media_video.matrix_for`).
    """

    codec: Codec = "libx264"
    crf: int = Field(default=20, ge=0, le=51)
    preset: Preset = "veryfast"


class Manifest(_Frozen):
    """One job, in full."""

    schema_version: Literal[1] = 1
    contract: Literal[1] = CONTRACT_VERSION
    job: str
    owner: Label
    lane: Literal["normal"] = "normal"
    idempotency_key: Label | None = None
    avatar: Sha256
    length: LengthMode
    samples: int = Field(ge=MIN_SAMPLES)
    """Samples of the job audio, float32 at 16 kHz."""
    frames_total: int = Field(ge=1)
    chunk_frames: int = Field(ge=1, le=MAX_CHUNK_FRAMES)
    width: int
    height: int
    fps: Literal[25] = 25
    encoding: Encoding
    max_attempts: int = Field(ge=1)
    source_extension: Annotated[str, StringConstraints(pattern=r"^(\.[a-z0-9]{1,5})?$")]
    allow_truncated: bool = False

    @property
    def chunks_total(self) -> int:
        return chunk_count(self.frames_total, self.chunk_frames)

    def span(self, chunk: int) -> Span:
        """Output frames of one chunk."""
        return chunk_span(chunk, self.frames_total, self.chunk_frames)


def write_manifest(manifest: Manifest, store: ObjectStore) -> None:
    """Write a manifest; nobody ever changes it."""
    store.put(keys.manifest(manifest.job), manifest.model_dump_json(indent=1).encode())


def read_manifest(job: str, store: ObjectStore) -> Manifest:
    """Read and check a manifest.

    Raises:
        NotFound: the store holds no such job.
        Failed: the manifest is damaged or of another version.
    """
    try:
        text = store.get(keys.manifest(job))
    except NotFound:
        raise NotFound(f"There is no job {job} in {store.url}.") from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise Failed(f"The manifest of job {job} cannot be used: {where}: {first['msg']}.") from error
    if manifest.job != job:
        raise Failed(f"The manifest stored for job {job} belongs to job {manifest.job}.")
    return manifest
