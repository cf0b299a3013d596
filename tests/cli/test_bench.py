"""`lipsync bench` as a user meets it: quick figures of a small avatar, and one sentence for what cannot be measured."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.errors import Failed, NotFound
from infra.settings import Settings
from jobs.cli import main
from tests.servers import missing
from workers.avatar.pack import open_pack
from workers.avatar.synthetic import make_synthetic
from workers.bench import fleet, race
from workers.bench.processes import in_its_own_process
from workers.bench.subject import Subject, benchmark_subject

Run = Callable[..., tuple[str, str]]
STATISTICS = {"count", "median_ms", "mean_ms", "p95_ms", "deviation_ms", "least_ms", "greatest_ms", "frames_per_s"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `lipsync bench` in this process; give what it and the processes that it starts printed."""
    for name in [name for name in os.environ if name.startswith("LIPSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIPSYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")

    def call(*arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["bench", *(str(argument) for argument in arguments)])
        printed = capfd.readouterr()
        assert (caught.value.code or 0) == code, printed
        return printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small avatar."""
    return make_synthetic(tmp_path_factory.mktemp("small"), frames=3, width=384, height=352, small=True).root


@pytest.fixture
def subject(small: Path, tmp_path: Path) -> Iterator[Subject]:
    with benchmark_subject(str(small), Settings(home=tmp_path, cache=tmp_path, providers="cpu", threads=1)) as subject:
        yield subject


def refusal(printed: tuple[str, str]) -> str:
    """The one sentence on standard error."""
    out, err = printed
    (line,) = [line for line in err.splitlines() if line.startswith("lipsync: ")]
    assert out == "" and "Traceback" not in err
    return line


def document(printed: tuple[str, str]) -> dict[str, Any]:
    """The one JSON document on standard output; nothing on standard error."""
    out, err = printed
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_render_is_measured_and_drawn(run: Run, small: Path, tmp_path: Path) -> None:
    picture = tmp_path / "figures.png"
    found = document(run("--avatar", small, "--frames", 6, "--json", "--plot", picture))
    assert (found["what"], found["frames"], found["provider"]) == ("pipeline", 6, "CPUExecutionProvider")
    assert found["interval"].keys() == STATISTICS and 1 <= found["interval"]["count"] <= 5
    assert {"audio", "encoder_half", "decoder_half", "paste", "encode"} <= found["stages"].keys()
    assert found["stages"]["decoder_half"]["laps"] == 6 and 0 < found["device_busy_share"] <= 1
    assert found["frames_per_s"]["least"] > 0 and found["first_frame_ms"] > 0
    assert 0 < found["cold_start_s"]["least"] <= found["cold_start_s"]["median"]
    assert 20 < found["peak_memory_mb"] < 4000
    assert found["machine"].keys() == {"cpu", "cores", "python", "onnxruntime"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_networks_are_measured_alone_and_against_the_limit_of_the_machine(run: Run, small: Path) -> None:
    found = document(run("--what", "model", "--avatar", small, "--frames", 5, "--json"))
    counts = {"audio encoder": 5, "encoder half": 2, "decoder half": 5, "whole generator": 5}  # of 3 template frames
    assert {name: network["count"] for name, network in found["networks"].items()} == counts
    for network in found["networks"].values():
        assert network.keys() >= STATISTICS | {"first_call_ms", "gflop_per_run", "share_of_limit"}
        assert 0 < network["share_of_limit"] < 1
    assert all(gflops > 1 for gflops in found["limit_gflops"].values())


def test_people_get_a_table_and_hear_what_is_being_done(run: Run, small: Path) -> None:
    out, err = run("--avatar", small, "--frames", 3)
    assert "from frame to frame, P95" in out and "cold start" in out
    assert "pipeline: rendering 3 frames 3 times" in err


def test_a_fleet_is_measured_against_one_process(subject: Subject) -> None:
    found = fleet.measure(subject, 5, lambda _: None, count=1).document
    assert found["pairs"] == 1 and found["fleet_frames_per_s"]["median"] > 0
    assert found["fleet_over_alone"]["median"] == pytest.approx(
        found["fleet_frames_per_s"]["median"] / found["alone_frames_per_s"]["median"], rel=0.01
    )
    assert 20 < found["worker_memory_mb"] < 4000


def require_pytorch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        missing("PyTorch is not installed; `make train` installs it")


def test_the_reference_draws_the_same_frames(tmp_path: Path) -> None:
    require_pytorch()
    pack = make_synthetic(tmp_path, frames=2, width=384, height=352)
    with benchmark_subject(str(pack.root), Settings(home=tmp_path, cache=tmp_path, providers="cpu")) as subject:
        found = race.measure(subject, 2, lambda _: None, pairs=1).document["reference"]
    assert found["largest_difference_grey_levels"] <= 1
    for kind in ("process", "warm"):
        assert found[kind]["reference_frames_per_s"]["median"] > 0 and found[kind]["times_as_fast"]["median"] > 0


def test_a_reference_of_another_network_is_refused(run: Run, small: Path) -> None:
    require_pytorch()
    assert "another network" in refusal(run("--reference", "--avatar", small, code=2))


def test_a_reference_without_pytorch_says_what_to_install(
    run: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "make train" in refusal(run("--reference", "--avatar", small, code=2))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--avatar", "nobody"], "'nobody'"),
        (["--plot", "figures.pdf"], ".png or .svg"),
        (["--plot", "no/such/folder/figures.svg"], "no/such/folder"),
        (["--what", "submission", "--avatar", "demo"], "--avatar"),
        (["--what", "scheduler", "--frames", "9"], "--frames"),
        (["--what", "model", "--reference"], "--reference"),
    ],
)
def test_what_cannot_be_measured_is_refused(run: Run, arguments: list[str], says: str) -> None:
    assert says in refusal(run(*arguments, code=2))


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "`matplotlib`" in refusal(run("--plot", tmp_path / "figures.svg", "--json", code=2))


@pytest.mark.parametrize("arguments", [["--frames", "0"], ["--frames", "-3"], ["--frames", "1"], ["--what", "all"]])
def test_a_bad_call_exits_with_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments, code=2)[0] == ""


def test_what_a_measured_process_refuses_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no avatar pack"):
        in_its_own_process(open_pack, tmp_path)


def test_a_measured_process_that_is_killed_is_named() -> None:
    with pytest.raises(Failed, match="_exit was killed"):
        in_its_own_process(os._exit, 9)
