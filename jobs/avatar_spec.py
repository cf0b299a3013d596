"""`avatar.json`: what an avatar pack says of itself.

It lists the digest of every other file, and the pack's own digest covers that list and `avatar.json` itself: whoever
knows a pack's digest can prove `avatar.json` alone, and by it every file alone.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from infra.errors import Damaged

AVATAR_JSON = "avatar.json"
CONTRACT_VERSION: Final = 1
GENERATOR_FILE: Final = "generator.onnx"
AUDIO_ENCODER_FILE: Final = "audio_encoder.onnx"
NetworkFile = Literal["generator.onnx", "audio_encoder.onnx"]

Matrix = Literal["bt709", "smpte170m"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")
]
"""What packs hold, those of earlier versions too."""

_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, halves of characters, ends of lines
# The characters of Unicode's property Bidi_Control: they change the order in which the text around them is shown.
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _printable(text: str) -> str:
    if any(unicodedata.category(char) in _UNPRINTABLE or char in _TURNING for char in text):
        raise ValueError("it holds characters that cannot be printed on one line")
    return text


PrintableLine = Annotated[Line, AfterValidator(_printable)]
"""What people may write into a pack that is made now."""

Box = tuple[int, int, int, int]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameSize(_Frozen):
    """Size of a template frame in pixels; both even, as 4:2:0 video needs."""

    width: int = Field(ge=16, le=8192, multiple_of=2)
    height: int = Field(ge=16, le=8192, multiple_of=2)


class ImageTemplate(_Frozen):
    """The template clip as numbered pictures; `{:06d}` in the pattern is the template frame's index from 0."""

    kind: Literal["images"] = "images"
    pattern: Literal["frames/{:06d}.jpg", "frames/{:06d}.png"] = "frames/{:06d}.jpg"


class VideoTemplate(_Frozen):
    """The template clip as one video; `matrix` says how its colours are to be read (limited range)."""

    kind: Literal["video"] = "video"
    file: Literal["template.mp4"] = "template.mp4"
    matrix: Matrix


class Provenance(_Frozen):
    """Where a pack comes from. Nothing here depends on when or on which machine it was made."""

    layout: Literal["training-folder", "package-v2", "server", "synthetic", "drawn"]
    repairs: tuple[str, ...] = ()
    """What the importer changed or filled in: `code: fact` each, the same for the same source in every version; packs
    of earlier versions hold sentences."""
    note: str = ""
    checkpoints: dict[NetworkFile, Sha256] = {}
    """Digest of the trained checkpoint's file, of those networks that importing made of one."""


class Consent(_Frozen):
    """The consent of the person whom an avatar shows, as whoever imported it recorded it."""

    model_config = ConfigDict(strict=True)  # a number is no date

    subject: Line
    """Who consented."""
    scope: Line
    """To what."""
    expires: date | None
    """The last day on which the consent holds, in UTC; None for a consent without an end."""
    evidence: Sha256
    """Digest of the document that proves it, which is kept elsewhere."""


class AvatarSpec(_Frozen):
    """The model of `avatar.json`."""

    contract: Literal[1] = CONTRACT_VERSION
    fps: Literal[25] = 25
    frame_size: FrameSize
    template: Annotated[ImageTemplate | VideoTemplate, Field(discriminator="kind")]
    boxes: tuple[Box, ...] = Field(min_length=1, max_length=1_000_000)
    """Crop boxes `[x0, y0, x1, y1]`, half-open, in template pixels, one per template frame."""
    files: dict[str, Sha256]
    """Relative path → digest of every file of the pack but `avatar.json`: the two networks, the template clip, and the
    parsing maps of those template frames that have one."""
    provenance: Provenance
    licence: str = "unspecified"
    consent: Consent | None = None

    @model_validator(mode="after")
    def _boxes_lie_inside(self) -> "AvatarSpec":
        width, height = self.frame_size.width, self.frame_size.height
        for index, (x0, y0, x1, y1) in enumerate(self.boxes):
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise ValueError(
                    f"the crop box of template frame {index}, {[x0, y0, x1, y1]}, leaves the {width}x{height} picture"
                )
        return self

    @model_validator(mode="after")
    def _files_are_the_expected(self) -> "AvatarSpec":
        expected = {GENERATOR_FILE, AUDIO_ENCODER_FILE, *self.template_files}
        missing = sorted(expected - self.files.keys())
        unknown = sorted(self.files.keys() - expected - {parsing_file(frame) for frame in range(self.frame_count)})
        if missing or unknown:
            raise ValueError(
                f"the list of files lacks {missing[0]}" if missing else f"the list of files names {unknown[0]!r}"
            )
        return self

    @property
    def frame_count(self) -> int:
        """Number of template frames."""
        return len(self.boxes)

    @property
    def template_files(self) -> list[str]:
        """Relative paths of the template clip: one per frame, or one video."""
        if isinstance(self.template, VideoTemplate):
            return [self.template.file]
        return [self.template.pattern.format(frame) for frame in range(self.frame_count)]

    def has_parsing(self, frame: int) -> bool:
        """Whether the template frame has a parsing map."""
        return parsing_file(frame) in self.files

    def to_bytes(self) -> bytes:
        """The content of `avatar.json`; equal specs give equal bytes."""
        document = self.model_dump(mode="json", exclude=None if self.consent else {"consent"})
        return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()


def parsing_file(frame: int) -> str:
    """Relative path of the parsing map of a template frame."""
    return f"parsing/{frame:06d}.png"


def read_avatar_json(data: bytes, place: str) -> tuple[AvatarSpec, str]:
    """Read the content of an `avatar.json`.

    Args:
        data: the file's bytes.
        place: where they come from, for the message.

    Returns:
        The spec, and the digest of the pack that it describes.

    Raises:
        Damaged: it is not the `avatar.json` of a pack that this version can read.
    """
    try:
        spec = AvatarSpec.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or AVATAR_JSON
        reason = first["msg"].removeprefix("Value error, ")
        raise Damaged(
            f"{place} does not describe a usable avatar ({field}: {reason}); import the avatar again."
        ) from None
    return spec, pack_digest(spec.files | {AVATAR_JSON: hashlib.sha256(data).hexdigest()})


def pack_digest(files: Mapping[str, str]) -> str:
    """Digest of a pack: SHA-256 over the sorted list of relative path and file digest.

    Args:
        files: relative path (with `/`) → SHA-256 of the file's bytes in hexadecimal digits.
    """
    lines = "".join(f"{path}\0{files[path]}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
