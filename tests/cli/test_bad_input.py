"""What a user can get wrong ends with one sentence, the right exit code, and nothing left behind."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ulid import ULID

from jobs.cli import main
from tests.avatar_sources import make_networks, training_folder
from tests.media_files import chirp, copy_cut, wav_field, write_audio, write_video
from tests.servers import free_port, redis_server
from workers.avatar.synthetic import make_synthetic

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def run(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run `lipsync` in this process with a real Redis and a directory store; give what it printed."""
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        for name in [name for name in os.environ if name.startswith("LIPSYNC_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("LIPSYNC_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("LIPSYNC_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("LIPSYNC_STORE", store.as_uri())
        monkeypatch.setenv("LIPSYNC_REDIS_URL", server.url)
        monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")

        def call(*arguments: object, code: int = 0) -> tuple[str, str]:
            with pytest.raises(SystemExit) as caught:
                main([str(argument) for argument in arguments])
            printed = capfd.readouterr()
            assert (caught.value.code or 0) == code, printed
            return printed.out, printed.err

        yield call


@pytest.fixture
def avatar(run: Run) -> str:
    run("avatar", "synth", "--name", "tiny", "--frames", "3", "--size", "384x352", "--small")
    return "tiny"


def sentence(printed: tuple[str, str]) -> str:
    """The one line on standard error; nothing on standard output, no traceback."""
    out, err = printed
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("lipsync: "), err
    assert "Traceback" not in err and len(lines[0]) < 600
    return lines[0].removeprefix("lipsync: ")


def good(folder: Path) -> Path:
    return write_audio(folder / "good.wav", chirp(2.0, 16_000), 16_000)


def empty(folder: Path) -> Path:
    (folder / "empty.wav").touch()
    return folder / "empty.wav"


def no_media(folder: Path) -> Path:
    (folder / "notes.wav").write_text("not a sound at all\n" * 100)
    return folder / "notes.wav"


def silent_movie(folder: Path) -> Path:
    return write_video(folder / "silent.mp4", 25)


def too_short(folder: Path) -> Path:
    return write_audio(folder / "short.wav", chirp(2999 / 16_000, 16_000), 16_000)


def not_a_number(folder: Path) -> Path:
    samples = chirp(1.0, 16_000)
    samples[8000] = np.nan
    soundfile.write(folder / "nan.wav", samples, 16_000, subtype="FLOAT")
    return folder / "nan.wav"


def infinite(folder: Path) -> Path:
    samples = chirp(1.0, 16_000)
    samples[100] = np.inf
    soundfile.write(folder / "inf.wav", samples, 16_000, subtype="FLOAT")
    return folder / "inf.wav"


def false_rate(folder: Path) -> Path:
    return wav_field(good(folder), folder / "rate.wav", "rate", 3_000_000)


def false_channels(folder: Path) -> Path:
    return wav_field(good(folder), folder / "channels.wav", "channels", 7)


def truncated(folder: Path) -> Path:
    return copy_cut(good(folder), folder / "cut.wav", keep=0.6)


def folder_instead(folder: Path) -> Path:
    (folder / "folder").mkdir()
    return folder / "folder"


def nothing_there(folder: Path) -> Path:
    return folder / "missing.wav"


BAD_FILES = [
    (empty, "empty"),
    (no_media, "notes.wav"),
    (silent_movie, "no audio"),
    (too_short, "0.1875 s"),
    (not_a_number, "0.500 s"),
    (infinite, "infinite"),
    (false_rate, "3000000 Hz"),
    (false_channels, "channels.wav"),
    (truncated, "--allow-truncated"),
    (folder_instead, "folder"),
    (nothing_there, "missing.wav"),
]


@pytest.mark.parametrize(("make", "says"), BAD_FILES, ids=[make.__name__ for make, _ in BAD_FILES])
def test_a_bad_source_is_refused_by_submit_and_render_alike(
    run: Run, avatar: str, store: Path, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    bad, out = make(tmp_path), tmp_path / "out.mp4"
    assert says in sentence(run("submit", bad, "--avatar", avatar, code=2))
    assert says in sentence(run("render", bad, "--avatar", avatar, "--out", out, code=2))
    assert not (store / "jobs").exists() and not out.exists()
    assert json.loads(run("jobs", "--json")[0]) == []


def test_silence_renders(run: Run, avatar: str, tmp_path: Path) -> None:
    quiet = write_audio(tmp_path / "quiet.wav", np.zeros((16_000, 1), np.float32), 16_000)
    out, _ = run("render", quiet, "--avatar", avatar, "--out", tmp_path / "out.mp4", "--json")
    assert json.loads(out)["frames_total"] == 25


def test_a_truncated_source_renders_when_that_is_allowed(run: Run, avatar: str, tmp_path: Path) -> None:
    cut = truncated(tmp_path)
    out, _ = run("render", cut, "--avatar", avatar, "--out", tmp_path / "o.mp4", "--allow-truncated", "--json")
    assert 20 < json.loads(out)["frames_total"] < 40


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--avatar", "nobody"], "'nobody'"),
        (["--avatar", "../../etc"], "../../etc"),
        (["--avatar", "f" * 64], "ffff"),
        (["--preset", "warp"], "preset"),
        (["--owner", "a b/c"], "owner"),
        (["--idempotency-key", "x" * 300], "idempotency_key"),
    ],
)
def test_a_bad_order_is_refused(
    run: Run, avatar: str, store: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    assert says in sentence(run("submit", good(tmp_path), "--avatar", avatar, *arguments, code=2))
    assert not (store / "jobs").exists()


@pytest.mark.parametrize(
    "arguments", [["--chunk-frames", "0"], ["--chunk-frames", "1501"], ["--length", "long"], ["--crf", "52"], []]
)
def test_a_bad_call_exits_with_2(run: Run, arguments: list[str]) -> None:
    run("submit", *(["x.wav", *arguments] if arguments else []), code=2)


@pytest.mark.parametrize("command", ["status", "watch", "cancel", "pause", "resume", "retry", "fetch"])
@pytest.mark.parametrize("job", [str(ULID()), "../../etc/passwd", "01ARZ3NDEKTSV4RRFFQ69G5FA"])
def test_a_job_that_does_not_exist_is_refused(run: Run, command: str, job: str) -> None:
    assert job[:20] in sentence(run(command, job, code=2))


def test_a_changed_byte_in_an_avatar_is_found(run: Run, avatar: str, store: Path, tmp_path: Path) -> None:
    (digest,) = [one["digest"] for one in json.loads(run("avatar", "list", "--json")[0]) if one["name"] == avatar]
    network = store / "avatars" / digest / "generator.onnx"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    shutil.rmtree(tmp_path / "cache")
    out = tmp_path / "out.mp4"
    assert "generator.onnx" in sentence(run("render", good(tmp_path), "--avatar", avatar, "--out", out, code=2))
    assert not out.exists()
    run("avatar", "check", avatar, code=2)


def test_networks_of_another_kind_are_refused(run: Run, store: Path, tmp_path: Path) -> None:
    generator, audio_encoder = make_networks(tmp_path / "networks")
    source = training_folder(tmp_path / "source")
    swapped = ["--generator", audio_encoder, "--audio-encoder", generator]
    said = sentence(run("avatar", "import", source, "--name", "wrong", *swapped, code=2))
    assert "audio_encoder.onnx" in said
    assert not (store / "avatars").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_named(run: Run, avatar: str, store: Path, tmp_path: Path) -> None:
    store.chmod(0o500)
    assert str(store) in sentence(run("submit", good(tmp_path), "--avatar", avatar, code=2))


def test_a_store_whose_place_is_taken_by_a_file_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIPSYNC_STORE", (tmp_path / "file").as_uri())
    assert "file" in sentence(run("submit", good(tmp_path), code=2))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small disk")
def test_a_store_that_fills_up_leaves_nothing_of_the_job(
    run: Run, avatar: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        shutil.copytree(store, disk, dirs_exist_ok=True)
        monkeypatch.setenv("LIPSYNC_STORE", disk.as_uri())
        long = write_audio(tmp_path / "long.wav", chirp(60.0, 16_000), 16_000)  # 3.84 MB of job audio
        assert str(disk) in sentence(run("submit", long, "--avatar", avatar, code=2))
        assert not (disk / "jobs").exists() and json.loads(run("jobs", "--json")[0]) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_output_that_cannot_be_written_is_refused_before_any_work(run: Run, avatar: str, tmp_path: Path) -> None:
    started = time.monotonic()
    said = sentence(run("render", good(tmp_path), "--avatar", avatar, "--out", tmp_path / "no" / "out.mp4", code=2))
    assert "no" in said and time.monotonic() - started < 20
    sentence(run("render", good(tmp_path), "--avatar", avatar, "--out", tmp_path, code=2))
    sentence(run("render", good(tmp_path), "--avatar", avatar, code=2))


@pytest.mark.parametrize(("start", "stop"), [(10, 10), (0, 51), (49, 10), (60, 70)])
def test_frames_outside_the_video_are_refused(run: Run, avatar: str, tmp_path: Path, start: int, stop: int) -> None:
    span = ["--start", start, "--stop", stop]
    assert "50 frames" in sentence(
        run("render", good(tmp_path), "--avatar", avatar, "--frames", tmp_path / "f", *span, code=2)
    )


def test_redis_that_is_not_there_is_exit_code_3_after_a_bounded_wait(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    said = sentence(run("submit", good(tmp_path), code=3))
    assert "127.0.0.1" in said and "hunter2" not in said and time.monotonic() - started < 30


def test_redis_that_never_answers_is_exit_code_3_after_a_bounded_wait(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        assert "cannot be reached" in sentence(run("submit", good(tmp_path), code=3))
        assert time.monotonic() - started < 60


def test_s3_that_is_not_there_is_exit_code_3_after_a_bounded_wait(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "topsecret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIPSYNC_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    said = sentence(run("submit", good(tmp_path), code=3))
    assert "bucket" in said and "topsecret" not in said and time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://x"),
        ("STORE", "ftp://x"),
        ("PROVIDERS", "quantum"),
        ("BATCH", "many"),
        ("WARM_AVATARS", "0"),
    ],
)
def test_a_bad_setting_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LIPSYNC_{name}", value)
    assert f"LIPSYNC_{name}" in sentence(run("submit", good(tmp_path), code=2))


def test_submitting_twice_with_one_key_is_one_job(run: Run, avatar: str, store: Path, tmp_path: Path) -> None:
    order = ["submit", good(tmp_path), "--avatar", avatar, "--idempotency-key", "once", "--json"]
    first, second = (json.loads(run(*order)[0])["job_id"] for _ in range(2))
    assert first == second and len(list((store / "jobs").iterdir())) == 1


def test_a_job_can_be_listed_paused_resumed_and_cancelled(run: Run, avatar: str, tmp_path: Path) -> None:
    job = run("submit", good(tmp_path), "--avatar", avatar)[0].strip()
    status = json.loads(run("status", job, "--json")[0])
    assert set(status) == {
        *("job_id", "state", "frames_total", "frames_done", "chunks_total", "chunks_done", "chunks_failed"),
        *("fps", "eta_s", "output", "error"),
    }
    assert (status["state"], status["frames_total"]) == ("queued", 50)
    assert json.loads(run("pause", job, "--json")[0])["state"] == "paused"
    assert json.loads(run("resume", job, "--json")[0])["state"] == "queued"
    assert "queued" in sentence(run("fetch", job, "--out", tmp_path / "o.mp4", code=2))
    assert "queued" in sentence(run("retry", job, code=2))
    assert json.loads(run("cancel", job, "--json")[0])["state"] == "cancelled"
    assert json.loads(run("cancel", job, "--json")[0])["state"] == "cancelled"
    assert "cancelled" in sentence(run("resume", job, code=2))
    assert [one["state"] for one in json.loads(run("jobs", "--json")[0])] == ["cancelled"]
    run("watch", job, "--json", code=1)


def test_what_did_not_fail_is_not_retried_or_resumed(run: Run, avatar: str, tmp_path: Path) -> None:
    job = run("submit", good(tmp_path), "--avatar", avatar)[0].strip()
    assert "only a paused job" in sentence(run("resume", job, code=2))
    assert "only a failed job" in sentence(run("retry", job, "--chunk", 0, code=2))


def test_a_pack_in_a_folder_renders_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    pack = make_synthetic(tmp_path / "made", frames=3, width=384, height=352, small=True)
    out, _ = run("render", good(tmp_path), "--avatar", pack.root, "--out", tmp_path / "o.mp4", "--json")
    assert json.loads(out)["frames_total"] == 50
