"""Frames rendered in one process: the same bytes whatever the chunks, threads and range, and what the contract says."""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
import pytest
import soundfile

from infra.errors import Rejected
from infra.settings import Settings
from jobs.submit import JobRequest
from tests.unit import naive
from workers.avatar.pack import Pack
from workers.local_render import Outputs, Rendered, render_locally

Frames = dict[str, bytes]
Render = Callable[..., Frames]

SAMPLES = 164_900
TOTAL = 258


@pytest.fixture(scope="module")
def render(small_pack: Pack, settings: Settings, sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render PNGs with some request, range and settings; gives their bytes by file name."""

    def run(part: tuple[int, int | None] = (0, None), *, threads: int = 1, batch: int = 1, **request: object) -> Frames:
        folder = tmp_path_factory.mktemp("frames")
        with_these = settings.model_copy(update={"threads": threads, "batch": batch})
        asked = JobRequest(audio=sound, **request)  # type: ignore[arg-type]
        render_locally(asked, str(small_pack.root), Outputs(frames=folder), with_these, lambda *_: None, part)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    return run


@pytest.fixture(scope="module")
def whole(render: Render) -> Frames:
    """All frames, as one chunk."""
    return render(chunk_frames=1500)


def pixels(png: bytes) -> naive.Picture:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_every_frame_of_the_video_is_there_and_named_by_its_index(whole: Frames) -> None:
    assert list(whole) == [f"{index:06d}.png" for index in range(TOTAL)]
    assert naive.exact_frames(SAMPLES) == TOTAL
    assert len(set(whole.values())) > 250, "the mouth moves"


@pytest.mark.parametrize("chunk_frames", [1, 7, 250])
def test_frames_do_not_depend_on_the_chunk_size(render: Render, whole: Frames, chunk_frames: int) -> None:
    assert render(chunk_frames=chunk_frames) == whole


@pytest.mark.parametrize("threads", [2])
def test_frames_do_not_depend_on_the_threads(render: Render, whole: Frames, threads: int) -> None:
    assert render(threads=threads) == whole


@pytest.mark.parametrize("batch", [3, 8])
@pytest.mark.parametrize("chunk_frames", [7, 250])
def test_frames_do_not_depend_on_the_batch(render: Render, whole: Frames, batch: int, chunk_frames: int) -> None:
    assert render((0, 60), batch=batch, chunk_frames=chunk_frames) == dict(list(whole.items())[:60])


@pytest.mark.parametrize(("part"), [(0, 1), (1, 2), (17, 43), (249, 252), (250, None), (257, None), (0, 258)])
def test_a_range_equals_the_same_frames_of_the_whole(
    render: Render, whole: Frames, part: tuple[int, int | None]
) -> None:
    start, stop = part
    expected = {name: png for name, png in whole.items() if start <= int(name[:6]) < (stop or TOTAL)}
    assert render(part, chunk_frames=7) == expected


def test_reference_length_has_the_references_count_and_its_zeros_at_the_end(render: Render, whole: Frames) -> None:
    found = render(length="reference")
    total = naive.counts(SAMPLES)[1] + 2
    assert len(found) == total < TOTAL
    # Only frames whose sixteen features reach the end of the shorter list can differ.
    names = list(found)
    assert all(found[name] == whole[name] for name in names[: total - 7])
    assert all(found[name] != whole[name] for name in names[total - 7 :])


def test_frames_equal_a_naive_restatement(whole: Frames, small_pack: Pack, sound: Path) -> None:
    audio = soundfile.read(sound, dtype="float32")[0]
    generator, encoder = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (small_pack.generator, small_pack.audio_encoder)
    )
    mel = naive.mel(audio).astype(np.float32)
    embedded = [
        encoder.run(None, {"mel": mel[None, None, :, start : start + 16]})[0][0]
        for start in naive.window_starts(SAMPLES)
    ]
    template = [
        np.asarray(cv2.imread(str(small_pack.root / f"frames/{index:06d}.jpg")), np.uint8) for index in range(5)
    ]
    heard, walk = naive.heard_by_frames(SAMPLES, TOTAL), naive.walk(5, TOTAL)
    for frame in [*range(12), 100, 101, *range(246, TOTAL)]:
        features = [np.zeros(512, np.float32) if index is None else embedded[index] for index in heard[frame]]
        audio_tensor = np.array(features).reshape(1, 32, 16, 16)
        box, background = small_pack.spec.boxes[walk[frame]], template[walk[frame]]
        crop = naive.crop(background, box)
        out = generator.run(None, {"input": naive.generator_input(crop)[None], "audio": audio_tensor})[0][0]
        expected = naive.pasted(background, crop, out, box, None)
        difference = np.abs(pixels(whole[f"{frame:06d}.png"]).astype(int) - expected.astype(int))
        # The last bit of a mel value may tip a grey level; nothing may tip two.
        assert difference.max() <= 1, frame
        assert (difference > 0).mean() < 0.01, frame


@pytest.fixture(scope="module")
def both(
    small_pack: Pack, settings: Settings, sound: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Rendered, Path, Path]:
    """The first 30 frames, as pictures and as a video of four segments at once."""
    folder = tmp_path_factory.mktemp("both")
    outputs = Outputs(folder / "video.mp4", folder / "new" / "frames")
    request = JobRequest(audio=sound, chunk_frames=8)
    done = render_locally(request, str(small_pack.root), outputs, settings, lambda *_: None, (0, 30))
    assert outputs.video and outputs.frames
    return done, outputs.video, outputs.frames


def test_video_and_frames_come_from_one_run(both: tuple[Rendered, Path, Path], whole: Frames) -> None:
    done, video, frames = both
    assert {path.name: path.read_bytes() for path in frames.iterdir()} == dict(list(whole.items())[:30])
    assert (done.frames, done.frames_total, done.provider) == ((0, 30), TOTAL, "CPUExecutionProvider")
    assert done.fps > 0
    with av.open(str(video)) as container:
        decoded = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(decoded) == 30
    for index in (0, 7, 8, 29):
        difference = np.abs(decoded[index].astype(int) - pixels(whole[f"{index:06d}.png"]).astype(int))
        assert difference.mean() < 12, "the video shows the frames, lossily"


def test_the_video_of_a_range_is_as_long_as_its_sound(both: tuple[Rendered, Path, Path]) -> None:
    with av.open(str(both[1])) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == 25
        lengths_s = [float((stream.duration or 0) * (stream.time_base or 0)) for stream in (video, sound)]
    assert lengths_s[0] == pytest.approx(1.2, abs=1e-6)
    assert lengths_s[1] == pytest.approx(1.2, abs=0.04)


@pytest.mark.parametrize("part", [(-1, None), (0, 0), (5, 5), (9, 3), (0, 259), (258, None), (10**9, None)])
def test_ranges_outside_the_video_are_refused_with_its_length(render: Render, part: tuple[int, int | None]) -> None:
    with pytest.raises(Rejected, match="258 frames"):
        render(part)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda folder: Outputs(), "--out"),
        (lambda folder: Outputs(video=folder / "absent" / "video.mp4"), "absent is not a folder"),
        (lambda folder: Outputs(video=folder), "is a folder; name a file"),
        (lambda folder: Outputs(frames=folder / "file"), "cannot be made"),
        (lambda folder: Outputs(frames=folder / "file" / "frames"), "cannot be made"),
    ],
    ids=["none", "no folder", "folder as video", "file as folder", "folder in a file"],
)
def test_outputs_that_could_not_be_written_are_refused_before_rendering(
    outputs: Callable[[Path], Outputs], message: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    request = JobRequest(audio=tmp_path / "there is no sound and no avatar")
    with pytest.raises(Rejected, match=message):
        render_locally(request, "nobody", outputs(tmp_path), settings, lambda *_: None, (0, None))


@pytest.mark.parametrize("samples", [3000, 3001, 3200])
def test_the_shortest_sounds_render(samples: int, small_pack: Pack, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, naive.speech(samples), 16_000, subtype="FLOAT")
    outputs = Outputs(tmp_path / "short.mp4", tmp_path / "frames")
    done = render_locally(JobRequest(audio=path), str(small_pack.root), outputs, settings, lambda *_: None, (0, None))
    assert done.frames_total == len(list((tmp_path / "frames").iterdir())) == naive.exact_frames(samples)


def test_a_sound_one_sample_too_short_is_refused(small_pack: Pack, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, naive.speech(2999), 16_000, subtype="FLOAT")
    with pytest.raises(Rejected, match=r"short\.wav .*0\.1875"):
        render_locally(
            JobRequest(audio=path),
            str(small_pack.root),
            Outputs(frames=tmp_path / "f"),
            settings,
            lambda *_: None,
            (0, None),
        )
