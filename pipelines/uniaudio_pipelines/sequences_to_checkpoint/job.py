"""The job of the edge `sequences_to_checkpoint`: which stages, of which size, from where. Light: no torch, no ray."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.manifest import Manifest, Plan
from uniaudio_schemas.sequences import TRAIN_STATISTIC
from uniaudio_schemas.store import Store

from uniaudio.stages.config import StageConfig
from uniaudio.stages.table import STAGES, stage_before, stage_config
from uniaudio_pipelines.jobs import check_device, parent

CODE_VERSION = "2"
"""Goes up when the same sequences would train to other weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DueStage:
    """One stage of a job with everything it starts from."""

    stage: StageConfig
    plan: Plan
    sequences: Manifest
    parent: Manifest | None
    """Version of the checkpoint it starts from; None: freshly drawn weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequencesToCheckpoint:
    """Train stages of the language model on sequences."""

    EDGE: ClassVar[str] = "sequences_to_checkpoint"
    WRITES: ClassVar[str] = "checkpoint"

    stages: tuple[str, ...] = tuple(STAGES)
    """Names in the order of `uniaudio.stages.table.STAGES`."""
    size: str = "debug"
    """Preset of model and stages."""
    seed: int = 0
    sequences: str = "latest"
    """Ref of the sequences."""
    parent: str = ""
    """Ref of the checkpoint that the first of `stages` starts from; empty: the stage before it."""
    num_workers: int = 1
    """Workers of Ray Train. Sums over 2 differ from sums over 1 in their last bits, so it is part of the plan."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    num_steps: int = 0
    """Optimizer steps of each stage; 0 keeps the preset's."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        """Of the first stage that is due or, where none is, of the last: its version is there."""
        return [due.plan for due in self.chain(store)][-1]

    def chain(self, store: Store) -> Iterator[DueStage]:
        """The stages in order, up to and including the first that is not published: the next one's parent is not
        known before."""
        self._check()
        sequences = parent(store, "sequences", "build-sequences", self.sequences)
        start = self._start(store)
        _check_size(start, self.size)
        for name in self.learnable(sequences):
            stage = self.stage(name)
            plan = self._plan(stage, sequences, start)
            yield DueStage(stage=stage, plan=plan, sequences=sequences, parent=start)
            start = store.version(self.WRITES, plan.plan_id)
            if start is None:
                return

    def refs(self, store: Store) -> dict[str, Manifest]:
        """Every stage is a ref of its own: those that are published."""
        versions = {due.stage.name: store.version(self.WRITES, due.plan.plan_id) for due in self.chain(store)}
        return {name: version for name, version in versions.items() if version is not None}

    def learnable(self, sequences: Manifest) -> tuple[str, ...]:
        """Those of `stages` that the sequences hold training examples for. UsageError where there is none."""
        prefixed = {name for shard in sequences.shards for name in shard.statistics if name.startswith(TRAIN_STATISTIC)}
        groups = {name.removeprefix(TRAIN_STATISTIC) for name in prefixed}
        names = tuple(name for name in self.stages if self.stage(name).draws_from(groups))
        if not names:
            raise UsageError(
                f"`stages` must name one that has training examples, but {', '.join(self.stages)} have none: "
                f"the sequences are of {', '.join(sorted(groups)) or 'no group'}."
            )
        return names

    def stage(self, name: str) -> StageConfig:
        config = stage_config(name, self.size)
        return replace(config, num_steps=self.num_steps) if self.num_steps else config

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def _start(self, store: Store) -> Manifest | None:
        ref = self.parent or stage_before(self.stages[0])
        return None if ref is None else parent(store, self.WRITES, "train-stage", ref)

    def _plan(self, stage: StageConfig, sequences: Manifest, start: Manifest | None) -> Plan:
        parents = {"sequences": sequences.content_id}
        # Two codecs may give the same codes, and so the same sequences; the checkpoint names its codec.
        parents |= {kind: content_id for kind, content_id in sequences.parents.items() if kind == "codec"}
        if start is not None:
            parents["checkpoint"] = start.content_id
        # Through JSON types only: tuples would not survive the manifest.
        described = {name: _plain(value) for name, value in asdict(stage).items()}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents=parents,
            parameters={"stage": described, "size": self.size, "seed": self.seed, "num_workers": self.num_workers},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device, stage.precision),
            units=[stage.name],
        )

    def _check(self) -> None:
        check_device(self.device, self.num_gpus)
        ordered = [name for name in STAGES if name in self.stages]
        if not self.stages or list(self.stages) != ordered:
            raise UsageError(
                f"`stages` must be some of {', '.join(STAGES)} in this order, "
                f"but is {', '.join(self.stages) or 'empty'}."
            )
        if self.num_workers < 1:
            raise UsageError(f"`num_workers` must be 1 or more, but is {self.num_workers}.")


def _check_size(start: Manifest | None, size: str) -> None:
    found = size if start is None else start.parameters.get("size", size)
    if found != size:
        raise UsageError(f"`size` must be {found}, that of the checkpoint to start from, but is {size}.")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
