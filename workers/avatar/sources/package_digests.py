"""The digests that a package v2 gives for its networks in `onnx_dist_config.json`, whatever the shape of that file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workers.avatar.findings import Finding, Reading, attempt
from workers.avatar.pack import file_digest
from workers.avatar.sources.folder import SourceFolder

CONFIG = "onnx_dist_config.json"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def check_digests(folder: SourceFolder, networks: Mapping[str, Path]) -> Reading[None]:
    """Compare the networks of a package with the digests that it gives; an error for each that is another file.

    Args:
        folder: the package.
        networks: name as in the configuration, such as `generator` → file.
    """
    document = (yield from attempt("config-file", folder.json, CONFIG)) if folder.find(CONFIG) else {}
    if document is None:
        return
    given = dict(_given(document, "", tuple(networks)))
    for name, path in networks.items():
        if name not in given:
            sentence = (
                f"{CONFIG} gives no digest of {path.name}: make sure that it is this avatar's, it is taken as it is."
            )
            yield Finding("warning", "network-digest", sentence)
        elif (yield from attempt("network-file", file_digest, path)) not in {given[name], None}:
            sentence = f"{path.name} is not the file whose digest {CONFIG} gives: get the package again."
            yield Finding("error", "network-digest", sentence)


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
