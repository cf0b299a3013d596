"""What is shipped, what it is called, and what a submitting client has to load."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["infra", "jobs", "workers"]
LOCKS = sorted(ROOT.glob("requirements/*.txt"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_name_belongs_to_our_distribution_alone(package: str) -> None:
    assert set(packages_distributions()[package]) == {"lipsync-fleet"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_found_once_and_in_this_tree(package: str) -> None:
    """From another working directory, without the path that pytest adds."""
    script = f"import {package}; print(*{package}.__path__, sep='\\n')"
    found = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(ROOT / package)]


def test_nothing_under_ansible_is_a_python_package() -> None:
    assert list((ROOT / "ansible").rglob("__init__.py")) == []


def logical_lines(lock: Path) -> list[str]:
    text = lock.read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_there_is_a_lock_for_every_kind_of_host() -> None:
    assert {"cpu.txt", "gpu.txt", "local.txt", "train.txt", "dev.txt"} <= {lock.name for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_of_a_lock_has_hashes_and_nothing_names_an_index(lock: Path) -> None:
    lines = logical_lines(lock)
    assert len(lines) > 10
    pin = re.compile(
        r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[0-9][\w.+!-]*( ; [^@]*?)?( +--hash=sha256:[0-9a-f]{64})+"
    )
    assert [line[:120] for line in lines if not pin.fullmatch(line)] == []
    text = lock.read_text()
    for forbidden in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", " @ "):
        assert forbidden not in text


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in logical_lines(ROOT / "requirements" / name):
        project, version = re.split(r"==| ", line)[:2]
        found.setdefault(project.partition("[")[0], set()).add(version)
    return found


@pytest.mark.parametrize("name", ["cpu.txt", "gpu.txt", "local.txt", "watch.txt"])
def test_hosts_run_the_versions_that_were_tested(name: str) -> None:
    tested = pins("dev.txt")
    other = {project for project, versions in pins(name).items() if not versions <= tested.get(project, set())}
    assert other <= ({"onnxruntime-gpu", "nvidia-ml-py"} if name == "gpu.txt" else set())


def test_a_host_gets_one_onnx_runtime() -> None:
    flavours = {name: {pin for pin in pins(name) if pin.startswith("onnxruntime")} for name in ("cpu.txt", "gpu.txt")}
    assert flavours == {"cpu.txt": {"onnxruntime"}, "gpu.txt": {"onnxruntime-gpu"}}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in a wheel built from a copy of the tree: building in place leaves folders behind."""
    tree = tmp_path_factory.mktemp("tree")
    for name in [*PACKAGES, "tests"]:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, ".", "-w", "out"], cwd=tree, check=True, capture_output=True)
    (path,) = (tree / "out").iterdir()
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


ONLY_IN_THE_REPOSITORY = {"presenter", "artefact", "monitoring"}
"""Recipes: of the demo avatar, of what hosts get, and of what Prometheus and Grafana are told."""


def test_the_wheel_holds_every_module_script_and_data_file_but_the_recipes(wheel: list[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", *ONLY_IN_THE_REPOSITORY} & set(path.parts)
    }
    assert sorted(sources - set(wheel)) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"jobs/lua/\w+\.lua",
        r"workers/data/demo/avatar\.json",
        r"workers/data/demo/generator\.onnx",
        r"workers/data/demo/audio_encoder\.onnx",
        r"workers/data/demo/template\.mp4",
        r"workers/data/demo-canary\.png",
        r"workers/data/demo\.sha256",
        r"workers/data/speech\.flac",
        r"lipsync_fleet-[^/]+\.dist-info/licenses/LICENSE",
        r"lipsync_fleet-[^/]+\.dist-info/entry_points\.txt",
    ],
)
def test_the_wheel_holds_what_the_demo_and_the_ledger_need(pattern: str, wheel: list[str]) -> None:
    assert [name for name in wheel if re.fullmatch(pattern, name)]


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    roots = {name.split("/")[0] for name in wheel}
    assert {root for root in roots if not root.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in wheel if re.search(r"test|\.pyc$|__pycache__|\.pth$|/\.", name)]


RENDERING = {"onnxruntime", "cv2", "onnx", "torch", "librosa"}
HEAVY = RENDERING | {"av", "boto3", "botocore", "celery", "kombu", "numpy", "soundfile", "soxr", "redis"}


def loaded(script: str) -> set[str]:
    code = f"{script}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    return set(found.stdout.splitlines()[-1].split())


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert sorted(loaded("import jobs.cli") & HEAVY) == []


def test_the_commands_of_the_workers_room_import_late_as_well() -> None:
    script = "import jobs.cli\nfrom importlib.metadata import entry_points\n"
    script += "for entry in entry_points(group='lipsync.commands'): entry.load()(jobs.cli.app)"
    assert sorted(loaded(script) & HEAVY) == []


@pytest.mark.parametrize("module", ["submit", "fleet", "control", "assemble", "follow", "avatars"])
def test_a_submitting_client_never_needs_what_renders(module: str) -> None:
    assert sorted(loaded(f"import jobs.{module}") & RENDERING) == []
