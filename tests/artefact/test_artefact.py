"""Real artefacts on a host with nothing but a C library and a shell, and what two builds of one release share."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.artefact.building import Built
from infra.artefact.libraries import elf_files
from infra.tree_digest import file_sha256, tree_files, tree_sha256
from jobs import release_store
from jobs.release_proof import prove
from tests.artefact.bare_host import BareHost
from tests.artefact.conftest import ROOT, copy_sources

PLACES = ["/opt/lipsync/releases/0123456789abcdef", "/srv/a place with spaces/x"]
VERSION = "0.1.0+test.1"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> BareHost:
    return BareHost(tmp_path_factory.mktemp("host") / "root")


@pytest.fixture(scope="module")
def release(cpu: Built, cpu_tree: Path) -> Path:
    """What is mounted on the host: the image where this user may mount it, else its tree."""
    return cpu.path.with_name(cpu.record.files["squashfs"].name) if os.geteuid() == 0 else cpu_tree


@pytest.mark.parametrize("place", PLACES)
def test_it_runs_wherever_it_lies_without_python_home_or_a_disk_to_write_to(
    host: BareHost, release: Path, place: str
) -> None:
    done = host.run(release, place, [f"{place}/bin/lipsync", "--version"], folder="/tmp")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"lipsync-fleet {VERSION}\n", "")
    done = host.run(release, place, ["/bin/touch", "/tmp/file"])
    assert "Read-only file system" in done.stderr


def test_it_is_found_through_links_and_whatever_the_environment_says(host: BareHost, release: Path) -> None:
    (host.root / "opt" / "lipsync" / "releases").mkdir(parents=True, exist_ok=True)
    (host.root / "opt" / "lipsync" / "current").symlink_to("releases/0123456789abcdef")
    (host.root / "bin" / "our-lipsync").symlink_to("../opt/lipsync/current/bin/lipsync")
    hostile = {
        "PYTHONHOME": "/nowhere",
        "PYTHONPATH": "/tmp",
        "LD_LIBRARY_PATH": "/lib",
        "LANG": "xx_YY",
        "PATH": "/bin",
    }
    for command in (["our-lipsync"], ["/bin/our-lipsync"], ["sh", "/opt/lipsync/current/bin/lipsync"]):
        done = host.run(release, PLACES[0], [*command, "--version"], hostile)
        assert (done.returncode, done.stdout) == (0, f"lipsync-fleet {VERSION}\n"), done.stderr


MODULES = """
import importlib, json, sys
failed = []
for name in sorted({*sys.stdlib_module_names, *sys.argv[2].split()} - {*sys.argv[1].split()}):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
mapped = {line.split(maxsplit=5)[-1].strip() for line in open("/proc/self/maps") if ".so" in line}
print(json.dumps({"failed": failed, "mapped": sorted(mapped), "path": sys.path}))
"""
# Of the standard library: not copied, or of other systems.
WITHOUT = (
    "_tkinter tkinter turtle turtledemo idlelib ensurepip lib2to3 distutils venv pydoc_data curses _curses "
    "_curses_panel readline _dbm _gdbm nis _crypt crypt ossaudiodev antigravity this msilib _msi nt _winapi winreg "
    "winsound msvcrt _overlapped _scproxy _winreg asyncio.windows_events"
)
GLIBC = re.compile(r"ld-linux\S*|lib(c|m|mvec|dl|rt|pthread|util|resolv)\.so\.\d")
OURS = "av boto3 celery cv2 jobs.submit jobs.exporter numpy onnx onnxruntime psutil soundfile soxr workers.app"


def test_every_module_loads_and_no_library_comes_from_the_host_but_the_c_library(host: BareHost, release: Path) -> None:
    place = PLACES[0]
    done = host.run(release, place, [f"{place}/bin/python3", "-c", MODULES, WITHOUT, OURS])
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "such as of telemetry that could not keep its identifier"
    found = json.loads(done.stdout)
    assert found["failed"] == []
    foreign = {Path(name).name for name in found["mapped"] if not name.startswith(f"{place}/")}
    assert [name for name in foreign if not GLIBC.fullmatch(name)] == []
    assert [folder for folder in found["path"] if not folder.startswith(f"{place}/")] == []


def test_a_host_proves_what_it_runs(host: BareHost, release: Path, cpu: Built) -> None:
    place = PLACES[0]
    done = host.run(release, place, [f"{place}/bin/lipsync", "release", "verify", "--json"])
    assert json.loads(done.stdout)["id"] == cpu.record.id, done.stderr


def test_a_video_is_rendered_from_the_tree(cpu_tree: Path, tmp_path: Path) -> None:
    speech = cpu_tree.glob("lib/python3*/*-packages/workers/data/speech.flac")
    environment = {"PATH": "/usr/bin:/bin", "LIPSYNC_CACHE": str(tmp_path / "cache"), "HOME": "/nonexistent"}
    video = tmp_path / "video.mp4"
    command: list[str | Path] = [
        cpu_tree / "bin" / "lipsync",
        "render",
        next(speech),
        "--stop",
        "10",
        "--out",
        video,
        "--json",
    ]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stop"] == 10
    assert video.stat().st_size > 1000


def test_both_forms_hold_the_tree_of_the_record(cpu: Built, cpu_tree: Path, tmp_path: Path) -> None:
    record = cpu.record
    assert tree_sha256(cpu_tree) == record.tree_sha256
    assert prove(cpu_tree).id == record.id == record.tree_sha256[:16]
    assert (record.version, record.variant) == (VERSION, "cpu")
    for file in record.files.values():
        path = cpu.path.with_name(file.name)
        assert (path.stat().st_size, file_sha256(path)) == (file.bytes, file.sha256)
    archive = cpu.path.with_name(record.files["tar.zst"].name)
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", tmp_path], check=True)
    assert prove(tmp_path).id == record.id
    shutil.rmtree(tmp_path / "lib")
    assert release_store.read_record(cpu.path) == record


def test_the_tree_names_no_folder_of_the_machine_that_built_it(cpu_tree: Path) -> None:
    traces = [str(ROOT).encode(), b"/build/artefact/", str(Path.home()).encode() + b"/"]
    if Path.home() == Path("/root"):
        traces.pop()  # also a path in examples of others
    found = [
        path.relative_to(cpu_tree).as_posix()
        for path in tree_files(cpu_tree)
        if path.is_file() and any(trace in path.read_bytes() for trace in traces)
    ]
    assert found == []


def test_nothing_in_it_needs_compiling_installing_or_a_link_outside(cpu_tree: Path) -> None:
    names = [path.relative_to(cpu_tree).as_posix() for path in tree_files(cpu_tree)]
    assert [
        name for name in names if re.search(r"(^|/)(pip|setuptools|flower|tests|test)/|/__pycache__/.*\.opt-", name)
    ] == []
    modules = {name for name in names if name.endswith(".py")}
    compiled = {
        re.sub(r"__pycache__/(.*)\.cpython-\d+\.pyc", r"\1.py", name) for name in names if name.endswith(".pyc")
    }
    assert modules == compiled
    links = [path for path in tree_files(cpu_tree) if path.is_symlink()]
    assert [link for link in links if not link.resolve().is_relative_to(cpu_tree)] == []


def test_the_bill_lists_what_is_installed_with_the_wheels_of_the_lock(cpu: Built, cpu_tree: Path) -> None:
    bill = json.loads(cpu.path.with_name(cpu.record.files["bom"].name).read_bytes())
    listed = {
        part["name"]: (part["version"], part["hashes"][0]["content"])
        for part in bill["components"]
        if part["purl"].startswith("pkg:pypi/")
    }
    (packages,) = cpu_tree.glob("lib/python3*/*-packages")
    installed = {
        re.sub("[._]", "-", one.name.lower()): one.version
        for one in importlib.metadata.distributions(path=[str(packages)])
    }
    assert installed.pop("lipsync-fleet") == VERSION
    assert {name: version for name, (version, _) in listed.items()} == installed
    lock = (ROOT / "requirements" / "cpu.txt").read_text()
    assert [name for name, (_, sha256) in listed.items() if f"sha256:{sha256}" not in lock] == []
    copied = {part["description"] for part in bill["components"] if part.get("description")}
    libraries = {f"the file {path.name}" for path in elf_files(cpu_tree / "lib") if path.parent == cpu_tree / "lib"}
    assert libraries <= copied | {f"the file {part['name']}" for part in bill["components"]}


def test_two_builds_are_the_same_to_the_last_byte_whoever_makes_them_where_and_when(
    watch: Built, sources: Path, tmp_path: Path
) -> None:
    """One with what an earlier build kept, one from nothing: other folder, umask, time zone, locale and hash seed."""
    repository = copy_sources(sources, tmp_path / "another folder" / "repository")
    hostile = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "99"}
    command = [sys.executable, "-m", "infra.artefact", "--variant", "watch", "--build", "twice"]
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", *command, "--out", "out", "--cache", "../cache"],
        cwd=repository,
        env={**os.environ, **hostile},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^id +{watch.record.id}$", done.stdout, re.MULTILINE)
    first = {path.name: file_sha256(path) for path in watch.path.parent.iterdir()}
    assert len(first) == 4
    assert {path.name: file_sha256(path) for path in (repository / "out").iterdir()} == first


def test_a_host_that_watches_has_flower_and_nothing_that_renders(watch: Built, tmp_path: Path) -> None:
    image = watch.path.with_name(watch.record.files["squashfs"].name)
    tree = tmp_path / "tree"
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-dest", tree, image], check=True)
    script = (
        "import importlib.util as u; print(*[bool(u.find_spec(n)) for n in ('flower', 'onnxruntime', 'cv2', 'onnx')])"
    )
    done = subprocess.run([tree / "bin/python3", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True False False False\n"
    for command in (["bin/python3", "-m", "infra.flower_app"], ["bin/lipsync", "exporter"]):
        done = subprocess.run([tree / command[0], *command[1:], "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "--port" in done.stdout or "--listen" in done.stdout
    shutil.rmtree(tree)
