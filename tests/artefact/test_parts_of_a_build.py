"""The steps of a build, each on files made for it."""

import json
import re
from pathlib import Path

import pytest

from infra.artefact import running
from infra.artefact.application import labelled_version
from infra.artefact.bom import bill_of_materials
from infra.artefact.cuda import layer_version
from infra.artefact.packages import prune
from infra.artefact.packing import normalise
from infra.artefact.parts import Part, owning_package, read_parts, write_parts
from infra.artefact.provider import IN_WHEEL, leave_to_layer
from infra.errors import Failed, Rejected
from infra.release_record import TreeRecord
from tests.artefact.conftest import ROOT

RECORD = TreeRecord(
    id="0" * 16, tree_sha256="0" * 64, version="1.2", variant="cpu", machine="x86_64", python="3.11.2", glibc="2.36"
)


@pytest.mark.parametrize(("label", "suffix"), [("", ""), ("7", "+7"), ("canary.2", "+canary.2")])
def test_a_label_becomes_part_of_the_version(label: str, suffix: str) -> None:
    assert labelled_version(ROOT, label) == labelled_version(ROOT, "") + suffix
    assert re.fullmatch(r"\d+\.\d+\.\d+", labelled_version(ROOT, ""))


@pytest.mark.parametrize("label", ["A", "a b", "a+b", ".a", "a.", "../a", "a-b", "ä", "a\n"])
def test_what_cannot_be_part_of_a_version_is_no_label(label: str) -> None:
    with pytest.raises(Rejected, match="lower-case letters and digits"):
        labelled_version(ROOT, label)


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_what_no_host_reads_goes_and_what_wheels_bundle_stays(tmp_path: Path) -> None:
    kept = [
        "botocore/data/endpoints.json",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "botocore/data/sts/2011-06-15/service-2.json.gz",
        "numpy.libs/libopenblas.so",
        "numpy.libs/tests/libodd.h",
        "numpy/__init__.py",
        "numpy/testing/__init__.py",
        "numpy-2.4.6.dist-info/METADATA",
        "numpy-2.4.6.dist-info/licenses/LICENSE.txt",
        "onnx/bin.py",
    ]
    gone = [
        "bin/celery",
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "numpy/__init__.pyi",
        "numpy/_core/include/numpy/arrayobject.h",
        "numpy/_core/lib/libnpymath.a",
        "numpy/tests/test_all.py",
        "numpy-2.4.6.dist-info/RECORD",
        "onnx/backend/test/data/model.onnx",
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
    ]
    files(tmp_path, *kept, *gone)
    prune(tmp_path)
    assert left(tmp_path) == sorted(kept)


def test_permissions_do_not_depend_on_who_builds(tmp_path: Path) -> None:
    files(tmp_path, "a/program", "a/data")
    (tmp_path / "a" / "program").chmod(0o700)
    (tmp_path / "a" / "data").chmod(0o660)
    (tmp_path / "a").chmod(0o2770)
    (tmp_path / "link").symlink_to("nowhere")
    normalise(tmp_path)
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in tmp_path.rglob("*") if not path.is_symlink()}
    assert modes == {"a": 0o755, "program": 0o755, "data": 0o644}


def test_the_kernels_for_cuda_are_left_to_the_layer_of_their_own_release(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "0123456789abcdef"
    packages = release / "lib" / "python3.11" / "dist-packages"
    files(packages, IN_WHEEL)
    leave_to_layer(release, packages, "1.31.1")
    assert not (packages / IN_WHEEL).exists()
    files(tmp_path / "layers" / "one", "lib/libonnxruntime_providers_cuda-1.31.2.so")
    (tmp_path / "cuda").symlink_to("layers/one")
    assert not (packages / IN_WHEEL).exists(), "another release's kernels"
    files(tmp_path / "layers" / "two", "lib/libonnxruntime_providers_cuda-1.31.1.so")
    (tmp_path / "cuda").unlink()
    (tmp_path / "cuda").symlink_to("layers/two")
    assert (packages / IN_WHEEL).read_bytes() == b"x"


def test_both_locks_of_gpu_hosts_name_one_onnx_runtime() -> None:
    version = layer_version(ROOT / "requirements" / "cuda.txt").partition("+onnxruntime")[2]
    assert f"\nonnxruntime-gpu=={version} " in (ROOT / "requirements" / "gpu.txt").read_text()


def test_a_lock_without_cuda_makes_no_layer() -> None:
    with pytest.raises(Failed, match="make lock"):
        layer_version(ROOT / "requirements" / "cpu.txt")


PARTS = [
    Part("deb", "libssl3", "3.0.17-1~deb12u2", "", "1" * 64, "libssl.so.3"),
    Part("deb", "libssl3", "3.0.17-1~deb12u2", "", "2" * 64, "libcrypto.so.3"),
    Part("pypi", "numpy", "2.4.6", "BSD-3-Clause AND MIT", "3" * 64),
    Part("pypi", "odd", "1", "Some Licence of Ours", "4" * 64),
    Part("generic", "libx.so.1", "", "", "5" * 64),
]


def test_the_bill_names_every_part_and_is_the_same_each_time() -> None:
    bill = bill_of_materials(RECORD, PARTS)
    assert bill == bill_of_materials(RECORD, list(PARTS))
    document = json.loads(bill)
    assert (document["bomFormat"], document["metadata"]["component"]["version"]) == ("CycloneDX", "1.2")
    assert "timestamp" not in document["metadata"]
    found = {component["purl"]: component for component in document["components"]}
    assert set(found) == {
        "pkg:deb/debian/libssl3@3.0.17-1~deb12u2",
        "pkg:pypi/numpy@2.4.6",
        "pkg:pypi/odd@1",
        "pkg:generic/libx.so.1",
    }
    assert len(document["components"]) == len(PARTS)
    assert found["pkg:pypi/numpy@2.4.6"]["hashes"] == [{"alg": "SHA-256", "content": "3" * 64}]
    assert found["pkg:pypi/numpy@2.4.6"]["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert found["pkg:pypi/odd@1"]["licenses"][0]["license"]["name"] == "Some Licence of Ours"


def test_parts_are_kept_beside_a_tree(tmp_path: Path) -> None:
    write_parts(tmp_path / "parts.json", PARTS)
    assert read_parts(tmp_path / "parts.json") == PARTS


def test_a_file_of_nobody_belongs_to_no_package(tmp_path: Path) -> None:
    files(tmp_path, "libx.so")
    assert owning_package(tmp_path / "libx.so") is None


def test_missing_tools_are_named_with_what_brings_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed, match="without squashfs-tools and zstd and libc-bin: install them with apt-get"):
        running.check_tools()


def test_a_program_that_fails_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"^Counting failed: sh ended with 3: no such number$"):
        running.run(["sh", "-c", "echo 'no such  number' >&2; exit 3"], "Counting")
    with pytest.raises(Failed, match="cannot be run: No such file or directory"):
        running.run([tmp_path / "none"], "Counting")


def test_programs_do_not_see_what_could_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "SOURCE_DATE_EPOCH", "LD_PRELOAD_NOTHING", "LANG", "LC_TIME"):
        monkeypatch.setenv(name, "anything")
    seen = dict(line.split("=", 1) for line in running.run(["env"], "Asking").splitlines() if "=" in line)
    assert {name for name, value in seen.items() if value == "anything"} == set()
    assert seen["LC_ALL"] == "C.UTF-8"
