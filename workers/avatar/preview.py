"""One picture to judge an avatar by: its template frames with their crop boxes, and mouths that speak."""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import cv2
import numpy as np

from infra.errors import Failed, Rejected
from infra.media_decode import open_audio
from infra.settings import Settings
from infra.store_directory import DirectoryStore, file_error
from jobs.avatar_spec import AVATAR_JSON
from jobs.consent import demand_consent
from jobs.console import check_output
from jobs.job_audio import read_job_audio, store_job_audio
from jobs.scratch import scratch_folder
from jobs.submit import new_job_id
from jobs.timing import FPS, Span, frame_count
from workers.avatar.contact_sheet import Cell, Section, contact_sheet, outline
from workers.avatar.pack import Pack
from workers.avatar.template import Template
from workers.local_render import open_avatar
from workers.pipeline import Part, pictures
from workers.render.crop import Box, Picture
from workers.render.template import template_index
from workers.warm import WarmAvatar, warm_up

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
FRAMES: Final = 8
_COLUMNS, _MOUTH_COLUMNS = 4, 8
_AROUND: Final = 0.12  # of the box's side is shown around it, for the seam is what one looks for


class Mouth(NamedTuple):
    """One frame as it is drawn."""

    output_frame: int
    template_frame: int
    picture: Picture
    """uint8 (H, W, 3), BGR: the whole frame."""


class Preview(NamedTuple):
    """What is on a sheet."""

    digest: str
    template_frames: tuple[int, ...]
    output_frames: tuple[int, ...]


def write_preview(
    target: str, out: Path, settings: Settings, *, frames: int = FRAMES, audio: Path | None = None
) -> Preview:
    """Draw the contact sheet of an avatar.

    Args:
        target: a pack's folder, or the name or digest of an avatar in the store.
        out: PNG or JPEG by its suffix; a file of that name is replaced once the sheet is done.
        settings: how to run the networks, and where the cache and the store are.
        frames: how many template frames and how many mouths to show, at most.
        audio: what the mouths say; None for the clip that ships.

    Raises:
        Rejected: `out` cannot be written, the sound cannot be used, or the target is no pack.
        Failed: the pack is damaged.
    """
    _check_out(out)
    pack = _open(target, settings)
    if settings.require_consent:
        demand_consent(pack.digest, pack.spec)
    with ExitStack() as stack:
        sound = audio or stack.enter_context(as_file(files("workers") / "data" / "speech.flac"))
        avatar = warm_up(pack, settings)
        template = avatar.template
        mouths = list(speak(avatar, sound, frames))
    shown = spread(len(template), frames)
    _write(out, _sheet(_name(target), pack, template, shown, mouths, sound.name))
    return Preview(pack.digest, tuple(shown), tuple(mouth.output_frame for mouth in mouths))


def spread(total: int, wanted: int) -> list[int]:
    """Indices below `total` at even distances, first and last included: `wanted` of them, or all if there are fewer."""
    return sorted({round(index) for index in np.linspace(0, total - 1, wanted).tolist()}) if wanted > 1 else [0]


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise Rejected(f"{out} has no suffix of a picture: name a file that ends with {' or '.join(SUFFIXES)}.")
    if out.is_dir():
        raise Rejected(f"{out} is a folder: name a file for the picture.")
    check_output(out)


def _open(target: str, settings: Settings) -> Pack:
    folder = Path(target)
    if folder.is_dir() and not (folder / AVATAR_JSON).is_file():
        raise Rejected(f"{target} is no avatar pack: import it first, and preview it by the name that it is given.")
    return open_avatar(target, settings)


def speak(avatar: WarmAvatar, sound: Path, wanted: int) -> Iterator[Mouth]:
    """Render some frames of a video at even distances, as a job would.

    Args:
        avatar: whose mouth it is.
        sound: what is said.
        wanted: how many frames, at most; those at the very ends, where sound is silent as a rule, are not taken.

    Raises:
        Rejected: the sound cannot be used.
    """
    job = new_job_id()
    with scratch_folder() as folder, open_audio(sound) as source:
        store = DirectoryStore(folder)
        samples = store_job_audio(source, job, store)
        total = frame_count(samples, "exact")
        for frame in spread(total, wanted + 2)[1:-1]:
            part = Part(lambda span: read_job_audio(job, store, span), samples, total, Span(frame, frame + 1))
            (seen,) = pictures(avatar, part)
            yield Mouth(frame, template_index(frame, len(avatar.template)), seen)


def _sheet(name: str, pack: Pack, template: Template, shown: list[int], mouths: list[Mouth], sound: str) -> Picture:
    spec = pack.spec
    boxes = spec.boxes
    sides = sorted({x1 - x0 for x0, _, x1, _ in boxes})
    px = f"{sides[0]}" if len(sides) == 1 else f"{sides[0]} to {sides[-1]}"
    facts = (
        f"digest {pack.digest[:12]}    {spec.frame_size.width}x{spec.frame_size.height}, {len(boxes)} frames, "
        f"{len(boxes) / FPS:.1f} s    crop boxes of {px} px    licence {spec.licence}"
    )
    recorded = [
        Cell((outline(template.frames[frame], boxes[frame]),), f"frame {frame}    box {list(boxes[frame])}")
        for frame in shown
    ]
    drawn = [
        Cell(
            (
                _around(mouth.picture, boxes[mouth.template_frame]),
                _around(template.frames[mouth.template_frame], boxes[mouth.template_frame]),
            ),
            f"{mouth.output_frame / FPS:.2f} s    frame {mouth.template_frame}",
        )
        for mouth in mouths
    ]
    sections = [
        Section("Template frames with their crop boxes", _COLUMNS, recorded),
        Section(f"Mouths drawn to {sound}, and below each the same template frame as recorded", _MOUTH_COLUMNS, drawn),
    ]
    return contact_sheet(name, facts, sections)


def _around(picture: Picture, box: Box) -> Picture:
    """The crop box and a little more of what is around it, as far as the picture goes."""
    x0, y0, x1, y1 = box
    more = round((x1 - x0) * _AROUND)
    return picture[max(y0 - more, 0) : y1 + more, max(x0 - more, 0) : x1 + more]


def _name(target: str) -> str:
    return Path(target).resolve().name if Path(target).is_dir() else target


def _write(out: Path, sheet: Picture) -> None:
    """Encode a sheet and put it into its place as a whole: an earlier file stays until then."""
    ok, data = cv2.imencode(out.suffix.lower(), sheet)
    if not ok:
        raise Failed(f"The sheet for {out} could not be encoded.")
    unfinished = out.with_name(f".{out.name}.{uuid4().hex}")
    try:
        unfinished.write_bytes(data.tobytes())
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise file_error(f"Writing {out}", error) from error
