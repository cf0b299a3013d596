"""The bill of materials of a release, in CycloneDX: the same release has the same bill, byte for byte."""

import json
from collections.abc import Iterable
from typing import Final
from uuid import UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from infra.artefact.parts import Part
from infra.release_record import TreeRecord

_NAMESPACE: Final = UUID("c3e5a5d4-6d0d-5a55-9a8e-1f6c3b1c2f10")
"""Of this project's bills; any fixed one would do."""


def bill_of_materials(record: TreeRecord, parts: Iterable[Part]) -> bytes:
    """The bill of a release made of `parts`."""
    bom = Bom(
        components=[_component(part) for part in parts],
        serial_number=uuid5(_NAMESPACE, record.tree_sha256),
    )
    bom.metadata.component = Component(
        type=ComponentType.APPLICATION,
        name=f"lipsync-fleet-{record.variant}",
        version=record.version,
        bom_ref=f"lipsync-fleet-{record.variant}@{record.version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.tree_sha256)],
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]  # the only thing that two builds of one release would not share
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _component(part: Part) -> Component:
    purl = _package_url(part)
    return Component(
        type=ComponentType.LIBRARY if part.name != "python" else ComponentType.PLATFORM,
        name=part.name,
        version=part.version or None,
        purl=purl,
        bom_ref=f"{purl}#{part.detail or part.sha256[:16]}",
        licenses=[LicenseFactory().make_from_string(part.licence)] if part.licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        description=f"the file {part.detail}" if part.detail else None,
    )


def _package_url(part: Part) -> PackageURL:
    namespace = "debian" if part.kind == "deb" else None
    return PackageURL(part.kind, namespace, part.name, part.version or None)
