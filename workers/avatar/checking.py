"""Everything that is wrong with an avatar, before a job finds out."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.errors import LipsyncError, Transient
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs.avatar_spec import AUDIO_ENCODER_FILE, AVATAR_JSON, GENERATOR_FILE, NetworkFile, parsing_file
from jobs.avatars import resolve
from jobs.consent import consent_problem, today_utc
from workers.avatar.cache import fetch_pack, speaking
from workers.avatar.findings import SEVERITY, Finding, Reading, attempt, read_each
from workers.avatar.given import refuse_options
from workers.avatar.networks.checkpoints import is_checkpoint
from workers.avatar.networks.exporting import export_checkpoints
from workers.avatar.networks.proof import examine_audio_encoder, examine_generator
from workers.avatar.pack import Pack, damage, read_pack_spec
from workers.avatar.pictures import keep_mask, template_frames
from workers.avatar.sources.clips import fingerprint
from workers.avatar.sources.folder import SourceFolder
from workers.avatar.sources.front_end import other_front_end
from workers.avatar.sources.geometry import box_findings
from workers.avatar.sources.layouts import examine_source, recognise
from workers.avatar.sources.leftovers import leftover_findings
from workers.avatar.sources.suitability import clip_findings, memory_findings

_Given = Mapping[NetworkFile, Path | None]


def check(
    target: str | Path,
    settings: Settings,
    store: ObjectStore | None = None,
    *,
    generator: Path | None = None,
    audio_encoder: Path | None = None,
) -> list[Finding]:
    """Look at an avatar as thoroughly as rendering would, and go on after a fault where there is more to see.

    Args:
        target: a pack's folder, a source folder, or the name or digest of an avatar in the store.
        settings: how to run the networks, and where the cache is.
        store: where named avatars are; None for the one of the settings.
        generator: ONNX file or checkpoint that importing the source would be given.
        audio_encoder: likewise.

    Returns:
        What was found, the worst first; `findings.usable` tells what follows. Damage of any kind becomes an error here.

    Raises:
        Rejected: networks are given for something else than a source folder.
        Transient: the store or the file system did not answer, so nothing is known.
    """
    if (Path(target) / AVATAR_JSON).is_file() or not Path(target).is_dir():
        refuse_options(target, {"generator": generator, "audio-encoder": audio_encoder})
    findings: list[Finding] = []
    given: _Given = {GENERATOR_FILE: generator, AUDIO_ENCODER_FILE: audio_encoder}
    try:
        with speaking(f"Reading {target}"):
            for finding in _findings(target, settings, store, given):
                findings.append(finding)
    except Transient:
        raise
    except LipsyncError as error:
        findings.append(Finding("error", "not-checked", str(error)))
    return sorted(findings, key=lambda finding: SEVERITY.index(finding.level))


def _findings(target: str | Path, settings: Settings, store: ObjectStore | None, given: _Given) -> Iterator[Finding]:
    folder = Path(target)
    if (folder / AVATAR_JSON).is_file():
        yield from _pack(folder, settings)
    elif folder.is_dir():
        yield from _source(folder, settings, given)
    elif folder.exists():
        sentence = f"{target} is a file: give a folder, or the name or digest of an avatar in the store."
        yield Finding("error", "source-layout", sentence)
    else:
        shelves = store or open_store(settings)
        digest = yield from attempt("unknown-avatar", resolve, str(target), shelves)
        if digest:
            pack = yield from attempt(
                "pack-damaged", fetch_pack, shelves, digest, settings.cache, settings.cache_disk_mb
            )
            yield from _sound_pack(pack, settings) if pack else ()


def _pack(root: Path, settings: Settings) -> Iterator[Finding]:
    described = yield from attempt("pack-damaged", read_pack_spec, root)
    if described is None:
        return
    spec, digest = described
    broken = [Finding("error", "pack-damaged", problem) for problem in damage(root, spec)]
    yield from broken or _sound_pack(Pack(root, spec, digest), settings)


def _sound_pack(pack: Pack, settings: Settings) -> Iterator[Finding]:
    """A pack whose bytes are proved: does it hold what its names promise?"""
    spec = pack.spec
    for repair in spec.provenance.repairs:
        yield Finding("repair", "pack-repairs", f"Repaired when it was imported: {repair}", repair)
    if spec.licence == "unspecified":
        yield Finding("warning", "licence", "The pack names no licence: import it again with --licence.")
    problem = consent_problem(spec, today_utc())
    if problem and (spec.consent or settings.require_consent):
        yield Finding("error" if settings.require_consent else "warning", "consent", problem)
    prints = yield from attempt("pack-damaged", lambda: [fingerprint(frame) for frame in template_frames(pack)])
    parsed = {frame: parsing_file(frame) for frame in range(spec.frame_count) if spec.has_parsing(frame)}
    masks = yield from read_each("pack-damaged", parsed, lambda frame: keep_mask(pack, frame).size)
    yield from box_findings(spec.boxes, spec.frame_size)
    yield from clip_findings(prints or ())
    network_bytes, batch = yield from _networks(pack.generator, pack.audio_encoder, settings)
    mask_bytes = sum(masks.values())
    yield from memory_findings(
        spec.frame_count, spec.frame_size, spec.boxes, mask_bytes, network_bytes, batch, settings
    )


def _source(root: Path, settings: Settings, given: _Given) -> Iterator[Finding]:
    folder = SourceFolder(root)
    layout = yield from attempt("source-layout", recognise, folder)
    if layout is None:
        return
    parts = yield from examine_source(folder, layout)
    clip = parts.clip
    yield from clip_findings(clip.prints if clip else ())
    yield from leftover_findings(folder, clip)
    generator = given[GENERATOR_FILE] or parts.generator
    audio_encoder = given[AUDIO_ENCODER_FILE] or parts.audio_encoder
    problem = other_front_end(root)
    if problem:
        # A checkpoint is the folder's own, and its weights may look right; an ONNX file may come from elsewhere.
        yield Finding("error" if generator and is_checkpoint(generator) else "warning", "front-end", problem)
    lacking = [name for name, path in (("generator", generator), ("audio-encoder", audio_encoder)) if path is None]
    if lacking:
        options = " and ".join(f"--{name} FILE" for name in lacking)
        sentence = f"The source lacks a network: importing it needs {options}."
        yield Finding("warning", "missing-network", sentence, options)
    if settings.require_consent:
        yield Finding(
            "warning", "consent", "LIPSYNC_REQUIRE_CONSENT is set: jobs need it imported with --consent FILE."
        )
    with tempfile.TemporaryDirectory(prefix="lipsync-check-") as work_dir:
        drawing = yield from _as_onnx(GENERATOR_FILE, generator, Path(work_dir))
        hearing = yield from _as_onnx(AUDIO_ENCODER_FILE, audio_encoder, Path(work_dir))
        network_bytes, batch = yield from _networks(drawing, hearing, settings)
    if clip and network_bytes:
        mask_bytes = sum(
            (x1 - x0) * (y1 - y0) for frame, (x0, y0, x1, y1) in enumerate(parts.boxes) if frame in parts.parsing
        )
        yield from memory_findings(clip.frames, clip.size, parts.boxes, mask_bytes, network_bytes, batch, settings)


def _as_onnx(name: NetworkFile, path: Path | None, work_dir: Path) -> Reading[Path | None]:
    """A network's ONNX file, made of its checkpoint where it is given as one."""
    if path is None or not is_checkpoint(path):
        return path
    exported = yield from attempt("network-file", export_checkpoints, {name: path}, work_dir)
    return exported.networks[name] if exported else None


def _networks(generator: Path | None, audio_encoder: Path | None, settings: Settings) -> Reading[tuple[int, int]]:
    """Prove the networks that are there.

    Returns:
        The size of their files in bytes, and how many frames are drawn at a time.
    """
    batch = (yield from examine_generator(generator, settings)) if generator else 1
    if audio_encoder:
        yield from examine_audio_encoder(audio_encoder, settings)
    return sum(path.stat().st_size for path in (generator, audio_encoder) if path and path.is_file()), batch
