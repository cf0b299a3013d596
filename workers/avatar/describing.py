"""Everything about one avatar, from its pack, the store, the ledger and this machine's cache."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.errors import Failed, Transient
from infra.object_store import open_store
from infra.settings import Settings
from infra.store_directory import file_error
from jobs import keys
from jobs.avatar_removal import using
from jobs.avatar_spec import AUDIO_ENCODER_FILE, AVATAR_JSON, GENERATOR_FILE, AvatarSpec
from jobs.avatars import list_avatars, read_spec, resolve
from jobs.consent import consent_problem, today_utc
from jobs.console import printable
from jobs.ledger_redis import RedisLedger
from workers.avatar.cache import is_cached
from workers.avatar.export_records import read_exports
from workers.avatar.pack import read_pack_spec

_MB: Final = 1_000_000
_NOT_MEASURED: Final = "made of checkpoints, but what was measured then is stored neither here nor in the cache"


@dataclass
class Description:
    """An avatar as `lipsync avatar show --json` prints it, and a sentence for all that could not be asked."""

    document: dict[str, Any]
    unknown: list[str] = field(default_factory=list)

    def ask(self, name: str, question: Callable[[], Any]) -> None:
        """Enter an answer, or None when whoever knows it cannot be reached or answers nonsense."""
        try:
            self.document[name] = question()
        except (Transient, Failed) as error:
            self.document[name] = None
            self.unknown.append(f"{name}: {error}")


def describe(target: str, settings: Settings) -> Description:
    """Describe an avatar without proving its bytes; `lipsync avatar check` does that.

    Args:
        target: a pack's folder, or the name or digest of an avatar in the store.
        settings: where the store, the ledger and the cache are.

    Raises:
        NotFound: there is no such avatar.
        Unreachable: the store that should know the name does not answer.
    """
    store = open_store(settings)
    folder = Path(target)
    if folder.is_dir():
        spec, digest = read_pack_spec(folder)
        place, sizes = str(folder), _sizes_of_folder(folder, spec)
    else:
        digest = resolve(target, store)
        spec = read_spec(store, digest)
        prefix = keys.avatar_pack(digest)
        place = store.location(prefix + AVATAR_JSON).removesuffix(f"/{AVATAR_JSON}")
        sizes = {info.key.removeprefix(prefix): info.size for info in store.list(prefix)}
    found = Description({"digest": digest, "place": place} | _of_spec(spec) | _of_sizes(sizes))
    found.document["consent_problem"] = _consent_problem(spec, settings)
    found.document["cached"] = is_cached(digest, settings.cache)
    found.ask("names", lambda: [avatar.name for avatar in list_avatars(store) if avatar.digest == digest])
    found.ask("exports", lambda: read_exports(digest, store, settings.cache))
    found.ask("jobs", lambda: _jobs(digest, settings))
    return found


def text_of(document: dict[str, Any]) -> str:
    """A description for people: a line for each fact."""
    provenance = document["provenance"]
    lines = [
        ("digest", document["digest"]),
        ("names", _listed(document["names"])),
        ("place", document["place"] + (", cached here" if document["cached"] else "")),
        ("size", f"{document['files']} files, {document['bytes'] / _MB:.1f} MB"),
        ("frames", "{frames} of {width}x{height}, as {template}".format(**document)),
        ("boxes", "{0[0]} to {0[1]} px wide, {1[0]} to {1[1]} px high".format(*document["boxes"].values())),
        *(("network", f"{name}, {size / _MB:.1f} MB") for name, size in document["networks"].items()),
        *(("export", _spelled(export)) for export in document["exports"] or ()),
        *([("export", _NOT_MEASURED)] if document["exports"] == [] and provenance["checkpoints"] else []),
        ("layout", provenance["layout"]),
        *([("note", provenance["note"])] if provenance["note"] else []),
        *(("checkpoint", f"of {network}: {digest}") for network, digest in provenance["checkpoints"].items()),
        *(("repair", sentence) for sentence in provenance["repairs"]),
        ("licence", document["licence"]),
        ("consent", _spelled(document["consent"]) if document["consent"] else "none recorded"),
        *([("warning", document["consent_problem"])] if document["consent_problem"] else []),
        ("jobs", _listed(document["jobs"])),
    ]
    return "\n".join(printable(f"{name:<11} {value}") for name, value in lines)


def _listed(values: list[str] | None) -> str:
    return "unknown" if values is None else ", ".join(values) or "none"


def _spelled(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in fields.items())


def _of_spec(spec: AvatarSpec) -> dict[str, Any]:
    widths = [x1 - x0 for x0, _, x1, _ in spec.boxes]
    heights = [y1 - y0 for _, y0, _, y1 in spec.boxes]
    document = spec.model_dump(mode="json", include={"template", "provenance", "licence", "consent"})
    return {
        "frames": spec.frame_count,
        "width": spec.frame_size.width,
        "height": spec.frame_size.height,
        "template": spec.template.kind,
        "matrix": document["template"].get("matrix"),
        "boxes": {"width_px": [min(widths), max(widths)], "height_px": [min(heights), max(heights)]},
        "provenance": document["provenance"],
        "licence": spec.licence,
        "consent": document["consent"],
    }


def _of_sizes(sizes: dict[str, int]) -> dict[str, Any]:
    """Files of the pack and their bytes."""
    networks = {name: sizes[name] for name in (GENERATOR_FILE, AUDIO_ENCODER_FILE) if name in sizes}
    return {"files": len(sizes), "bytes": sum(sizes.values()), "networks": networks}


def _sizes_of_folder(folder: Path, spec: AvatarSpec) -> dict[str, int]:
    try:
        paths = {name: folder / name for name in [*spec.files, AVATAR_JSON]}
        return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
    except OSError as error:
        raise file_error(f"Reading {folder}", error) from error


def _consent_problem(spec: AvatarSpec, settings: Settings) -> str | None:
    """What is wrong with a consent that there is; that there is none is a problem only where one is required."""
    return consent_problem(spec, today_utc()) if spec.consent or settings.require_consent else None


def _jobs(digest: str, settings: Settings) -> list[str]:
    return using(RedisLedger(settings).jobs_of(digest))
