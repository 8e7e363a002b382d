"""Sentences about a voice in English and Chinese, by a grammar of templates.

A slot has several wordings of one meaning; which one a clip gets is decided by a hash of the clip's key and the slot's name,
so that a corpus has them all and a clip always the same.
"""

import hashlib
from collections.abc import Sequence

from uniaudio.text.voice_words import (
    FEMALE,
    HIGH,
    LOW,
    MALE,
    PITCH,
    PITCH_ZH,
    RATE,
    RATE_ZH,
    SUBJECT,
    SUBJECT_ZH,
    Table,
)
from uniaudio_pipelines.raw_to_annotated.annotators.heard import (
    CLEAN,
    LONG_PAUSES,
    NO_PAUSES,
    NOISY,
    POOR,
    SOME_PAUSES,
    Heard,
)

_THEIR = {MALE: "his", FEMALE: "her", None: "their"}
_VERB = ("speaks", "is speaking", "talks")
_INTONATION: Table = {
    LOW: ("with a flat intonation", "with little change of pitch", "in a monotone"),
    HIGH: ("with a lively intonation", "with wide changes of pitch", "with an expressive melody"),
}
_PAUSES: Table = {
    NO_PAUSES: ("without a pause", "without pausing"),
    SOME_PAUSES: ("with several pauses", "pausing several times"),
    LONG_PAUSES: ("with long pauses", "with much silence in between"),
}
_LEVEL: Table = {
    LOW: ("recorded at a low level", "recorded quietly"),
    HIGH: ("recorded at a high level", "recorded loudly"),
}
_SOUND: Table = {
    CLEAN: ("in a clean recording", "without audible noise"),
    NOISY: ("over background noise", "in a noisy recording"),
    POOR: ("in a recording of poor quality", "with poor sound quality"),
}
_ADJECTIVES = {
    "anger": "angry",
    "happiness": "happy",
    "joy": "joyful",
    "sadness": "sad",
    "fear": "fearful",
    "disgust": "disgusted",
    "surprise": "surprised",
    "boredom": "bored",
}

_INTONATION_ZH: Table = {LOW: ("语调平淡", "语调起伏小"), HIGH: ("语调起伏大", "语调富有变化")}
_PAUSES_ZH: Table = {
    NO_PAUSES: ("中间没有停顿", "一气呵成"),
    SOME_PAUSES: ("有几处停顿", "停顿了几次"),
    LONG_PAUSES: ("停顿较长", "中间有较长的停顿"),
}
_LEVEL_ZH: Table = {LOW: ("录音音量较低", "录音声音较小"), HIGH: ("录音音量较高", "录音声音较大")}
_SOUND_ZH: Table = {
    CLEAN: ("录音清晰", "录音中没有明显噪声"),
    NOISY: ("有背景噪声", "录音环境嘈杂"),
    POOR: ("录音质量较差", "音质较差"),
}
CHINESE = frozenset(["zh", "yue", "cmn"])


def pick(options: Sequence[str], key: str, slot: str) -> str:
    """One of `options`, by a hash of `key` and `slot`."""
    digest = hashlib.sha256(f"{key}\0{slot}".encode()).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]


def style_sentence(heard: Heard, key: str, language: str | None) -> str:
    """One sentence that says all of `heard` and nothing else, in Chinese for Chinese speech, else in English."""
    return _chinese(heard, key) if language in CHINESE else _english(heard, key)


def _english(heard: Heard, key: str) -> str:
    verb = pick(_VERB, key, "verb")
    subject = " ".join([pick(SUBJECT[heard.gender], key, "subject"), *_person(heard)])
    pitch, rate = _word(PITCH, heard.pitch, key, "pitch"), _word(RATE, heard.rate, key, "rate")
    emotion = [_emotion(heard.emotion)] if heard.emotion else []
    order = pick(("rate first", "pitch first", "pitch in front"), key, "order")
    if order == "pitch in front" and pitch and rate:
        start = f"{pitch[0]}, {subject} {verb} {rate[0]}"
    else:
        manner = " and ".join(rate + pitch if order == "rate first" else pitch + rate)
        start = f"{subject} {verb} {manner}".rstrip()
    details = [
        *emotion,
        *_word(_INTONATION, heard.intonation, key, "intonation"),
        *_word(_PAUSES, heard.pauses, key, "pauses"),
        *_word(_LEVEL, heard.level, key, "level"),
        *_word(_SOUND, heard.sound, key, "sound"),
    ]
    sentence = ", ".join([start, *details])
    return f"{sentence[0].upper()}{sentence[1:]}."


def _person(heard: Heard) -> list[str]:
    parts = []
    if heard.age:
        decade = heard.age.lower().endswith(("ties", "teens"))
        number = heard.age.isdigit()
        parts.append(
            f"in {_THEIR[heard.gender]} {heard.age.lower()}"
            if decade
            else f"aged {heard.age}"
            if number
            else f"({heard.age})"
        )
    if heard.accent:
        said = heard.accent if heard.accent.lower().endswith("accent") else f"{heard.accent} accent"
        article = "an" if said[0].lower() in "aeiou" else "a"
        parts.append(f"with {article} {said}")
    return parts


def _emotion(emotion: str) -> str:
    return f"sounding {_ADJECTIVES.get(emotion.lower(), emotion.lower())}"


def _word(table: Table, word: str | None, key: str, slot: str) -> list[str]:
    return [pick(table[word], key, slot)] if word else []


def _chinese(heard: Heard, key: str) -> str:
    about = [
        *([f"年龄{heard.age}"] if heard.age else []),
        *([heard.accent if heard.accent.endswith(("口音", "话")) else f"{heard.accent}口音"] if heard.accent else []),
    ]
    subject = pick(SUBJECT_ZH[heard.gender], key, "subject") + (f"（{'，'.join(about)}）" if about else "")
    pitch, rate = _word(PITCH_ZH, heard.pitch, key, "pitch"), _word(RATE_ZH, heard.rate, key, "rate")
    manner = rate + pitch if pick(("rate", "pitch"), key, "order") == "rate" else pitch + rate
    details = [
        *manner,
        *([f"情绪为{heard.emotion}"] if heard.emotion else []),
        *_word(_INTONATION_ZH, heard.intonation, key, "intonation"),
        *_word(_PAUSES_ZH, heard.pauses, key, "pauses"),
        *_word(_LEVEL_ZH, heard.level, key, "level"),
        *_word(_SOUND_ZH, heard.sound, key, "sound"),
    ]
    return "，".join([f"{subject}在说话", *details]) + "。"
