"""`lipsync plan` as a user meets it; told length and rate it asks no fleet, so none is there."""

import json

import pytest

from jobs.cli import main

CALL = ("plan", "--duration", "10h", "--fps-per-worker", "177.6")


def run(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    printed = capfd.readouterr()
    assert (caught.value.code or 0) == code, printed
    return printed.out, printed.err


def test_a_deadline_is_answered_with_workers(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, *CALL, "--deadline", "1h")
    assert "900000 frames in 3600 chunks; one worker renders them in 1h24m28s." in out
    assert "With 2 workers the last chunk is rendered after 42m14s." in out
    out, _ = run(capfd, *CALL, "--deadline", "1h", "--json")
    assert json.loads(out) == {
        "frames": 900_000,
        "chunks": 3_600,
        "chunk_frames": 250,
        "fps_per_worker": 177.6,
        "one_worker_s": 5067.568,
        "workers": 2,
        "finish_s": 2533.784,
    }


def test_workers_are_answered_with_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capfd, *CALL, "--workers", "500", "--json")
    assert (json.loads(out)["workers"], json.loads(out)["finish_s"]) == (500, 11.261)


def test_with_neither_some_fleets_are_told_and_none_that_is_larger_than_the_job(
    capfd: pytest.CaptureFixture[str],
) -> None:
    call = ("plan", "--duration", "2m", "--fps-per-worker", "25")
    assert [one["workers"] for one in json.loads(run(capfd, *call, "--json")[0])["fleets"]] == [1, 2, 5, 10]
    assert "10 workers: 20s" in run(capfd, *call)[0]


def test_a_price_is_answered_with_what_the_job_and_an_hour_of_video_cost(capfd: pytest.CaptureFixture[str]) -> None:
    priced = (*CALL, "--workers", "500", "--cost-per-hour", "1.2")
    told = json.loads(run(capfd, *priced, "--json")[0])
    assert (told["billed_h"], told["cost"], told["cost_per_video_hour"]) == (1.5641, 1.8769, 0.1877)
    assert "are 1.56 worker hours and cost 1.88; an hour of video costs 0.188." in run(capfd, *priced)[0]
    table = run(capfd, *CALL, "--cost-per-hour", "1.2")[0]
    assert " 500 workers: 11.3s       costs 1.88, 0.188 an hour of video" in table
    assert "cost" not in run(capfd, *CALL)[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--duration", "soon"], "'soon' is no duration"),
        (["--deadline", "1h30"], "'1h30' is no duration"),
        (["--deadline", "1s"], "No fleet is done in 1s"),
        (["--fps-per-worker", "0"], "0 frames/s"),
        (["--deadline", "1h", "--workers", "3"], "--workers"),
    ],
)
def test_bad_input_is_one_sentence(capfd: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    out, err = run(capfd, *CALL, *arguments, code=2)
    assert out == "" and says in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("lipsync: ")


@pytest.mark.parametrize(
    "arguments",
    [["--workers", "0"], ["--chunk-frames", "1501"], ["--fps-per-worker", "fast"], ["--cost-per-hour", "-1"]],
)
def test_a_bad_call_exits_with_2(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    run(capfd, *CALL, *arguments, code=2)
