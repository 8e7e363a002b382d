"""How speech sounds, in a sentence composed of measured values and given facts, and of nothing else."""

from pathlib import Path
from typing import ClassVar

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.heard import hear
from uniaudio_pipelines.raw_to_annotated.annotators.wording import style_sentence


class Style:
    name: ClassVar[str] = "style"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset(
        {
            "language",
            "pitch_hz",
            "pitch_range_semitones",
            "syllables_per_s",
            "level_dbfs",
            "num_pauses",
            "pause_fraction",
            "snr_db",
            "mos",
        }
    )
    writes: ClassVar[frozenset[str]] = frozenset({"style", "evidence"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # a grammar; has none

    @classmethod
    def version(cls) -> str:
        return "templates-1"

    def annotate(self, clip: Clip) -> list[Value]:
        words = hear(clip.known, clip.raw.facts, clip.num_samples / clip.sample_rate)
        # Who speaks is not how it sounds.
        if words.pitch is None and words.rate is None and words.emotion is None:
            return []
        language = clip.known.get("language") or clip.raw.language
        sentence = style_sentence(words, f"{clip.raw.clip_id}:{clip.first_sample}", language)
        return [Value(column="style", value=sentence), Value(column="evidence", value=words.evidence)]
