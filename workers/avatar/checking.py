"""Everything that is wrong with an avatar, before a job finds out."""

from collections.abc import Iterator
from pathlib import Path

from infra.errors import LipsyncError, Rejected, Unreachable
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from infra.store_directory import file_error
from jobs.avatar_spec import AVATAR_JSON
from jobs.avatars import resolve
from workers.avatar.cache import fetch_pack
from workers.avatar.findings import Finding
from workers.avatar.networks import prove_networks
from workers.avatar.pack import Pack, damage, read_pack_spec
from workers.avatar.pictures import keep_mask, template_frames
from workers.avatar.sources import read_source


def check(target: str | Path, settings: Settings, store: ObjectStore | None = None) -> list[Finding]:
    """Look at an avatar as thoroughly as rendering would.

    Args:
        target: a pack's folder, a source folder, or the name or digest of an avatar in the store.
        settings: how to run the networks, and where the cache is.
        store: where named avatars are; None for the one of the settings.

    Returns:
        Errors, warnings and repairs; an avatar without errors can be used. Damage of any kind becomes an error here.

    Raises:
        Unreachable: the store did not answer, so nothing is known.
    """
    findings: list[Finding] = []
    try:
        findings += _findings(target, settings, store)
    except Unreachable:
        raise
    except LipsyncError as error:
        findings.append(Finding("error", str(error)))
    except OSError as error:
        findings.append(Finding("error", str(file_error(f"Reading {target}", error))))
    return findings


def _findings(target: str | Path, settings: Settings, store: ObjectStore | None) -> Iterator[Finding]:
    folder = Path(target)
    if not folder.is_dir():
        if folder.exists():
            raise Rejected(f"{target} is a file: give a folder, or the name or digest of an avatar in the store.")
        shelves = store or open_store(settings)
        digest = resolve(str(target), shelves)
        yield from _sound_pack(fetch_pack(shelves, digest, settings.cache, settings.cache_disk_mb), settings)
    elif (folder / AVATAR_JSON).is_file():
        yield from _pack(folder, settings)
    else:
        yield from _source(folder, settings)


def _pack(root: Path, settings: Settings) -> Iterator[Finding]:
    spec, digest = read_pack_spec(root)
    broken = [Finding("error", problem) for problem in damage(root, spec)]
    yield from broken or _sound_pack(Pack(root, spec, digest), settings)


def _sound_pack(pack: Pack, settings: Settings) -> Iterator[Finding]:
    """A pack whose bytes are proved: does it hold what its names promise?"""
    yield from (Finding("repair", sentence) for sentence in pack.spec.provenance.repairs)
    if pack.spec.licence == "unspecified":
        yield Finding("warning", "The pack names no licence: import it again with --licence.")
    for _ in template_frames(pack):
        pass
    for frame in range(pack.spec.frame_count):
        if pack.spec.has_parsing(frame):
            keep_mask(pack, frame)
    prove_networks(pack.generator, pack.audio_encoder, settings)


def _source(folder: Path, settings: Settings) -> Iterator[Finding]:
    source = read_source(folder)
    yield from source.findings
    if source.generator and source.audio_encoder:
        prove_networks(source.generator, source.audio_encoder, settings)
        return
    lacking = [
        f"--{name} FILE.onnx"
        for name, path in (("generator", source.generator), ("audio-encoder", source.audio_encoder))
        if path is None
    ]
    yield Finding("warning", f"The source lacks a network: importing it needs {' and '.join(lacking)}.")
