"""A caption in the words of the source: its title and its tags, and nothing that nobody said."""

from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, SOUND, SPEECH, Clip, Value


class SourceCaption:
    name: ClassVar[str] = "source_caption"
    domains: ClassVar[frozenset[str]] = frozenset({SOUND, MUSIC, SPEECH})

    def __init__(self, models: Path, device: str) -> None:
        del models  # measures; has none

    @classmethod
    def version(cls) -> str:
        return "1"

    def annotate(self, clip: Clip) -> list[Value]:
        raw = clip.raw
        title = " ".join((raw.given_title or "").split())
        tags = list(dict.fromkeys(" ".join(tag.split()) for tag in raw.given_tags if tag.strip()))
        values = [Value(column="tags", value=tags, confidence=1.0)] if tags else []
        if clip.domain == SPEECH or not (title or tags):
            return values
        said = [part for part in (title, ", ".join(tag for tag in tags if tag.lower() not in title.lower())) if part]
        return [*values, Value(column="caption", value=": ".join(said), confidence=1.0)]
