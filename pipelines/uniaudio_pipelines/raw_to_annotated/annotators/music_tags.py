"""What listeners would call a piece of music, and which instruments play, by musicnn; what the source says comes first."""

from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import UsageError

from uniaudio_pipelines.raw_to_annotated import musicnn
from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import MUSIC, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.caption import given_tags

_MIN_PROBABILITY = 0.2
"""Least probability of a tag. The network was trained on tags that few listeners agree on, so that most of what is heard has 0.2 to 0.5."""
_MAX_TAGS = 5
_MIN_SAMPLES = 8_000
"""Half a second. Less is repeated too often, up to 3 s, to be music."""
_INSTRUMENTS = frozenset(
    ["guitar", "strings", "drums", "piano", "violin", "synth", "harpsichord", "flute", "sitar", "harp", "cello"]
)
_ONE_NAME = {
    "classic": "classical",
    "beats": "beat",
    "choral": "choir",
    "vocals": "vocal",
    "singing": "vocal",
    "voice": "vocal",
    "no vocals": "instrumental",
    "no vocal": "instrumental",
    "no voice": "instrumental",
    "male": "male vocal",
    "man": "male vocal",
    "male voice": "male vocal",
    "female": "female vocal",
    "woman": "female vocal",
    "female voice": "female vocal",
}
"""Labels that mean the same."""
_UNTOLD = frozenset(["weird", "fast", "slow", "loud", "quiet"])
"""A judgement, and what is measured better."""


class MusicTags:
    name: ClassVar[str] = "music_tags"
    domains: ClassVar[frozenset[str]] = frozenset({MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset({"tags", "instruments"})
    writes: ClassVar[frozenset[str]] = frozenset({"tags", "instruments"})

    def __init__(self, models: Path, device: str) -> None:
        from uniaudio.metrics.musicnn import MusicTagger

        packages.require_package("safetensors", self.name)
        path = Path(models) / musicnn.FOLDER / musicnn.FILE
        if not path.is_file():
            raise UsageError(
                f"{path} is missing: download `{musicnn.INSTALL}` (pip download --no-deps) and prepare it with "
                f"`{musicnn.__name__}.prepare`, or leave `{self.name}` out of `annotators`."
            )
        self._tagger = MusicTagger.load(path)

    @classmethod
    def version(cls) -> str:
        return "musicnn-mtt-0.1.0-1"

    def annotate(self, clip: Clip) -> list[Value]:
        if len(clip.analysis) < _MIN_SAMPLES or not clip.analysis.any():
            return []
        likely = self._likely(clip.analysis)
        instruments = [name for name in likely if name in _INSTRUMENTS]
        tags = [name for name in likely if name not in _UNTOLD][:_MAX_TAGS]
        return [
            *_value("tags", _first_given(clip.known.get("tags") or given_tags(clip), tags), tags, likely),
            *_value("instruments", _first_given(clip.known.get("instruments") or [], instruments), instruments, likely),
        ]

    def _likely(self, samples: Any) -> dict[str, float]:
        """Name -> probability, the most probable first."""
        from uniaudio.metrics.musicnn import LABELS

        probabilities: dict[str, float] = {}
        for label, probability in zip(LABELS, self._tagger.tag(samples).tolist(), strict=True):
            name = _ONE_NAME.get(label, label)
            probabilities[name] = max(probabilities.get(name, 0.0), probability)
        return {
            name: probabilities[name]
            for name in sorted(probabilities, key=lambda name: (-probabilities[name], name))
            if probabilities[name] >= _MIN_PROBABILITY
        }


def _first_given(given: list[str], found: list[str]) -> list[str]:
    known = {tag.lower() for tag in given}
    return [*given, *(tag for tag in found if tag not in known)]


def _value(column: str, value: list[str], found: list[str], likely: dict[str, float]) -> list[Value]:
    """The confidence is that of the least sure of what was found here; given tags have their own note."""
    if not found:
        return []
    return [Value(column=column, value=value, confidence=round(min(likely[name] for name in found), 3))]
