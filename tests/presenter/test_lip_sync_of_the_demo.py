"""The avatar that ships, measured in its pixels: six voices and words that its training never met."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from infra.settings import Settings
from workers.avatar.demo import demo_pack
from workers.presenter.exam import Exam, examine
from workers.presenter.lip_sync import LipSync, compare
from workers.warm import WarmAvatar, warm_up

CLIPS = sorted((Path(__file__).parent.parent / "data" / "lip_sync").glob("*.flac"))
SPEECH = Path(__file__).parent.parent.parent / "workers" / "data" / "speech.flac"


class Clip(NamedTuple):
    exam: Exam
    sync: LipSync


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> WarmAvatar:
    settings = Settings(cache=tmp_path_factory.mktemp("cache"), providers="cpu", threads=2, batch=1)
    return warm_up(demo_pack(), settings)


def read(path: Path) -> npt.NDArray[np.float32]:
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    return np.asarray(audio, np.float32)


@pytest.fixture(scope="module")
def clips(avatar: WarmAvatar) -> list[Clip]:
    assert len(CLIPS) == 6
    found = []
    for path in CLIPS:
        exam = examine(avatar, read(path))
        found.append(Clip(exam, compare(exam.openings, json.loads(path.with_suffix(".json").read_text())["open"])))
    return found


def test_the_mouth_opens_as_the_speech_demands(clips: list[Clip]) -> None:
    correlations = sorted(clip.sync.correlation for clip in clips)
    assert np.median(correlations) >= 0.85 and correlations[0] >= 0.70, correlations


def test_the_mouth_is_neither_early_nor_late(clips: list[Clip]) -> None:
    assert [clip.sync.lag_frames for clip in clips] == [0] * len(clips)


def test_speech_shifted_by_a_fifth_of_a_second_does_not_fit(clips: list[Clip]) -> None:
    assert max(max(clip.sync.early, clip.sync.late) for clip in clips) < 0.3


def test_nothing_outside_the_crop_box_is_touched(clips: list[Clip]) -> None:
    assert [clip.exam.outside for clip in clips] == [0] * len(clips)


def test_the_edge_of_the_pasted_face_cannot_be_seen(clips: list[Clip]) -> None:
    assert max(clip.exam.border_step for clip in clips) < 2


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_silence_closes_the_mouth(noise: float, avatar: WarmAvatar) -> None:
    audio = noise * np.random.default_rng(0).standard_normal(3 * 16_000).astype(np.float32)
    openings = examine(avatar, audio).openings
    assert np.median(openings) <= 1 and openings.max() <= 3


def test_the_mouth_closes_in_the_pause_of_the_demo(avatar: WarmAvatar) -> None:
    openings = examine(avatar, read(SPEECH)).openings
    quiet = np.convolve(openings <= 2, np.ones(10), "valid")
    assert quiet[10:-20].max() == 10  # shut for 0.4 s somewhere between the first words and the last
    assert openings.max() > 15
