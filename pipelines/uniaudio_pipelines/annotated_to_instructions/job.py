"""The job of the edge `annotated_to_instructions`: which clips are trained on, which share of them goes into derived examples, and how
long one may be."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.annotated_to_instructions.units import units_of
from uniaudio_pipelines.jobs import parent

CODE_VERSION = "6"
"""Goes up when the same annotations would give other rows."""
POLICIES = {"leaks": ("drop", "keep"), "copies": ("drop_held_out", "drop_training")}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedToInstructions:
    """Build the examples of every task."""

    EDGE: ClassVar[str] = "annotated_to_instructions"
    WRITES: ClassVar[str] = "instructions"

    seed: int = 0
    max_positions: int = 1024
    """Longer examples of tasks are dropped as `too_long`: the context of stages 1 to 3."""
    max_sentence_positions: int = 1536
    """Auditory sentences, few-shot examples, conversations and pairs of answers are no longer than this: the context of stages 4 to 6 at the
    smallest size."""
    min_mos: float = 0.0
    """Speech whose DNSMOS is lower is no target of generation."""
    leaks: str = "drop"
    """Training clips that share sound or text with a registered evaluation set: `drop` or `keep`."""
    copies: str = "drop_held_out"
    """What happens to a sound that is both in training and held out: `drop_held_out` or `drop_training` says which of the two makes no example."""
    max_synthetic_share: float = 0.5
    """The most synthetic speech (fact `synthetic`) among the speech that a model learns to speak like, as a share; such clips keep their corpus."""
    chinese_prompt_share: float = 0.1
    """Share of the clips without a language (sounds, music) that are prompted and asked about in Chinese."""
    separation_share: float = 0.25
    """Share of the speech clips that are mixed with one of another speaker."""
    max_mix_db: float = 5.0
    """Most that one speaker of a mixture is louder than the other."""
    denoise_share: float = 0.2
    """Share of the speech clips that get a noisy copy."""
    piece_share: float = 0.25
    """Share of the whole recordings that are cut into pieces for an auditory sentence."""
    few_shot_share: float = 0.05
    """Share of the speech clips that stand as the question behind solved examples of enhancement; the same share again does for voice conversion."""
    codes_share: float = 0.05
    """Share of the clips that drill codes without text, in each of the four such tasks."""
    edit_share: float = 0.1
    """Share of the speech clips with word times from which an edit is made: a word is taken out, put in or replaced."""
    voice_share: float = 0.5
    """Share of the clips with words that are said in the voice of another clip of the same speaker."""
    background_share: float = 0.1
    """Share of the speech clips that are heard over a sound; half of the noisy copies are as well."""
    question_share: float = 0.25
    """Share of the clips that something is asked about."""
    scene_share: float = 0.1
    """Share of the sounds that are put in a row with others, to be counted and ordered."""
    class_share: float = 0.2
    """Share of the clips with a class or an emotion that are asked for it behind solved examples."""
    conversation_share: float = 0.25
    """Share of the clips that are asked about over several turns, for `stage5`."""
    preference_share: float = 0.1
    """Share of the clips that give pairs of a better and a worse answer, for `stage6`."""
    answers: str = ""
    """JSON lines that a checkpoint answered (`uniaudio run asr SOURCE --jsonl`), readable by every worker: of a pair of transcripts the
    worse one is then the model's own, by its word errors. Empty: what the recognizer misheard."""
    max_examples_per_corpus: int = 0
    """Most examples of one task from one corpus; 0 keeps all. Which ones are dropped as `over_cap` does not depend on the other examples."""
    max_examples_per_speaker: int = 0
    """Most examples of one task from one speaker; 0 keeps all."""
    clips_per_unit: int = 4096
    """Mean number of clips that are at home in a shard, at most; partners are looked for among as many."""
    annotated_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        annotated = parent(store, "annotated", "annotate-corpus", self.annotated_ref)
        parameters = {name: value for name, value in asdict(self).items() if name not in ("ref", "annotated_ref")}
        # What is in the file, not where it lies.
        parameters["answers"] = hash_file(Path(self.answers)) if self.answers else ""
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"annotated": annotated.content_id},
            parameters=parameters,
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=units_of(annotated, self.clips_per_unit),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}

    def _check(self) -> None:
        for name, value in asdict(self).items():
            if name.endswith("_share") and not 0 <= value <= 1:
                raise UsageError(f"`{name}` must lie in 0 … 1, but is {value}.")
        for name in ("max_positions", "max_sentence_positions", "clips_per_unit"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        for name in ("max_examples_per_corpus", "max_examples_per_speaker"):
            if getattr(self, name) < 0:
                raise UsageError(f"`{name}` must be 0 or more, but is {getattr(self, name)}.")
        if self.answers and not Path(self.answers).is_file():
            raise UsageError(f"`answers` must be a file of JSON lines, but is {self.answers}.")
        for name, choices in POLICIES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"`{name}` must be {' or '.join(choices)}, but is {getattr(self, name)!r}.")
