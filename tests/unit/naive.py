"""The render contract once more, in plain lists and public libraries, sharing nothing with the code under test."""

from fractions import Fraction

import cv2
import librosa
import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Float32 = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


def speech(samples: int, seed: int = 0) -> Float32:
    """Something as lively as speech: noise whose loudness swells and falls to silence, float32 (samples,)."""
    rng = np.random.default_rng(seed)
    loudness = np.maximum(0.0, np.sin(np.arange(samples) / (700.0 + 400.0 * rng.random())))
    return (loudness * rng.uniform(-0.8, 0.8, samples)).astype(np.float32)


def mel(audio: Float32) -> npt.NDArray[np.float64]:
    """Steps 2 to 5 of the audio for a whole file: float64 (80, M)."""
    emphasised = lfilter([1.0, -0.97], [1.0], audio.astype(np.float64))
    spectrum = librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, window="hann", pad_mode="constant")
    filters = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    level = 20 * np.log10(np.maximum(1e-5, filters @ np.abs(spectrum))) - 20
    return np.asarray(np.clip(8 * (level + 100) / 100 - 4, -4, 4), np.float64)


def counts(samples: int) -> tuple[int, int]:
    """Mel frames and audio features of a file."""
    mel_frames = 1 + samples // 200
    return mel_frames, int((mel_frames - 16) / 80.0 * 25.0) + 2


def exact_frames(samples: int) -> int:
    """The fewest frames of 40 ms that are not shorter than the audio."""
    frames = Fraction(samples, 16_000) / Fraction(1, 25)
    return int(frames) if frames.denominator == 1 else int(frames) + 1


def window_starts(samples: int) -> list[int]:
    """First mel frame that each audio feature hears."""
    mel_frames, features = counts(samples)
    return [min(int(Fraction(16 * feature, 5)), mel_frames - 16) for feature in range(features)]


def heard_by_frames(samples: int, frames_total: int) -> list[list[int | None]]:
    """For each output frame the 16 features that it hears; None stands for zeros."""
    _, features = counts(samples)
    positions: list[int | None] = [0, *range(features), features - 1]
    positions += [features - 1] * (frames_total - len(positions))
    around = [None] * 8 + positions + [None] * 8
    return [around[frame : frame + 16] for frame in range(frames_total)]


def walk(template_frames: int, output_frames: int) -> list[int]:
    """Template frames as somebody would walk them who turns round at both ends and has taken the first step."""
    if template_frames == 1:
        return [0] * output_frames
    place, step, places = 0, 1, []
    for _ in range(output_frames):
        if not 0 <= place + step < template_frames:
            step = -step
        place += step
        places.append(place)
    return places


def crop(frame: Picture, box: Box) -> Picture:
    """What the crop box shows, 328 px wide."""
    x0, y0, x1, y1 = box
    return np.asarray(cv2.resize(frame[y0:y1, x0:x1].copy(), (328, 328), interpolation=cv2.INTER_CUBIC), np.uint8)


def generator_input(crop_picture: Picture) -> Float32:
    """Face and masked face, float32 (6, 320, 320); the mask is drawn as the reference draws it."""
    face = crop_picture[4:324, 4:324].copy()
    masked = cv2.rectangle(face.copy(), (5, 5, 310, 305), (0, 0, 0), -1)
    planes = [picture.transpose(2, 0, 1).astype(np.float64) / 255.0 for picture in (face, masked)]
    return np.concatenate(planes).astype(np.float32)


def pasted(frame: Picture, crop_picture: Picture, out: Float32, box: Box, parsing: Picture | None) -> Picture:
    """The generator's picture (3, 320, 320) in the template frame; pure red and white of `parsing` keep the frame."""
    x0, y0, x1, y1 = box
    patch = crop_picture.copy()
    patch[4:324, 4:324] = np.array(out.transpose(1, 2, 0) * 255, dtype=np.uint8)
    small = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    result = frame.copy()
    for row in range(y1 - y0):
        for column in range(x1 - x0):
            colour = None if parsing is None else tuple(int(c) for c in parsing[y0 + row, x0 + column])
            if colour not in {(0, 0, 255), (255, 255, 255)}:
                result[y0 + row, x0 + column] = small[row, column]
    return result
