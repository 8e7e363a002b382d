"""How somebody speaks, measured: pitch and its range, level and its range, pauses, syllables a second.

Everything is taken over the frames that voice activity calls speech.

On 430 clips of three sources the pitch of one voiced frame in 400 differed by over 20 % from that of Praat's autocorrelation
method; on 1,040 with known text the count of syllables differed from the written one by 10 to 13 % (median), and their rates
correlate by 0.57 to 0.67.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME, SPEECH_PROBABILITY

_MIN_SPEECH_S = 0.3
"""One syllable and a bit: below it there is no rate and no range."""
_MIN_VOICED_FRAMES = 10
_MIN_RANGE_FRAMES = 30
_SURE_AFTER_S = 2.0
_LOW, _HIGH = 10, 90
"""Percentiles of a range: a click or an octave error at either end does not count."""


class Prosody:
    name: ClassVar[str] = "prosody"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset(
        {
            "pitch_hz",
            "pitch_range_semitones",
            "level_dbfs",
            "level_range_db",
            "pause_fraction",
            "num_pauses",
            "syllables_per_s",
        }
    )

    def __init__(self, models: Path, device: str) -> None:
        del models  # measures; has none

    @classmethod
    def version(cls) -> str:
        return "autocorrelation-1"

    def annotate(self, clip: Clip) -> list[Value]:
        from uniaudio.audio.pitch import track_pitch
        from uniaudio.audio.prosody import find_pauses, syllable_nuclei

        speech_V = _speech(clip)
        pauses = find_pauses(speech_V, ANALYSIS_RATE / FRAME)
        if pauses is None or pauses.spoken_frames * FRAME < _MIN_SPEECH_S * ANALYSIS_RATE:
            return []
        pitch = track_pitch(clip.analysis, ANALYSIS_RATE)
        spoken_T = speech_V[_activity_frames(np.arange(len(pitch.hertz)), len(speech_V))]
        nuclei = _activity_frames(syllable_nuclei(clip.analysis, ANALYSIS_RATE, pitch), len(speech_V))
        spoken_s = pauses.spoken_frames * FRAME / ANALYSIS_RATE
        sure = round(min(1.0, spoken_s / _SURE_AFTER_S), 3)
        values = [
            Value(column="pause_fraction", value=round(pauses.fraction, 4)),
            Value(column="num_pauses", value=pauses.num_pauses),
            *_levels(clip, speech_V),
            *_pitch(pitch.hertz[spoken_T], pitch.periodicity[spoken_T]),
        ]
        num_syllables = int(speech_V[nuclei].sum())
        if num_syllables:
            values.append(Value(column="syllables_per_s", value=round(num_syllables / spoken_s, 2), confidence=sure))
        return values


def _speech(clip: Clip) -> np.ndarray:
    """`[V]` bool a frame of voice activity; where nobody looked for it, all is speech."""
    if len(clip.speech_probabilities):
        return np.asarray(clip.speech_probabilities >= SPEECH_PROBABILITY)
    return np.ones(-(-len(clip.analysis) // FRAME), bool)


def _activity_frames(frames: np.ndarray, num_activity_frames: int) -> np.ndarray:
    """Frames of 10 ms -> the frames of voice activity that their middles lie in."""
    from uniaudio.audio.pitch import FRAME_RATE

    middles = (2 * frames + 1) * ANALYSIS_RATE // (2 * FRAME_RATE)
    frames_of_activity: np.ndarray = np.minimum(middles // FRAME, num_activity_frames - 1)
    return frames_of_activity


def _levels(clip: Clip, speech_V: np.ndarray) -> list[Value]:
    from uniaudio.audio.prosody import levels_db, mean_level_db

    levels = levels_db(clip.analysis, FRAME)
    spoken = levels[speech_V[: len(levels)]]
    if not spoken.size:
        return []
    low, high = np.percentile(spoken, (_LOW, _HIGH))
    return [
        Value(column="level_dbfs", value=round(mean_level_db(spoken), 2)),
        Value(column="level_range_db", value=round(float(high - low), 2)),
    ]


def _pitch(hertz_T: np.ndarray, periodicity_T: np.ndarray) -> list[Value]:
    """Pitch of the frames with speech; nothing where too few are voiced (a whisper)."""
    voiced = hertz_T > 0
    if voiced.sum() < _MIN_VOICED_FRAMES:
        return []
    confidence = round(float(periodicity_T[voiced].mean()), 3)
    values = [Value(column="pitch_hz", value=round(float(np.median(hertz_T[voiced])), 1), confidence=confidence)]
    if voiced.sum() >= _MIN_RANGE_FRAMES:
        low, high = np.percentile(hertz_T[voiced], (_LOW, _HIGH))
        semitones = round(float(12 * np.log2(high / low)), 2)
        values.append(Value(column="pitch_range_semitones", value=semitones, confidence=confidence))
    return values
