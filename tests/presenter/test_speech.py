"""From phonemes to the mouth: made-up utterances for the visemes, espeak-ng itself for what it says and when."""

import random
import re
from itertools import pairwise

import numpy as np
import pytest

from infra.errors import Failed
from jobs.timing import SAMPLE_RATE_HZ
from tests.servers import missing
from workers.presenter.hearing.data import clip_of
from workers.presenter.mouth import ARTICULATORS, REST
from workers.presenter.speech import sentences, voices
from workers.presenter.speech.espeak import Voice, speak
from workers.presenter.speech.held_out import DEMO_PAUSE_S, demo_speech
from workers.presenter.speech.utterance import Phoneme, Spoken, joined, padded, silence
from workers.presenter.speech.visemes import CLOSURE_S, REACH_S, VISEMES, Float32, frame_times_s, mouth_track

OPEN, WIDTH, ROUND, TEETH, TONGUE, TUCK = range(len(ARTICULATORS))
SOUND_S = 0.1


def utterance(*symbols: str) -> list[Phoneme]:
    """Sounds of a tenth of a second each, the first one at 0."""
    return [Phoneme(place * SOUND_S, symbol) for place, symbol in enumerate(symbols)]


def mouth_at(phonemes: list[Phoneme], *times_s: float) -> Float32:
    return mouth_track(phonemes, len(phonemes) * SOUND_S, np.array(times_s))


@pytest.fixture(scope="module")
def espeak() -> None:
    try:
        speak("Yes.", Voice("en-us"))
    except Failed as error:
        missing(str(error))


@pytest.mark.parametrize("lips", ["m", "b"])
@pytest.mark.parametrize("vowel", ["ɑː", "æ", "ɔː", "uː"])
def test_lips_close_for_a_bilabial_between_vowels(vowel: str, lips: str) -> None:
    around, within, after = mouth_at(utterance(vowel, lips, vowel), 0.05, 0.15, 0.25)[:, OPEN]
    assert within < 0.05
    assert min(around, after) > 0.7 * VISEMES[vowel[0]].mouth.open


def test_lips_are_closed_in_the_silence_before_a_voiceless_stop_bursts() -> None:
    burst_s = SOUND_S
    closed, released = mouth_at(utterance("ɑː", "p", "ɑː"), burst_s - CLOSURE_S / 2, burst_s + 0.09)[:, OPEN]
    assert closed < 0.15
    assert released > 0.5


def test_lips_stay_round_through_a_bilabial_between_round_vowels() -> None:
    within = mouth_at(utterance("uː", "m", "uː"), 0.15)[0]
    assert within[OPEN] < 0.05
    assert within[ROUND] > 0.5


def test_the_lower_lip_goes_under_the_teeth_for_f_and_v() -> None:
    for sound in "fv":
        tucked = mouth_at(utterance("ɑː", sound, "ɑː"), 0.15)[0]
        assert tucked[TUCK] > 0.8
        assert tucked[OPEN] < 0.35


def test_a_diphthong_goes_from_its_first_vowel_to_its_second() -> None:
    early, late = mouth_track([Phoneme(0.0, "aʊ")], 0.4, np.array([0.1, 0.3]))
    assert early[OPEN] > 0.8
    assert early[ROUND] < 0.1
    assert late[OPEN] < 0.3
    assert late[ROUND] > 0.9


def test_a_long_vowel_within_one_symbol_takes_the_longer_share() -> None:
    long_vowel = mouth_track([Phoneme(0.0, "ɑːɹ")], 0.3, np.array([0.12]))[0]
    assert long_vowel[OPEN] == pytest.approx(VISEMES["ɑ"].mouth.open)


def test_the_mouth_rests_in_silence_and_opens_no_earlier_than_its_reach() -> None:
    spoken = [Phoneme(1.0, "ɑː"), Phoneme(1.2, ""), Phoneme(2.0, "ɑː")]
    resting = mouth_track(spoken, 2.2, np.array([0.0, 1.0 - REACH_S, 1.2 + REACH_S, 1.6, 2.2 + REACH_S, 9.0]))
    assert np.allclose(resting, REST)
    moving = mouth_track(spoken, 2.2, np.array([1.0 - REACH_S / 2, 1.2 + REACH_S / 2]))[:, OPEN]
    assert (moving > 0.01).all()


def test_nobody_closes_the_mouth_for_a_link_between_two_sounds() -> None:
    linked = [Phoneme(0.0, "ɑː"), Phoneme(0.2, ""), Phoneme(0.24, "ɑː")]
    assert mouth_track(linked, 0.5, np.array([0.22]))[0, OPEN] == pytest.approx(VISEMES["ɑ"].mouth.open)


def test_a_frame_shows_the_mouth_of_its_middle() -> None:
    assert frame_times_s(3).tolist() == pytest.approx([0.02, 0.06, 0.10])


def test_articulators_stay_within_their_range_whatever_is_said() -> None:
    chance = random.Random(3)
    babble = [Phoneme(place * 0.07, chance.choice([*VISEMES, "", "tʃ", "aɪə"])) for place in range(300)]
    track = mouth_track(babble, 21.0, frame_times_s(600))
    assert track.shape == (600, len(ARTICULATORS))
    assert track.dtype == np.float32
    assert 0.0 <= track.min() < track.max() <= 1.0
    assert np.abs(np.diff(track[:, OPEN])).max() < 0.8  # smooth: nothing jumps within one frame


def test_held_out_voices_share_neither_accent_nor_variant_with_the_voices_trained_on() -> None:
    accents, variants = zip(*(voice.name.split("+") for voice in voices.HELD_OUT), strict=True)
    assert len({voice.name for voice in voices.HELD_OUT}) == 6
    assert not set(accents) & set(voices.ACCENTS)
    assert not set(variants) & set(voices.VARIANTS)
    chance = random.Random(1)
    drawn = {voices.any_voice(chance).name.split("+")[1] for _ in range(2000)}
    assert drawn == set(voices.VARIANTS)
    assert voices.DEMO in voices.HELD_OUT


def test_held_out_texts_share_only_small_words_with_the_texts_trained_on() -> None:
    chance = random.Random(1)
    trained = {word for _ in range(3000) for word in words(sentences.sentence(chance))}
    for text in (*sentences.HELD_OUT, *sentences.DEMO_SPEECH):
        assert max(map(len, words(text) & trained)) <= len("before")


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def test_the_same_seed_gives_the_same_sentences() -> None:
    first, again, other = (sentences.sentence(random.Random(seed)) for seed in (5, 5, 6))
    assert first == again != other


def test_silence_around_speech_shifts_its_mouth_by_as_many_frames() -> None:
    spoken = Spoken(np.full(SAMPLE_RATE_HZ, 0.1, np.float32), utterance("", "ɑː", "m", "ɑː", "", "", "", "", "", ""))
    later = padded(spoken, 0.4, 0.2)
    assert later.seconds == pytest.approx(1.6)
    assert np.allclose(clip_of(later).track[10:35], clip_of(spoken).track, atol=1e-6)
    assert np.allclose(clip_of(later).track[:10], REST)


def test_silence_is_a_clip_with_the_mouth_at_rest() -> None:
    clip = clip_of(silence(1.0))
    assert clip.mel.shape == (80, 81)
    assert (clip.mel == -4.0).all()
    assert np.allclose(clip.track, REST)


def test_utterances_follow_one_another() -> None:
    both = joined(silence(0.5), Spoken(np.ones(1600, np.float32), utterance("ɑː")))
    assert both.seconds == pytest.approx(0.6)
    assert both.phonemes == [Phoneme(0.0, ""), Phoneme(0.5, "ɑː")]


@pytest.mark.usefixtures("espeak")
def test_espeak_says_what_it_utters_and_when() -> None:
    spoken = speak("Ma, sa.", Voice("en-us", rate=120))
    symbols = [phoneme.symbol for phoneme in spoken.phonemes]
    starts_s = [phoneme.start_s for phoneme in spoken.phonemes]
    assert [symbol for symbol in symbols if symbol] == ["m", "ɑː", "s", "ɑː"]
    assert starts_s == sorted(starts_s)
    assert spoken.audio.dtype == np.float32
    assert np.abs(spoken.audio).max() <= 1.0
    hiss_s = starts_s[symbols.index("s")]
    assert level_db(spoken, hiss_s - 0.05, hiss_s - 0.01) < -60 < level_db(spoken, hiss_s + 0.01, hiss_s + 0.05)


def level_db(spoken: Spoken, start_s: float, stop_s: float) -> float:
    part = spoken.audio[round(start_s * SAMPLE_RATE_HZ) : round(stop_s * SAMPLE_RATE_HZ)]
    return float(10 * np.log10(np.mean(part.astype(np.float64) ** 2) + 1e-12))


@pytest.mark.usefixtures("espeak")
def test_a_bigger_speaker_takes_longer_for_the_same_words() -> None:
    usual, big = (speak("A yellow moon.", Voice("en-us", size=size)) for size in (1.0, 1.25))
    assert big.seconds == pytest.approx(1.25 * usual.seconds, rel=0.01)
    assert big.phonemes[-1].start_s == pytest.approx(1.25 * usual.phonemes[-1].start_s, rel=0.01)


@pytest.mark.usefixtures("espeak")
def test_an_unknown_voice_is_refused_in_one_sentence() -> None:
    with pytest.raises(Failed, match="has no voice 'xx-none'"):
        speak("Yes.", Voice("xx-none"))


@pytest.mark.usefixtures("espeak")
def test_the_speech_of_the_demo_is_short_and_has_one_long_pause() -> None:
    spoken = demo_speech()
    assert 10 < spoken.seconds <= 16
    sounding = [phoneme for phoneme in spoken.phonemes if phoneme.symbol]
    gaps = [later.start_s - earlier.start_s for earlier, later in pairwise(sounding)]
    assert sum(gap > DEMO_PAUSE_S for gap in gaps) == 1
