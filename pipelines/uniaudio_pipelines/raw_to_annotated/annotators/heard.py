"""What may be said of a voice: measured values and given facts as words of closed sets, each with its evidence.

Limits are absolute, so that a clip's words do not depend on its corpus. Where they are percentiles they are those of
1,259 clips of three sources (two languages, acted and read).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uniaudio_schemas.kinds.raw import Fact

from uniaudio.text.voice_words import FEMALE, MALE, MEDIUM, PITCH_HZ, SYLLABLES_PER_S, band

CLEAN, NOISY, POOR = "clean", "noisy", "poor"
NO_PAUSES, SOME_PAUSES, LONG_PAUSES = "none", "some", "long"

_PITCH_RANGE = (6.0, 14.0)
"""Semitones from the 10th to the 90th percentile of the pitch: the 10th percentile of clips, and the upper quartile."""
_LEVEL_DBFS = (-29.0, -14.0)
"""6 dB below and 9 dB above the level of broadcasts (EBU R 128: -23); the latter is exceeded by one clip in ten."""
_NOISY_DB, _CLEAN_DB = 10.0, 30.0
_POOR_MOS, _CLEAN_MOS = 2.0, 3.0
"""DNSMOS values: on its scale 2 is called poor and 3 fair (ITU-T P.800)."""
_LONG_PAUSE_FRACTION = 0.25
_SOME_PAUSES = 2
_FLUENT_S = 4.0
"""A shorter clip without a pause is just short."""
_GENDERS = {
    MALE: frozenset(["male", "m", "man", "boy", "male_masculine", "masculine", "男", "男性", "男声"]),
    FEMALE: frozenset(["female", "f", "woman", "girl", "female_feminine", "feminine", "女", "女性", "女声"]),
}
_UNSAID = frozenset(["", "unknown", "other", "none", "n/a", "na", "null", "nan", "-", "unspecified"])
_MAX_FACT_CHARACTERS = 60
"""A longer fact is an essay, not a word for a voice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """Words on how a clip sounds. A field is None where nobody said or measured it, or it is not worth a word."""

    gender: str | None = None
    age: str | None = None
    accent: str | None = None
    emotion: str | None = None
    """Words of the source."""
    pitch: str | None = None
    rate: str | None = None
    intonation: str | None = None
    """`low` or `high`: how far the pitch moves."""
    pauses: str | None = None
    level: str | None = None
    """`low` or `high`, of the recording: nobody knows how far the microphone was."""
    sound: str | None = None
    evidence: list[str] = field(default_factory=list)
    """`column=value` of what decided any of these, in the order of the columns."""


def hear(known: Mapping[str, Any], facts: Sequence[Fact], duration_s: float) -> Heard:
    """Words on how a clip sounds, from values of columns and the facts of a source."""
    said: dict[str, str | None] = {}
    evidence: list[str] = []
    for name in ("gender", "age", "accent", "emotion"):
        value = _fact(facts, name)
        said[name] = _gender(value) if name == "gender" else value
        if said[name]:
            evidence.append(f"facts.{name}={value}")
    gender = said["gender"]
    bands: dict[str, tuple[str, tuple[float, float], bool]] = {
        "pitch": ("pitch_hz", PITCH_HZ[gender], True),
        "rate": ("syllables_per_s", SYLLABLES_PER_S, True),
        "intonation": ("pitch_range_semitones", _PITCH_RANGE, False),
        "level": ("level_dbfs", _LEVEL_DBFS, False),
    }
    for name, (column, limits, says_medium) in bands.items():
        word = band(known.get(column), limits)
        said[name] = word if says_medium or word != MEDIUM else None
        if said[name]:
            evidence.append(f"{column}={known[column]}")
    for name, (word, columns) in {"pauses": _pauses(known, duration_s), "sound": _sound(known)}.items():
        said[name] = word
        evidence += [f"{column}={known[column]}" for column in columns]
    return Heard(**said, evidence=evidence)


def _pauses(known: Mapping[str, Any], duration_s: float) -> tuple[str | None, tuple[str, ...]]:
    number, fraction = known.get("num_pauses"), known.get("pause_fraction")
    if number is None or fraction is None:
        return None, ()
    if fraction >= _LONG_PAUSE_FRACTION:
        return LONG_PAUSES, ("pause_fraction",)
    if number >= _SOME_PAUSES:
        return SOME_PAUSES, ("num_pauses",)
    return (NO_PAUSES, ("num_pauses",)) if number == 0 and duration_s >= _FLUENT_S else (None, ())


def _sound(known: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    snr, mos = known.get("snr_db"), known.get("mos")
    if snr is not None and snr < _NOISY_DB:
        return NOISY, ("snr_db",)
    if mos is not None and mos < _POOR_MOS:
        return POOR, ("mos",)
    if snr is not None and mos is not None and snr >= _CLEAN_DB and mos >= _CLEAN_MOS:
        return CLEAN, ("snr_db", "mos")
    return None, ()


def _fact(facts: Sequence[Fact], name: str) -> str | None:
    """What all facts of that name agree on, on one line."""
    values = {" ".join(fact.value.split()) for fact in facts if fact.name.strip().lower() == name}
    values = {value for value in values if value.lower() not in _UNSAID}
    if len(values) != 1:
        return None
    (value,) = values
    # It becomes part of a sentence, so it must not end one.
    value = re.sub(r"[.!?。！？]+$", "", value)
    return value if value and len(value) <= _MAX_FACT_CHARACTERS else None


def _gender(value: str | None) -> str | None:
    return next((gender for gender, words in _GENDERS.items() if value and value.lower() in words), None)
