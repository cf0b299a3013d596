"""The digests that a package v2 gives for its networks in `onnx_dist_config.json`, whatever the shape of that file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.errors import Rejected
from workers.avatar.findings import Finding
from workers.avatar.pack import file_digest
from workers.avatar.source_folder import SourceFolder

CONFIG = "onnx_dist_config.json"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def check_digests(folder: SourceFolder, networks: dict[str, Path | None]) -> list[Finding]:
    """Compare the networks of a package with the digests that it gives.

    Args:
        folder: the package.
        networks: name as in the configuration, such as `generator` → file.

    Returns:
        A warning for each network without a digest.

    Raises:
        Rejected: a network's bytes are not those that the package was made with.
    """
    given = dict(_given(folder.json(CONFIG), "", tuple(networks))) if folder.find(CONFIG) else {}
    findings = []
    for name, path in networks.items():
        if path is None:
            continue
        if name not in given:
            findings.append(Finding("warning", f"{CONFIG} gives no digest of {path.name}, which is taken as it is."))
        elif file_digest(path) != given[name]:
            raise Rejected(f"{path.name} is not the file whose digest {CONFIG} gives: get the package again.")
    return findings


def _given(node: Any, place: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Walk the document; a digest belongs to the network that its keys name, else to that of its neighbours."""
    if isinstance(node, dict | list):
        entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        neighbours = " ".join(str(value) for _, value in entries if isinstance(value, str))
        for key, value in entries:
            inner = f"{place}/{key}"
            match = _DIGEST.fullmatch(value.strip().lower()) if isinstance(value, str) else None
            named = [name for name in names if name in inner.lower()] or [
                name for name in names if name in neighbours.lower()
            ]
            if match and len(named) == 1:
                yield named[0], match[1]
            yield from _given(value, inner, names)
