"""From a source folder to a pack: same source, same pack to the byte, on any machine and at any time."""

from pathlib import Path
from typing import NamedTuple

from infra.errors import Rejected
from infra.settings import Settings
from infra.store_directory import file_error
from jobs.avatar_spec import (
    AUDIO_ENCODER_FILE,
    AVATAR_JSON,
    GENERATOR_FILE,
    Consent,
    ImageTemplate,
    Matrix,
    NetworkFile,
    Provenance,
    VideoTemplate,
    parsing_file,
)
from workers.avatar.copying import copy_files, resealed
from workers.avatar.findings import Finding
from workers.avatar.given import check_file, checked_licence, refuse_options
from workers.avatar.networks.checkpoints import is_checkpoint
from workers.avatar.networks.comparing import Export, measure
from workers.avatar.networks.exporting import export_checkpoints
from workers.avatar.networks.proof import prove_networks
from workers.avatar.pack import Pack, open_pack, seal
from workers.avatar.sources.front_end import other_front_end
from workers.avatar.sources.layouts import Source, read_source


class Imported(NamedTuple):
    """A new pack, and what there is to say of it."""

    pack: Pack
    exports: tuple[Export, ...] = ()
    """What was measured of those of its networks that were made of checkpoints."""
    repairs: tuple[str, ...] = ()
    """What was changed or filled in, one plain sentence each."""


def import_avatar(
    source: Path,
    work_dir: Path,
    *,
    generator: Path | None = None,
    audio_encoder: Path | None = None,
    licence: str | None = None,
    settings: Settings,
    matrix: Matrix | None = None,
    consent: Consent | None = None,
) -> Imported:
    """Make a pack of a source folder.

    Args:
        source: a training folder, a package v2, a server layout, or a pack, which is proved and returned as it is
            unless it shall carry another licence or consent.
        work_dir: an existing folder; the pack becomes its subfolder `pack`.
        generator: ONNX file or trained checkpoint to take instead of the source's own.
        audio_encoder: ONNX file or trained checkpoint to take instead of the source's own.
        licence: under which terms the face and its networks may be used; None for those of a pack, or none.
        settings: how to run the networks, which are tried once.
        matrix: how the colours of an untagged template video are to be read.
        consent: of the person whom the avatar shows; None for that of a pack, or none.

    Raises:
        Rejected: the source cannot become an avatar; the message names what is wrong.
        Failed: a network cannot be loaded or answers otherwise than its checkpoint, PyTorch is not there to convert
            it, the disk is full, or a pack given as the source is damaged.
    """
    licence = None if licence is None else checked_licence(licence)
    if (source / AVATAR_JSON).is_file():
        refuse_options(source, {"generator": generator, "audio-encoder": audio_encoder, "matrix": matrix})
        return Imported(resealed(open_pack(source), work_dir / "pack", licence=licence, consent=consent))
    for given in (generator, audio_encoder):
        if given:
            check_file(given)
    described = read_source(source, matrix)
    chosen: dict[NetworkFile, Path] = {
        GENERATOR_FILE: _chosen(generator, described.generator, "generator", source),
        AUDIO_ENCODER_FILE: _chosen(audio_encoder, described.audio_encoder, "audio encoder", source),
    }
    problem = other_front_end(source)
    if problem and is_checkpoint(chosen[GENERATOR_FILE]):
        raise Rejected(problem)
    exported = export_checkpoints(chosen, work_dir)
    networks = exported.networks
    prove_networks(networks[GENERATOR_FILE], networks[AUDIO_ENCODER_FILE], settings)
    exports = measure(exported, settings)
    clip = described.clip
    template = VideoTemplate(matrix=clip.matrix) if clip.video else _image_template(described)
    root = work_dir / "pack"
    try:
        copy_files(networks | _template_files(described, template), root)
    except OSError as error:
        raise file_error(f"Copying the avatar {source} to {root}", error) from error
    repairs = [finding for finding in described.findings if finding.level == "repair"]
    pack = seal(
        root,
        frame_size=clip.size,
        template=template,
        boxes=described.boxes,
        provenance=Provenance(
            layout=described.layout,
            repairs=tuple(_kept(repair) for repair in repairs),
            checkpoints={export.network: export.checkpoint for export in exports},
        ),
        licence=licence or "unspecified",
        consent=consent,
    )
    return Imported(pack, exports, tuple(repair.sentence for repair in repairs))


def _kept(repair: Finding) -> str:
    """What a pack says of a repair: never its sentence, since rewording that would change the pack's digest."""
    return f"{repair.code}: {repair.fact}"


def _chosen(given: Path | None, found: Path | None, what: str, source: Path) -> Path:
    path = given or found
    if path is None:
        checkpoint = next((path.name for path in sorted(source.rglob("*.pth"))), None)
        hint = f"; {checkpoint} in it is not opened unless it is given so" if checkpoint else ""
        option = what.replace(" ", "-")
        raise Rejected(
            f"{source} holds no {what} network in ONNX: give one with --{option} FILE, in ONNX or as a checkpoint "
            f"(.pth){hint}."
        )
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
