"""How far what is spoken is from the recording that an instruction describes, in the height of the voice and in how much it moves; and whether
it is as high and as fast as the instruction says.

The first two take `[N]` float speech of the same words, at one rate, of any lengths; None where either has less than 0.1 s of voice.
"""

import math

import numpy as np

from uniaudio.audio.pitch import FRAME_RATE, PitchTrack, track_pitch
from uniaudio.audio.prosody import find_pauses, syllable_nuclei
from uniaudio.audio.resample import resample
from uniaudio.text.voice_words import PITCH_HZ, PITCHES, RATES, SUBJECTS, SYLLABLES_PER_S, band, word_in

_RATE = 16_000
"""Hz at which syllables are counted, as the annotators count them."""
_BESIDE_VOICE = 5
"""Frames of 10 ms on either side of voiced ones that are speech too: consonants. So rates are the annotators', who have a network say where
speech is: of 98 clips the median ratio is 1.01, with 3 frames 1.05, with 10 frames 0.94."""
_LEAST_VOICED = FRAME_RATE // 10


def pitch_error(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Difference between the median pitches, in semitones: 0 is equal, 12 is an octave higher or lower."""
    first, second = _voiced_hz(reference, sample_rate), _voiced_hz(estimate, sample_rate)
    if first is None or second is None:
        return None
    return 12 * abs(math.log2(float(np.median(second)) / float(np.median(first))))


def intonation_error(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Difference between the standard deviations of pitch over time, in semitones: a flat voice beside a lively one."""
    first, second = _voiced_hz(reference, sample_rate), _voiced_hz(estimate, sample_rate)
    if first is None or second is None:
        return None
    return 12 * abs(float(np.std(np.log2(second)) - np.std(np.log2(first))))


def instruction_agreement(instruction: str, samples: np.ndarray, sample_rate: int) -> tuple[int, int] | None:
    """`(as told, told)`: of pitch and rate, how many the instruction names by a word (`uniaudio.text.voice_words`), and in how many of these
    `[N]` float speech is of the same class, by the annotators' limits. What has no voice is as told in none. None where it names neither.
    """
    told = {"pitch": word_in(instruction, PITCHES), "rate": word_in(instruction, RATES)}
    if not any(told.values()):
        return None
    speech = np.asarray(resample(np.asarray(samples, np.float32), sample_rate, _RATE))
    track = track_pitch(speech, _RATE)
    voiced = track.hertz[track.hertz > 0]
    if len(voiced) < _LEAST_VOICED:
        return 0, sum(word is not None for word in told.values())
    limits = PITCH_HZ[word_in(instruction, SUBJECTS)]
    heard = {
        "pitch": band(float(np.median(voiced)), limits),
        "rate": band(_syllables_per_s(speech, track), SYLLABLES_PER_S),
    }
    named = [name for name, word in told.items() if word is not None]
    return sum(told[name] == heard[name] for name in named), len(named)


def _syllables_per_s(speech: np.ndarray, track: PitchTrack) -> float | None:
    """Nuclei a second of `[N]` samples at 16 kHz, without pauses. Speech is what is voiced and what lies beside it."""
    is_speech = np.convolve(track.hertz > 0, np.ones(2 * _BESIDE_VOICE + 1), mode="same") > 0
    pauses = find_pauses(is_speech[: len(track.hertz)], FRAME_RATE)
    if pauses is None:
        return None
    return len(syllable_nuclei(speech, _RATE, track)) * FRAME_RATE / pauses.spoken_frames


def _voiced_hz(samples: np.ndarray, sample_rate: int) -> np.ndarray | None:
    hertz = track_pitch(np.asarray(samples, np.float32), sample_rate).hertz
    voiced = hertz[hertz > 0].astype(np.float64)
    return voiced if len(voiced) >= _LEAST_VOICED else None
