"""What tasks ask of a row of `annotated`: what is said, who says it, what it is called, and which needs of tasks a row meets.

words_of(clip)            "let's go"
needs_of(clip)            {"audio", "words", "voice", "style"}
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from uniaudio_schemas.kinds.annotated import Annotated

TRAIN = "train"
CANTONESE = "yue"
_NO = frozenset({"", "0", "no", "none", "false", "control", "healthy", "typical", "normal"})
_IMPAIRMENTS = ("dysarthria", "dysarthric", "etiology", "speech_impairment")
_CLASSES = ("class", "label", "category", "event")


def words_of(clip: Annotated) -> str:
    """The words that are said. A script goes before what a recognizer heard. The latter counts only in training, and only where
    nothing speaks against it: a held-out clip has no reference but a given text."""
    return _words(clip.domain, clip.given_text, clip.transcript, clip.split, clip.rejections)


def words_of_row(row: Mapping[str, Any]) -> str:
    """`words_of` for a row as a dictionary."""
    return _words(row["domain"], row["given_text"], row["transcript"], row["split"], row["rejections"])


def _words(domain: str, given: str | None, heard: str | None, split: str, rejections: list[str]) -> str:
    if domain != "speech":
        return ""
    accepted = heard if split == TRAIN and not rejections else None
    return (given or "").strip() or (accepted or "").strip()


def letters_of(words: str) -> str:
    """The words reduced for comparison: no case, no punctuation, no spaces."""
    return "".join(letter for letter in words.casefold() if letter.isalnum())


def fact_of(clip: Annotated, *names: str) -> str | None:
    """The value of the first of these facts that the source gives."""
    return value_of(((fact.name, fact.value) for fact in clip.facts), *names) if clip.facts else None


def value_of(facts: Iterable[tuple[str, str]], *names: str) -> str | None:
    """`fact_of` for pairs of name and value."""
    values = {name.casefold(): value.strip() for name, value in facts}
    return next((values[name] for name in names if values.get(name)), None)


def is_true(value: str | None) -> bool:
    """Whether a fact's value says yes, or names something."""
    return value is not None and value.casefold() not in _NO


def is_synthetic(clip: Annotated) -> bool:
    """Whether a machine speaks."""
    return is_true(fact_of(clip, "synthetic"))


def is_dysarthric(clip: Annotated) -> bool:
    return any(is_true(fact_of(clip, name)) for name in _IMPAIRMENTS)


def voice_of(clip: Annotated) -> str | None:
    """Who is heard: named by the source, or a voice that clips share; of songs, the singer of the recording."""
    return _voice(clip.domain, clip.speaker, clip.speaker_cluster, clip.lyrics, clip.raw_clip_id)


def voice_of_row(row: Mapping[str, Any]) -> str | None:
    """`voice_of` for a row as a dictionary."""
    return _voice(row["domain"], row["speaker"], row["speaker_cluster"], row["lyrics"], row["raw_clip_id"])


def _voice(domain: str, speaker: str | None, cluster: str | None, lyrics: str | None, recording: str) -> str | None:
    if domain == "speech":
        return speaker or cluster
    return (speaker or recording) if domain == "music" and lyrics else None


def kinds_of(clip: Annotated) -> tuple[str, ...]:
    """What kinds of sound it is: the source's class, then its tags."""
    kinds = [fact_of(clip, *_CLASSES) or "", *clip.tags]
    return tuple(dict.fromkeys(kind.strip() for kind in kinds if kind.strip()))


def class_of(clip: Annotated) -> str | None:
    """The first of them, or the title where nothing else says it; in four words at most."""
    name = next(iter(kinds_of(clip)), None) or (clip.title or "").strip()
    return name if 0 < len(name.split()) <= 4 else None


def captions_of(clip: Annotated) -> tuple[str, ...]:
    """Everything that is said of a clip, each once."""
    captions = [clip.caption or "", *clip.captions]
    return tuple(dict.fromkeys(caption.strip() for caption in captions if caption.strip()))


NEEDS: dict[str, tuple[str, Callable[[Annotated], bool]]] = {
    "text": ("passages of text (`text`)", lambda clip: bool((clip.text or "").strip())),
    "audio": ("audio", lambda clip: clip.domain != "text" and clip.num_samples > 0),
    "words": ("speech with `given_text`, or in training an accepted `transcript`", lambda clip: bool(words_of(clip))),
    "cantonese": ("speech whose `language` is yue", lambda clip: clip.domain == "speech" and clip.language == CANTONESE),
    "dysarthria": ("a fact `dysarthria` or `etiology`", is_dysarthric),
    "style": ("`style`", lambda clip: bool((clip.style or "").strip())),
    "voice": ("`speaker` or `speaker_cluster`", lambda clip: clip.domain == "speech" and voice_of(clip) is not None),
    "emotion": ("a fact `emotion`", lambda clip: clip.domain == "speech" and fact_of(clip, "emotion") is not None),
    "answer": ("a fact `answer`, or cuts of a dialogue", lambda clip: clip.domain == "speech" and _has_answer(clip)),
    "sound": ("clips of sound", lambda clip: clip.domain == "sound"),
    "sound_caption": ("sounds with a `caption`", lambda clip: clip.domain == "sound" and bool(captions_of(clip))),
    "sound_class": ("sounds with `tags`, a `title` or a fact `class`", lambda clip: clip.domain == "sound" and class_of(clip) is not None),
    "music_caption": ("music with a `caption`", lambda clip: clip.domain == "music" and bool(captions_of(clip))),
    "lyrics": ("music with `lyrics`", lambda clip: clip.domain == "music" and bool((clip.lyrics or "").strip())),
    "parts": ("parts of one recording (`part_of`, `part`)", lambda clip: bool(clip.part_of and clip.part)),
    "tags": ("sound or music with `tags` and a `caption`", lambda clip: clip.domain != "speech" and bool(clip.tags and clip.caption)),
    "evidence": ("`caption`, `style` or `evidence`", lambda clip: bool(clip.evidence or clip.style or clip.caption)),
}  # fmt: skip
"""Need -> in words, and whether a clip meets it."""


def needs_of(clip: Annotated) -> set[str]:
    """The needs of tasks that a clip meets."""
    return {name for name, (_, is_met) in NEEDS.items() if is_met(clip)}


def _has_answer(clip: Annotated) -> bool:
    return fact_of(clip, "answer") is not None or clip.clip_id != clip.raw_clip_id
