"""Tempo and key of music, measured, and given only where the music has a clear one.

Of 28 machine-made pieces whose prompt stated both, the tempo was found up to the octave in all (in 98 % of cuts of 10 s), in its
octave in 68 and 73 %. A key is given for the 29 % of them that have a clear one, the stated one in 75 % of those (60 % of cuts), else a related
one; whether such a piece is in the key that its prompt asked for, nobody has heard. Of four recorded songs with a score all tempos were found (of
their cuts 99 % up to the octave, 87 % in it).
"""

from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, MUSIC, Clip, Value

_MIN_FIT, _MIN_MARGIN = 0.6, 0.15
"""A key that fits worse, or not clearly better than the next, is a guess: from a margin of 0.05 on 58 % of the keys of machine-made pieces were
those stated. Of 80 rendered chorales 97 % were right even there."""
_SURE_MARGIN = 0.2


class MusicStructure:
    name: ClassVar[str] = "music_structure"
    domains: ClassVar[frozenset[str]] = frozenset({MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"tempo_bpm", "key"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # measures; has none

    @classmethod
    def version(cls) -> str:
        return "tempogram-profiles-2"

    def annotate(self, clip: Clip) -> list[Value]:
        return [*_tempo(clip), *_key(clip)]


def _tempo(clip: Clip) -> list[Value]:
    from uniaudio.audio.rhythm import MIN_PERIODICITY, estimate_tempo, onset_envelope

    tempo = estimate_tempo(onset_envelope(clip.analysis, ANALYSIS_RATE))
    if tempo is None or tempo.periodicity < MIN_PERIODICITY:
        return []
    return [Value(column="tempo_bpm", value=round(tempo.bpm, 1), confidence=round(tempo.periodicity, 3))]


def _key(clip: Clip) -> list[Value]:
    from uniaudio.audio.tonality import estimate_key, pitch_classes

    shares = pitch_classes(clip.analysis, ANALYSIS_RATE)
    key = None if shares is None else estimate_key(shares)
    if key is None or key.fit < _MIN_FIT or key.margin < _MIN_MARGIN:
        return []
    return [Value(column="key", value=key.name, confidence=round(min(1.0, key.margin / _SURE_MARGIN), 3))]
