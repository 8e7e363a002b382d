"""The job of the edge `checkpoint_to_scores`: which checkpoint, which benchmarks, how many samples. Light: no torch."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_json, numerics
from uniaudio_schemas.store import KINDS, Store
from uniaudio_schemas.store.forgotten import version_with
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.tasks import TASKS
from uniaudio_pipelines.checkpoint_to_scores.declared import ANSWERED, BENCHMARKS
from uniaudio_pipelines.evalsets import SetCard, cards_with
from uniaudio_pipelines.jobs import check_device, hash_folder, parent

__all__ = ["ANSWERS", "BENCHMARKS", "JUDGES", "RECOGNIZER", "SENTENCES", "SET_PREFIX", "VOICES", "CheckpointToScores"]

CODE_VERSION = "9"
"""Goes up when the same checkpoint would get other scores."""
RECOGNIZER, VOICES, SENTENCES = "whisper-base", "speaker/resemblyzer.pt", "minilm/model.safetensors"
JUDGES = (RECOGNIZER, VOICES, SENTENCES)
"""Models below `models` that recognize spoken answers, compare voices, and compare captions."""
SET_PREFIX = "evalset-"
"""Prefix of the unit of a registered evaluation set; the set's name follows."""
ANSWERS = "answers-"
"""Prefix of a unit that writes answers to several tasks, or to one evaluation set, and scores nothing; a number follows."""
REGISTERED = "registered"
"""Stands for every set that is registered and has a card."""
_NOT_IN_PLAN = ("evalsets", "cards", "checkpoint", "ref", "device", "num_gpus", "tokenizer", "models", "batch_size")
_FLOWS = {
    "checkpoint": "train-stage",
    "sequences": "build-sequences",
    "instructions": "build-multitask-data",
    "codec": "train-codec",
    "annotated": "annotate-corpus",
    "raw": "ingest-corpus",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Held-out examples of a task, or items of an evaluation set, from number `first` to before `last`."""

    task: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointToScores:
    """Score a checkpoint and its codec on held-out clips."""

    EDGE: ClassVar[str] = "checkpoint_to_scores"
    WRITES: ClassVar[str] = "scores"

    checkpoint: str = "latest"
    """Ref of the checkpoint, such as `stage4`."""
    benchmarks: tuple[str, ...] = BENCHMARKS
    """Which are scored."""
    evalsets: tuple[str, ...] = (REGISTERED,)
    """Registered evaluation sets that have a card (`uniaudio evalset build`, `add`), or `registered`: all of them; empty for none."""
    cards: tuple[SetCard, ...] = ()
    """Cards of evaluation sets of one's own, beside those of the package."""
    shots: tuple[int, ...] = (0, 1, 4)
    """Solved examples before each question of an evaluation set whose card does not say its own."""
    num_items: int = 64
    """Most items of an evaluation set, in id order."""
    seed: int = 0
    num_answers: int = 8
    """Most examples a task that the model answers."""
    num_made: int = 2
    """Most examples a task that the model answers with audio; the first one is kept to listen to."""
    shard_size: int = 256
    """Answers that are a unit of their own, of whatever tasks: for several workers, and to go on behind them."""
    batch_size: int = 16
    """Answers written together; they are what they would be alone."""
    models: str = ""
    """Folder with a recognizer and encoders of voices and sentences, as `JUDGES` names them; metrics that need what is not there are dropped by
    name."""
    num_clips: int = 4
    """Most clips a domain that the codec reconstructs."""
    num_sequences: int = 8
    """Most held-out sequences a task behind the perplexities."""
    max_clip_samples: int = 96_000
    """Longest stretch of a clip (24 kHz) that is reconstructed: its first 4 s."""
    max_text: int = 160
    """Longest answer in text tokens."""
    max_frames: int = 50
    """Longest spoken answer in reconstruction frames: 4 s."""
    decode_steps: int | None = None
    """Solver steps of the codec's decoder; empty: the codec's own."""
    tokenizer: str = ""
    """Folder with a `tokenizer.json`; empty for the debug size, which reads bytes."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        versions = self.versions(store)
        sets = self.sets(store)
        parameters = {name: value for name, value in asdict(self).items() if name not in _NOT_IN_PLAN}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={kind: manifest.content_id for kind, manifest in versions.items()},
            parameters={
                **parameters,
                "benchmarks": list(self.benchmarks),
                "shots": list(self.shots),
                "models": self._weights(),
                "sets": sets,
            },
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device),
            units=[
                *self.answer_units(),
                *self._set_units(store, sets),
                *self.benchmarks,
                *(SET_PREFIX + name for name in sets),
            ],
        )

    @property
    def cards_by_name(self) -> dict[str, SetCard]:
        """Cards of the package and of one's own."""
        return cards_with(self.cards)

    def sets(self, store: Store) -> dict[str, dict[str, str]]:
        """Evaluation set -> its contents and its card; UsageError where one is not registered or has no card."""
        known, there = self.cards_by_name, store.refs("evalset")
        names = sorted(set(known) & set(there)) if self.evalsets == (REGISTERED,) else list(self.evalsets)
        for name in names:
            if name not in known:
                raise UsageError(f"`evalsets` must have a card ({', '.join(known)}), but {name} has none.")
            if name not in there:
                how = f"build {name}" if known[name].packages else f"add {name} FOLDER"
                raise UsageError(
                    f"`evalsets` must be registered, but {name} is not: `uniaudio evalset {how}` ({known[name].source})."
                )
        return {name: {"content_id": there[name].content_id, "card": hash_json(asdict(known[name]))} for name in names}

    def versions(self, store: Store) -> dict[str, Manifest]:
        """Kind -> the version behind the checkpoint: its own ancestors, whatever `latest` has become since."""
        checkpoint = parent(store, "checkpoint", _FLOWS["checkpoint"], self.checkpoint)
        versions = {"checkpoint": checkpoint}
        for kind, flow in _FLOWS.items():
            if kind not in versions:
                versions[kind] = _ancestor(store, checkpoint, kind) or parent(store, kind, flow)
        return versions

    def num_samples(self, task: str) -> int:
        """Most examples of a task that the model answers."""
        return self.num_answers if TASKS[task].order[-1].is_text else self.num_made

    def answer_units(self) -> dict[str, list[Piece]]:
        """Unit -> what it answers: pieces of tasks that answer with text, then of those that answer with audio. What scores a task finds its
        answers kept, and writes those that are not."""
        tasks = [task for task in self.benchmarks if task in ANSWERED]
        units: list[list[Piece]] = []
        for is_text in (True, False):
            room = 0
            for task in (one for one in tasks if TASKS[one].order[-1].is_text == is_text):
                for first in range(0, count := self.num_samples(task), self.shard_size):
                    piece = Piece(task, first, min(first + self.shard_size, count))
                    if room < piece.last - piece.first:
                        units.append([])
                        room = self.shard_size
                    units[-1].append(piece)
                    room -= piece.last - piece.first
        return {f"{ANSWERS}{number:05}": pieces for number, pieces in enumerate(units)}

    def _set_units(self, store: Store, names: Iterable[str]) -> list[str]:
        """Pieces of evaluation sets with more items than a shard."""
        there = store.refs("evalset")
        counts = {name: min(self.num_items, there[name].num_rows) for name in names}
        return [
            f"{ANSWERS}{SET_PREFIX}{name}-{first // self.shard_size:05}"
            for name, count in counts.items()
            for first in (range(0, count, self.shard_size) if count > self.shard_size else ())
        ]

    def _weights(self) -> dict[str, str]:
        """Hash of each model that is there, over its files, since other models give other scores."""
        folders = {name: Path(self.models) / Path(name).parts[0] for name in JUDGES}
        return {
            name: hash_folder(str(path), "models") for name, path in folders.items() if self.models and path.is_dir()
        }

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def _check(self) -> None:
        unknown = [name for name in self.benchmarks if name not in BENCHMARKS]
        if any(count < 0 for count in self.shots):
            raise UsageError(f"`shots` must be 0 or more, but are {', '.join(map(str, self.shots))}.")
        if unknown or not (self.benchmarks or self.evalsets):
            raise UsageError(
                f"`benchmarks` must be some of {', '.join(BENCHMARKS)}, but is {', '.join(self.benchmarks) or 'empty'}."
            )
        for name in (
            "num_answers",
            "num_items",
            "num_made",
            "shard_size",
            "batch_size",
            "num_clips",
            "num_sequences",
            "max_clip_samples",
            "max_text",
            "max_frames",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        if self.decode_steps is not None and self.decode_steps < 0:
            raise UsageError(f"`decode_steps` must be 0 or more, but is {self.decode_steps}.")
        check_device(self.device, self.num_gpus)


def _ancestor(store: Store, manifest: Manifest, kind: str) -> Manifest | None:
    """The nearest version of `kind` among the parents, their parents and so on."""
    level, seen = [manifest], {manifest.content_id}
    while level:
        parents = [
            # What is left of it, where some of it was forgotten.
            version_with(store, name, content) or store.version_with(name, content)
            for child in level
            for name, content in child.parents.items()
            if name in KINDS
        ]
        for version in parents:
            if version.kind == kind:
                return version
        level = [version for version in parents if version.content_id not in seen]
        seen |= {version.content_id for version in level}
    return None
