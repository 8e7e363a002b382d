"""The job of the edge `sequences_to_checkpoint`: which stages, of which size, from where. Light: no torch, no ray."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_file, numerics
from uniaudio_schemas.kinds.sequences import TRAIN_STATISTIC
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.stages.config import MixturePhase, StageConfig
from uniaudio.stages.table import ALL_STAGES, STAGES, stage_before, stage_config
from uniaudio_pipelines.jobs import check_device, check_group, hash_folder, parent
from uniaudio_pipelines.ray_training.keeping import Keeping, check_wandb
from uniaudio_pipelines.sequences_to_checkpoint.gate import check_leaks

CODE_VERSION = "6"
"""Goes up when the same sequences would train to other weights, or be told other held-out losses."""
WARM_UP = "text_warmup"
"""The stage whose place a backbone takes."""
DISTILLED = "stage1"
"""The stage that may distil."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DueStage:
    """One stage of a job with everything it starts from."""

    stage: StageConfig
    plan: Plan
    sequences: Manifest
    parent: Manifest | None
    """Version of the checkpoint it starts from; None: freshly drawn weights."""
    backbone: str = ""
    """Folder of the text model that replaces the backbone of the freshly drawn weights; empty: none does."""
    model: str = ""
    """Folder of the whole model that it starts from in place of a checkpoint; empty: of none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequencesToCheckpoint:
    """Train stages of the language model on sequences."""

    EDGE: ClassVar[str] = "sequences_to_checkpoint"
    WRITES: ClassVar[str] = "checkpoint"

    stages: tuple[str, ...] = tuple(STAGES)
    """Names in the order of `uniaudio.stages.table.ALL_STAGES`; by default those of the paper. `stage5` tunes on conversations,
    `stage6` on pairs of answers."""
    size: str = "debug"
    """Preset of model and stages."""
    seed: int = 0
    sequences: str = "latest"
    """Ref of the sequences."""
    parent: str = ""
    """Ref of the checkpoint that the first of `stages` starts from; empty: the stage before it."""
    backbone: str = ""
    """Folder of a LlamaForCausalLM with its tokenizer.json, readable by every worker, that `stage1` starts from instead
    of `text_warmup`; the sequences must be of its tokenizer. Experts and local decoder are those of `size`."""
    model: str = ""
    """Folder of a whole model (`uniaudio lm import`, `uniaudio lm export`), readable by every worker, that the first of
    `stages` starts from; its vocabulary must be that of the sequences. Its shapes are its own, `size` is the stages'."""
    experts: bool = True
    """False leaves both experts out of the freshly drawn model (the paper's ablation): audio goes straight into the
    backbone and out of it."""
    code_vectors: bool = False
    """Whether the audio ids of a freshly drawn model start as projections of the codec's code vectors instead of at random: more is
    learned from little audio. The paper does not say how its ids start."""
    distillation_weight: float | None = None
    """Weight of the semantic distillation loss of `stage1`; 0 leaves it out, None keeps the preset's."""
    num_workers: int = 1
    """Workers of Ray Train, which share the rows of each step. No part of the plan: more of them move roundings alone."""
    min_workers: int = 0
    """Where fewer than `num_workers` find room the run goes on with as many as do, down to these; 0 waits for all."""
    max_failures: int = 3
    """Times that a worker may die before the run gives up; each time it goes on from the last training checkpoint. -1 sets no limit."""
    shard_over: int = 0
    """Workers that share one copy of weights, gradients and optimizer; 0 is all of them, 1 gives each a copy of its own."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    num_steps: int = 0
    """Optimizer steps of each stage; 0 keeps the preset's."""
    stage_steps: dict[str, int] = field(default_factory=dict)
    """Optimizer steps of single stages, such as `{"stage3": 2000}`."""
    mixtures: dict[str, dict[str, float]] = field(default_factory=dict)
    """Shares of mixture groups in the tokens of single stages, such as `{"stage3": {"asr": 2.0, "*": 1.0}}`, where `*` stands for
    each group that is not named, but for `conversation` and `preference`; stages that are not named keep the preset's."""
    text_weight: float = 0.0
    """Weight of the loss of text beside that of audio; 0 keeps each stage's."""
    learning_rate: float = 0.0
    """Peak of each stage; 0 keeps the preset's."""
    num_rows: int = 0
    """Packed rows an optimizer step, over all workers; 0 keeps the preset's."""
    micro_rows: int = 0
    """Rows in one pass on one worker, which is what memory grows with; 0 keeps the preset's."""
    context: int = 0
    """Positions a row; 0 keeps each stage's."""
    num_threads: int = 0
    """CPU threads of a worker; 0 keeps the preset's. On a CPU two workers of one thread each are faster than one of two."""
    checkpoint_every: int = 0
    """Steps between two training checkpoints; 0 keeps the preset's."""
    keep_last: int = 2
    """Training checkpoints that the run may go on from: the last so many."""
    keep_every: int = 0
    """Every so many-th training checkpoint of a stage stays in `train/<plan id>/kept`, also when the stage has ended, until `uniaudio gc`;
    0 keeps none."""
    keep_best: int = 0
    """So many training checkpoints with the lowest held-out loss of a stage stay in that folder too; 0 keeps none."""
    hold_out_every: int = 0
    """Steps between two held-out losses while a stage trains; 0 has them at its start and end, and at each training checkpoint where
    `keep_best` asks for them."""
    wandb_project: str = ""
    """Project of Weights & Biases (`pip install wandb`) that the curves are sent to as well; `WANDB_MODE=offline` keeps them below
    `curves/wandb`. Empty: TensorBoard's alone."""
    recompute: Literal["", "none", "blocks", "selective"] = ""
    """What the backward pass computes again instead of keeping it: memory for time. Empty keeps the preset's."""
    compile_blocks: bool = False
    """Whether torch compiles each block: minutes at the start, faster steps after."""
    max_rollbacks: int = 0
    """Times that a stage with too many skipped steps goes back to its last checkpoint and on with other data."""
    spike_ratio: float = 0.0
    """Steps whose loss is more than this many times the median before them are skipped too; 0 looks at gradients alone."""
    precision: Literal["", "float32", "bfloat16"] = ""
    """Precision of the passes; weights and optimizer are float32. Empty keeps the preset's."""
    deterministic: bool | None = None
    """Kernels that give the same bits each time; on a device they are slower, and some do not exist. None keeps each stage's: true
    at `debug` and `starter`."""
    allow_leaks: tuple[str, ...] = ()
    """Names of registered evaluation sets that training examples may share sound and text with."""
    stage_prefix: str = ""
    """Prefix of each stage's name as a ref (`without-experts-` gives `without-experts-stage4`), so that an ablation moves none of the others."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        """Plan of the first stage that is due or, where none is, of the last, whose version is there."""
        return [due.plan for due in self.chain(store)][-1]

    def chain(self, store: Store) -> Iterator[DueStage]:
        """The stages in order, up to and including the first that is not published: the next one's parent is not
        known before."""
        self._check()
        sequences = parent(store, "sequences", "build-sequences", self.sequences)
        start = self._start(store)
        _check_size(start, self.size)
        check_leaks(store, sequences, start, self.allow_leaks)
        for name in self.learnable(sequences):
            stage = self.stage(name)
            backbone, model = (self.backbone, self.model) if start is None else ("", "")
            plan = self._plan(stage, sequences, start, backbone, model)
            yield DueStage(stage=stage, plan=plan, sequences=sequences, parent=start, backbone=backbone, model=model)
            start = store.version(self.WRITES, plan.plan_id)
            if start is None:
                return

    def refs(self, store: Store) -> dict[str, Manifest]:
        """The published stages, each of which is a ref of its own."""
        versions = {
            self.stage_ref(due.stage.name): store.version(self.WRITES, due.plan.plan_id) for due in self.chain(store)
        }
        return {name: version for name, version in versions.items() if version is not None}

    def stage_ref(self, stage: str) -> str:
        """Pointer to the checkpoint of a stage."""
        return f"{self.stage_prefix}{stage}"

    def learnable(self, sequences: Manifest) -> tuple[str, ...]:
        """Which of `stages` are trained. UsageError where none is."""
        left_out = self.left_out(sequences)
        names = tuple(name for name in self.stages if name not in left_out)
        if not names:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise UsageError(f"`stages` must name one that can be trained, but none can ({reasons}).")
        return names

    def left_out(self, sequences: Manifest) -> dict[str, str]:
        """Stage that is not trained -> why."""
        prefixed = {name for shard in sequences.shards for name in shard.statistics if name.startswith(TRAIN_STATISTIC)}
        groups = {name.removeprefix(TRAIN_STATISTIC) for name in prefixed}
        reasons = {
            name: "the sequences hold no training example of its mixture"
            for name in self.stages
            if not self.stage(name).draws_from(groups)
        }
        if (self.backbone or self.model) and WARM_UP in self.stages:
            reasons[WARM_UP] = f"the {'backbone' if self.backbone else 'model'} has learned text already"
        return reasons

    def stage(self, name: str) -> StageConfig:
        config = stage_config(name, self.size)
        if name == DISTILLED and self.distillation_weight is not None:
            config = replace(config, distillation_weight=self.distillation_weight)
        if self.deterministic is not None:
            config = replace(config, deterministic=self.deterministic)
        changes: dict[str, Any] = {
            "mixture": self._mixture(name),
            "text_weight": self.text_weight,
            "num_steps": self.stage_steps.get(name, self.num_steps),
            "learning_rate": self.learning_rate,
            "num_rows": self.num_rows,
            "micro_rows": self.micro_rows,
            "context": self.context,
            "num_threads": self.num_threads,
            "checkpoint_every": self.checkpoint_every,
            "recompute": self.recompute,
            "compile_blocks": self.compile_blocks,
            "max_rollbacks": self.max_rollbacks,
            "spike_ratio": self.spike_ratio,
            "precision": self.precision,
        }
        return replace(config, **{key: value for key, value in changes.items() if value})

    def keeping(self) -> Keeping:
        return Keeping(last=self.keep_last, every=self.keep_every, best=self.keep_best)

    def held_out_steps(self, stage: StageConfig) -> int:
        """Steps between two held-out losses. The plan does not hold them, nor what is kept: weights are the same."""
        return self.hold_out_every or (stage.checkpoint_every if self.keep_best else stage.num_steps)

    def _mixture(self, name: str) -> tuple[MixturePhase, ...]:
        """One phase from step 0 on; empty where the stage keeps its own."""
        weights = self.mixtures.get(name, {})
        return (MixturePhase(first_step=0, weights=tuple(sorted(weights.items()))),) if weights else ()

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def _start(self, store: Store) -> Manifest | None:
        before = stage_before(self.stages[0])
        if self.model or (self.backbone and before in (None, WARM_UP)):
            return None
        ref = self.parent or (before and self.stage_ref(before))
        return None if ref is None else parent(store, self.WRITES, "train-stage", ref)

    def _plan(self, stage: StageConfig, sequences: Manifest, start: Manifest | None, backbone: str, model: str) -> Plan:
        parents = {"sequences": sequences.content_id}
        # Two codecs may give the same codes, and so the same sequences; the checkpoint names its codec.
        parents |= {kind: content_id for kind, content_id in sequences.parents.items() if kind == "codec"}
        if start is not None:
            parents["checkpoint"] = start.content_id
        parameters: dict[str, Any] = {"size": self.size, "seed": self.seed}
        if self.allow_leaks:
            parameters["allow_leaks"] = sorted(set(self.allow_leaks))
        if start is None and not self.experts:
            if model:
                raise UsageError("`experts` must be true where a `model` is named: its shapes are its own.")
            parameters["experts"] = False
        if start is None and self.code_vectors:
            if model:
                raise UsageError("`code_vectors` must be false where a `model` is named: it has learned its ids.")
            parameters["code_vectors"] = True
        if backbone:
            _check_tokenizer(backbone, sequences)
            parameters["backbone"] = hash_folder(backbone, "backbone")
        if model:
            parameters["model"] = hash_folder(model, "model")
        # Through JSON types only: tuples would not survive the manifest.
        described = {name: _plain(value) for name, value in asdict(stage).items()}
        return Plan(
            kind=self.WRITES,
            schema_version=2,
            parents=parents,
            parameters={"stage": described, **parameters},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device, stage.precision),
            units=[stage.name],
        )

    def _check(self) -> None:
        check_device(self.device, self.num_gpus)
        ordered = [name for name in ALL_STAGES if name in self.stages]
        if not self.stages or list(self.stages) != ordered:
            raise UsageError(
                f"`stages` must be some of {', '.join(ALL_STAGES)} in this order, "
                f"but is {', '.join(self.stages) or 'empty'}."
            )
        self._check_workers()
        self.keeping().check()
        check_wandb(self.wandb_project)
        if self.hold_out_every < 0:
            raise UsageError(f"`hold_out_every` must be 0 or more, but is {self.hold_out_every}.")
        for field_name in ("stage_steps", "mixtures"):
            if unknown := sorted(set(getattr(self, field_name)) - set(ALL_STAGES)):
                raise UsageError(
                    f"`{field_name}` must name stages ({', '.join(ALL_STAGES)}), but has {', '.join(unknown)}."
                )
        for name, num_steps in self.stage_steps.items():
            if num_steps < 1:
                raise UsageError(f"`stage_steps` of {name} must be 1 or more, but is {num_steps}.")
        for name, weights in self.mixtures.items():
            if not all(0 <= weight < math.inf for weight in weights.values()) or not any(weights.values()):
                raise UsageError(f"`mixtures` of {name} must be shares of 0 or more, not all 0, but is {weights}.")
        starts = [name for name in ("parent", "backbone", "model") if getattr(self, name)]
        if len(starts) > 1:
            raise UsageError(f"`{starts[1]}` must be empty where a `{starts[0]}` is named: a stage starts from one.")

    def _check_workers(self) -> None:
        if self.num_workers < 1:
            raise UsageError(f"`num_workers` must be 1 or more, but is {self.num_workers}.")
        if not 0 <= self.min_workers <= self.num_workers:
            raise UsageError(f"`min_workers` must lie in 0 … `num_workers`, but is {self.min_workers}.")
        if self.max_failures < -1:
            raise UsageError(f"`max_failures` must be -1 or more, but is {self.max_failures}.")
        if self.shard_over < 0 or (self.shard_over and self.num_workers % self.shard_over):
            raise UsageError(f"`shard_over` must be 0 or divide `num_workers`, but is {self.shard_over}.")
        if self.shard_over > 1 and self.min_workers not in (0, self.num_workers):
            raise UsageError(
                f"`shard_over` must be 0 or 1 where `min_workers` lets workers leave, but is {self.shard_over}."
            )
        check_group(self.device, self.num_gpus, self.num_workers)


def _check_tokenizer(backbone: str, sequences: Manifest) -> None:
    """Ids of another tokenizer would be noise to the backbone, and nothing else would notice."""
    file = Path(backbone) / "tokenizer.json"
    if not file.is_file():
        raise UsageError(f"`backbone` must be a folder with a tokenizer.json, but {backbone} has none.")
    used = str(sequences.parameters.get("tokenizer", ""))
    # First the hash of tokenizer.json; what stands behind it may rename reserved tokens.
    if used.partition(" ")[0] != hash_file(file):
        raise UsageError(
            f"`sequences` must be of the backbone's tokenizer, but are of {used[:8] or 'an unknown one'}: "
            f"run build-sequences with `tokenizer` {backbone} first."
        )


def _check_size(start: Manifest | None, size: str) -> None:
    size_of_start = size if start is None else start.parameters.get("size", size)
    if size_of_start != size:
        raise UsageError(f"`size` must be {size_of_start}, that of the checkpoint to start from, but is {size}.")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
