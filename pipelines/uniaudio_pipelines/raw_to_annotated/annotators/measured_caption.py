"""Captions of music and sound composed of measured values and given facts, and of nothing else.

"A slow piece of music in E minor at about 68 bpm with guitar and piano, tagged calm, titled “Harbour”."
"A short sound: Sawmill."
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.caption import given_captions, given_tags, given_title
from uniaudio_pipelines.raw_to_annotated.annotators.wording import CHINESE, pick

_SLOW_BPM, _FAST_BPM = 76.0, 120.0
"""Where a metronome's adagio ends and its allegro begins."""
_SHORT_S, _LONG_S = 1.0, 10.0
_QUIET_LUFS, _LOUD_LUFS = -28.0, -11.0
"""The outer tenths of 708 effects of six collections lie below -28.7 and above -10.3."""
_MAX_TAGS = 5
_IDEOGRAM = re.compile(r"[\u3400-\u9fff]")
_INSTRUMENTS_ZH = {
    "guitar": "吉他",
    "piano": "钢琴",
    "drums": "鼓",
    "violin": "小提琴",
    "cello": "大提琴",
    "flute": "长笛",
    "harp": "竖琴",
    "harpsichord": "羽管键琴",
    "sitar": "西塔琴",
    "strings": "弦乐",
    "synth": "合成器",
    "bass": "贝斯",
}
_HOW_ZH = {"short": "短促的", "long": "较长的", "quiet": "轻的", "loud": "响的"}
_NOTES_ZH = {"#": "升", "b": "降"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What may be said of a clip; empty where nobody said or measured it."""

    title: str = ""
    part: str = ""
    tags: list[str] = field(default_factory=list)
    instruments: list[str] = field(default_factory=list)
    key: str = ""
    tempo_bpm: float | None = None
    length: str = ""
    """`short`, `long` or nothing."""
    level: str = ""
    """`quiet`, `loud` or nothing."""
    evidence: list[str] = field(default_factory=list)

    @property
    def is_chinese(self) -> bool:
        return bool(_IDEOGRAM.search(self.title))


class CaptionByMeasures:
    """Captions clips that no person of the source has captioned."""

    name: ClassVar[str] = "caption_by_measures"
    domains: ClassVar[frozenset[str]] = frozenset({MUSIC, SOUND})
    reads: ClassVar[frozenset[str]] = frozenset(
        {"tempo_bpm", "key", "instruments", "tags", "loudness_lufs", "language"}
    )
    writes: ClassVar[frozenset[str]] = frozenset({"caption", "evidence"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # a grammar; has none

    @classmethod
    def version(cls) -> str:
        return "templates-1"

    def annotate(self, clip: Clip) -> list[Value]:
        if given_captions(clip):
            return []
        facts, tell = (_of_music(clip), _music) if clip.domain == MUSIC else (_of_sound(clip), _sound)
        if not facts.evidence:
            return []
        chinese = facts.is_chinese or (clip.known.get("language") or clip.raw.language) in CHINESE
        sentence = tell(facts, f"{clip.raw.clip_id}:{clip.first_sample}", chinese)
        return [Value(column="caption", value=sentence), Value(column="evidence", value=facts.evidence)]


def _of_music(clip: Clip) -> _Facts:
    """Nothing where no column was measured: the source's own words are a caption already."""
    known = clip.known
    instruments = list(known.get("instruments") or [])
    tags = [tag for tag in known.get("tags") or [] if tag not in instruments]
    source_tags = given_tags(clip)
    # Given tags come first, and are told whole.
    tags = tags[: max(_MAX_TAGS, len([tag for tag in tags if tag in source_tags]))]
    tempo, key, title, part = known.get("tempo_bpm"), known.get("key") or "", given_title(clip), clip.raw.part or ""
    if not (instruments or key or tempo is not None or any(tag not in source_tags for tag in tags)):
        return _Facts()
    said = [("given_title", title), ("part", part), ("tempo_bpm", tempo), ("key", key)]
    evidence = [
        *(f"{column}={value}" for column, value in said if value not in ("", None)),
        *(f"instruments={name}" for name in instruments),
        *(f"{'given_tags' if tag in source_tags else 'tags'}={tag}" for tag in tags),
    ]
    return _Facts(
        title=title, part=part, tags=tags, instruments=instruments, key=key, tempo_bpm=tempo, evidence=evidence
    )


def _of_sound(clip: Clip) -> _Facts:
    """Nothing where nobody says what it is: that it is short and loud is no caption."""
    title, source_tags = given_title(clip), given_tags(clip)
    tags = [tag for tag in clip.known.get("tags") or source_tags if tag.lower() not in title.lower()][:_MAX_TAGS]
    if not (title or tags):
        return _Facts()
    duration_s, lufs = clip.num_samples / clip.sample_rate, clip.known.get("loudness_lufs")
    length = "short" if duration_s < _SHORT_S else "long" if duration_s > _LONG_S else ""
    length = length if clip.is_whole else ""
    level = "" if lufs is None else "quiet" if lufs < _QUIET_LUFS else "loud" if lufs > _LOUD_LUFS else ""
    evidence = [
        *([f"given_title={title}"] if title else []),
        *(f"{'given_tags' if tag in source_tags else 'tags'}={tag}" for tag in tags),
        *([f"num_samples={clip.num_samples}", f"sample_rate={clip.sample_rate}"] if length else []),
        *([f"loudness_lufs={lufs}"] if level else []),
    ]
    return _Facts(title=title, tags=tags, length=length, level=level, evidence=evidence)


def _music(facts: _Facts, key: str, chinese: bool) -> str:
    return (_music_zh if chinese else _music_en)(facts, key)


def _music_en(facts: _Facts, key: str) -> str:
    noun = pick(("piece of music", "piece", "track"), key, "noun")
    pace = _pace(facts.tempo_bpm, ("slow", "moderately fast", "fast"))
    subject = " ".join(["a", *([pace] if pace else []), noun])
    if facts.part:
        subject = f"the {facts.part} part of {subject}"
    details = {
        "key": f"in {facts.key}" if facts.key else "",
        "tempo": f"at about {facts.tempo_bpm:.0f} bpm" if facts.tempo_bpm is not None else "",
        "instruments": f"with {_list(facts.instruments)}" if facts.instruments else "",
    }
    orders = (("key", "tempo", "instruments"), ("tempo", "key", "instruments"), ("instruments", "key", "tempo"))
    order = orders[int(pick("012", key, "order"))]
    phrase = " ".join([subject, *(details[name] for name in order if details[name])])
    tagged = pick(("tagged", "labelled"), key, "tagged")
    titled = pick(("titled", "called"), key, "titled")
    parts = [
        phrase,
        *([f"{tagged} {_list(facts.tags)}"] if facts.tags else []),
        *([f"{titled} “{facts.title}”"] if facts.title else []),
    ]
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _music_zh(facts: _Facts, key: str) -> str:
    pace = _pace(facts.tempo_bpm, ("慢速的", "中速的", "快速的"))
    noun = pick(("乐曲", "音乐"), key, "noun")
    about = [
        *([f"{_key_zh(facts.key)}"] if facts.key else []),
        *([f"每分钟约{facts.tempo_bpm:.0f}拍"] if facts.tempo_bpm is not None else []),
        *(
            [f"有{'、'.join(_INSTRUMENTS_ZH.get(name, name) for name in facts.instruments)}"]
            if facts.instruments
            else []
        ),
        *([f"标签为{'、'.join(facts.tags)}"] if facts.tags else []),
        *([f"名为《{facts.title}》"] if facts.title else []),
    ]
    whole = f"一段{pace}{noun}"
    return "，".join([f"{whole}的{facts.part}部分" if facts.part else whole, *about]) + "。"


def _key_zh(key: str) -> str:
    """`C# minor` -> `升C小调`."""
    note, _, mode = key.partition(" ")
    return f"{_NOTES_ZH.get(note[1:2], '')}{note[:1]}{'小调' if mode == 'minor' else '大调'}"


def _sound(facts: _Facts, key: str, chinese: bool) -> str:
    what = ", ".join(part for part in (facts.title, ", ".join(facts.tags)) if part)
    if chinese:
        adjectives = "".join(_HOW_ZH[word] for word in _how(facts))
        return f"一段{adjectives}声音：{what}。"
    noun = pick(("sound", "sound effect", "recording of a sound"), key, "noun")
    how = ", ".join(_how(facts))
    return f"A {how} {noun}: {what}." if how else f"A {noun}: {what}."


def _how(facts: _Facts) -> list[str]:
    return [word for word in (facts.length, facts.level) if word]


def _pace(tempo_bpm: float | None, words: tuple[str, str, str]) -> str:
    if tempo_bpm is None:
        return ""
    return words[0] if tempo_bpm < _SLOW_BPM else words[2] if tempo_bpm >= _FAST_BPM else words[1]


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
