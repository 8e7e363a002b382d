"""A caption in the words of the source: what people said is heard, else its title and its tags, and nothing that nobody said. What
the source says is said in music are its lyrics."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Clip, Value

_OF_A_PART = 0.5
"""A caption of a whole piece of music holds for most parts of it; one of a sound names what is heard somewhere in it."""


class SourceCaption:
    name: ClassVar[str] = "source_caption"
    domains: ClassVar[frozenset[str]] = frozenset({SOUND, MUSIC, SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"tags", "caption", "captions", "lyrics"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # the source says it

    @classmethod
    def version(cls) -> str:
        return "3"

    def annotate(self, clip: Clip) -> list[Value]:
        tags = given_tags(clip)
        values = [Value(column="tags", value=tags, confidence=1.0)] if tags else []
        if lyrics := given_lyrics(clip):
            values.append(Value(column="lyrics", value=lyrics, confidence=1.0))
        if captions := given_captions(clip):
            sure = 1.0 if clip.is_whole else _OF_A_PART
            return [
                *values,
                Value(column="caption", value=captions[0], confidence=sure),
                Value(column="captions", value=captions, confidence=sure),
            ]
        title = given_title(clip)
        if clip.domain == SPEECH or not (title or tags):
            return values
        said = [part for part in (title, ", ".join(tag for tag in tags if tag.lower() not in title.lower())) if part]
        return [*values, Value(column="caption", value=": ".join(said), confidence=1.0)]


def given_captions(clip: Clip) -> list[str]:
    """What people said of the whole clip; of a part of it only where it is music."""
    return _lines(clip.raw.given_captions) if clip.is_whole or clip.domain == MUSIC else []


def given_lyrics(clip: Clip) -> str:
    """What is sung in a whole clip of music; of a part of it nobody knows which words are in it."""
    return (clip.raw.given_text or "").strip() if clip.is_whole and clip.domain == MUSIC else ""


def given_tags(clip: Clip) -> list[str]:
    return _lines(clip.raw.given_tags)


def given_title(clip: Clip) -> str:
    return " ".join((clip.raw.given_title or "").split())


def _lines(texts: Iterable[str]) -> list[str]:
    """Each on one line, none empty, none twice, in their order."""
    return list(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))
