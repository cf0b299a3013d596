"""One build: a tree, its digest, and the files it travels as."""

import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.artefact.application import labelled_version
from infra.artefact.bom import bill_of_materials
from infra.artefact.cuda import cuda_tree, layer_version
from infra.artefact.packing import normalise, pack_squashfs, pack_tar
from infra.artefact.parts import read_parts
from infra.artefact.python_tree import source_python
from infra.artefact.running import check_tools
from infra.artefact.trees import Tree, application_tree
from infra.errors import Rejected
from infra.release_record import BOM, ReleaseFile, ReleaseRecord, TreeRecord, record_json
from infra.tree_digest import FORMS, ID_DIGITS, RELEASE_JSON, Form, file_sha256, tree_files, tree_sha256

GPU: Final = "gpu"
CUDA: Final = "cuda"
VARIANTS: Final = ("cpu", GPU, "watch", CUDA)


@dataclass(frozen=True)
class Order:
    """What to build."""

    variant: str
    label: str
    """Marks one of several builds of a version; empty for none."""
    repository: Path
    python: Path
    """The Python to copy."""
    cache: Path
    out: Path


@dataclass(frozen=True)
class Built:
    """What came of a build."""

    record: ReleaseRecord
    path: Path
    """Of its `.release.json`."""
    seconds: float


def build(order: Order) -> Built:
    """Build an artefact; its files appear in `order.out`, the one that names the others last.

    Raises:
        Rejected: the order cannot be carried out as given.
        Failed: a tool or package is missing, or ended with an error.
    """
    start_s = time.monotonic()
    check_tools()
    if order.variant not in VARIANTS:
        raise Rejected(f"There is no variant {order.variant!r}: choose {', '.join(VARIANTS)}.")
    with _tree(order) as (tree, facts):
        sha256 = tree_sha256(tree.root)
        known = facts.model_copy(update={"id": sha256[:ID_DIGITS], "tree_sha256": sha256})
        (tree.root / RELEASE_JSON).write_bytes(record_json(known))
        size = sum(path.lstat().st_size for path in tree_files(tree.root) if path.is_file())
        record, path = _write_files(tree, known, size, order.out)
    return Built(record, path, time.monotonic() - start_s)


@contextmanager
def _tree(order: Order) -> Iterator[tuple[Tree, TreeRecord]]:
    """The tree with a `release.json` that does not name its digest yet."""
    python = source_python(order.python)
    machine = platform.machine()
    requirements = order.repository / "requirements"
    if order.variant == CUDA:
        if order.label:
            raise Rejected("The layer cuda has CUDA's version and no label: leave --build out.")
        kept = cuda_tree(requirements / "cuda.txt", python, order.cache)
        facts = TreeRecord(
            version=layer_version(requirements / "cuda.txt"), variant=CUDA, machine=machine, python=None, glibc=None
        )
        tree = Tree(kept / "tree", read_parts(kept / "parts.json"), "")
        _write_facts(tree.root, facts)
        yield tree, facts
        return
    version = labelled_version(order.repository, order.label)
    lock = requirements / f"{order.variant}.txt"
    layer = layer_version(requirements / "cuda.txt") if order.variant == GPU else None
    with application_tree(order.repository, python, lock, version, order.cache) as tree:
        facts = TreeRecord(
            version=version,
            variant=order.variant,
            machine=machine,
            python=python.version,
            glibc=tree.glibc,
            layer=layer,
        )
        _write_facts(tree.root, facts)
        yield tree, facts


def _write_facts(root: Path, facts: TreeRecord) -> None:
    (root / RELEASE_JSON).write_bytes(record_json(facts))
    normalise(root)


def _write_files(tree: Tree, known: TreeRecord, size: int, out: Path) -> tuple[ReleaseRecord, Path]:
    """Write the files of a release, each under a name of its own until all are there.

    Never into files that are there: somebody may have mounted them.
    """
    stem = f"lipsync-{known.version}-{known.variant}-linux-{known.machine}"
    names: dict[Form | str, str] = {form: f"{stem}.{form}" for form in FORMS} | {BOM: f"{stem}.bom.json"}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as scratch:
        paths = {form: Path(scratch) / name for form, name in names.items()}
        pack_squashfs(tree.root, paths["squashfs"])
        pack_tar(tree.root, paths["tar.zst"])
        paths[BOM].write_bytes(bill_of_materials(known, tree.parts))
        files = {
            form: ReleaseFile(name=path.name, sha256=file_sha256(path), bytes=path.stat().st_size)
            for form, path in paths.items()
        }
        record = ReleaseRecord.model_validate({**known.model_dump(by_alias=True), "tree_bytes": size, "files": files})
        unfinished = Path(scratch) / f"{stem}.release.json"
        unfinished.write_bytes(record_json(record))
        for path in [*paths.values(), unfinished]:
            path.chmod(0o644)
            path.replace(out / path.name)
    return record, out / unfinished.name
