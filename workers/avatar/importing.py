"""From a source folder to a pack: same source, same pack to the byte, on any machine and at any time."""

import shutil
from pathlib import Path

from infra.errors import Rejected
from infra.settings import Settings
from infra.store_directory import file_error
from jobs.avatar_spec import (
    AUDIO_ENCODER_FILE,
    AVATAR_JSON,
    GENERATOR_FILE,
    ImageTemplate,
    Matrix,
    Provenance,
    VideoTemplate,
    parsing_file,
)
from workers.avatar.networks import prove_networks
from workers.avatar.pack import Pack, open_pack, seal
from workers.avatar.sources import Source, read_source


def import_avatar(
    source: Path,
    work_dir: Path,
    *,
    generator: Path | None = None,
    audio_encoder: Path | None = None,
    licence: str = "unspecified",
    settings: Settings,
    matrix: Matrix | None = None,
) -> Pack:
    """Make a pack of a source folder.

    Args:
        source: a training folder, a package v2, a server layout, or a pack, which is proved and returned as it is.
        work_dir: an existing folder; the pack becomes its subfolder `pack`.
        generator: ONNX file to take instead of the source's own.
        audio_encoder: ONNX file to take instead of the source's own.
        licence: under which terms the face and its networks may be used.
        settings: how to run the networks, which are tried once.
        matrix: how the colours of an untagged template video are to be read.

    Raises:
        Rejected: the source cannot become an avatar; the message names what is wrong.
        Failed: a network cannot be loaded, the disk is full, or a pack given as the source is damaged.
    """
    if (source / AVATAR_JSON).is_file():
        return open_pack(source)
    described = read_source(source, matrix)
    networks = {
        GENERATOR_FILE: _chosen(generator, described.generator, "generator", source),
        AUDIO_ENCODER_FILE: _chosen(audio_encoder, described.audio_encoder, "audio encoder", source),
    }
    prove_networks(networks[GENERATOR_FILE], networks[AUDIO_ENCODER_FILE], settings)
    clip = described.clip
    template = VideoTemplate(matrix=clip.matrix) if clip.video else _image_template(described)
    root = work_dir / "pack"
    try:
        _copy(networks | _template_files(described, template), root)
    except OSError as error:
        raise file_error(f"Copying the avatar {source} to {root}", error) from error
    repairs = tuple(finding.sentence for finding in described.findings if finding.level == "repair")
    return seal(
        root,
        frame_size=clip.size,
        template=template,
        boxes=described.boxes,
        provenance=Provenance(layout=described.layout, repairs=repairs),
        licence=licence,
    )


def _chosen(given: Path | None, found: Path | None, what: str, source: Path) -> Path:
    path = given or found
    if path is None:
        checkpoint = next((path.name for path in sorted(source.rglob("*.pth"))), None)
        hint = f"; {checkpoint} is never opened, convert it to ONNX first" if checkpoint else ""
        option = what.replace(" ", "-")
        raise Rejected(f"{source} holds no {what} network in ONNX: give one with --{option} FILE.onnx{hint}.")
    return path


def _image_template(source: Source) -> ImageTemplate:
    png = source.clip.pictures[0].suffix.lower() == ".png"
    return ImageTemplate(pattern="frames/{:06d}.png" if png else "frames/{:06d}.jpg")


def _template_files(source: Source, template: ImageTemplate | VideoTemplate) -> dict[str, Path]:
    """Path in the pack → file to copy, for the template clip and its parsing maps."""
    if isinstance(template, VideoTemplate):
        assert source.clip.video is not None  # noqa: S101
        return {template.file: source.clip.video}
    kept = range(len(source.boxes))
    frames = {template.pattern.format(frame): source.clip.pictures[frame] for frame in kept}
    return frames | {parsing_file(frame): path for frame, path in source.parsing.items() if frame in kept}


def _copy(files: dict[str, Path], root: Path) -> None:
    for name, path in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
