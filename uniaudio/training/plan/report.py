"""The plan of a run: what each stage takes on given cards. START HERE: `plan_stages`.

stage3: 500,000 steps of 64 rows of 1,024, trains all 4.86B of 4.86B parameters
  a rank holds 47.9 of 72.0 GiB: fits …
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from uniaudio_schemas.errors import UsageError

from uniaudio.lm.config import LMConfig
from uniaudio.stages.config import PreferenceConfig, StageConfig
from uniaudio.stages.paper import PAPER
from uniaudio.stages.schedule import Recomputation
from uniaudio.stages.table import STAGES, stage_config
from uniaudio.training.plan.cards import Card, card_of
from uniaudio.training.plan.compute import Counts, chunked_again, flops_of
from uniaudio.training.plan.memory import FLOAT32, RECOMPUTATIONS, Memory, Pass, memory_of, traffic_of
from uniaudio.training.plan.shapes import parameters_of
from uniaudio.training.plan.work import WORK, config_of

TEXT_BYTES, FRAME_BYTES = 4, 16
"""Bytes of a text or an audio position on disk: an int32, or eight int16 (`sequences.v1`)."""
DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A way to run a stage, and what it takes."""

    recomputation: Recomputation
    micro_rows: int
    num_passes: int
    """Micro-batches of a step on a rank."""
    memory: Memory
    fits: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePlan:
    stage: str
    num_steps: int
    rows: int
    context: int
    parameters: int
    trained: int
    modules: tuple[str, ...]
    configured: Setting
    """The setting that the stage is configured with."""
    fitting: tuple[Setting, ...]
    """For each recomputation the setting with the most rows a pass that fits, if any does."""
    flops_a_position: float
    """Operations a position: the model forward and backward, a reference forward. MFU is relative to them."""
    repeated_share: float
    """Operations that are repeated to save memory, divided by those counted above."""
    days: float
    gpu_hours: float
    links_gb_a_second: float
    """GB/s that each card must receive and send so that its links are not slower than its products. With slower links the MFU is
    not reached. Fewer passes a step, or fewer cards that share one copy (`shard_over`), need less."""
    tokens_gb: float
    """Sequences on disk, were every position drawn once."""
    paper_tokens: float
    """0 where the paper has no such stage or size."""
    checkpoint_gb: float
    """Size of one checkpoint: weights and optimizer."""
    num_checkpoints: int
    """Checkpoints that the stage writes, one after the other. How many are kept is the run's policy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    size: str
    gpus: int
    gpu: str
    mfu: float
    usable_gib: float
    parameters: dict[str, int]
    """Module -> parameters."""
    stages: tuple[StagePlan, ...]

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        for stage in values["stages"]:
            for setting in (stage["configured"], *stage["fitting"]):
                memory = setting["memory"]
                memory["peak"] = sum(value for value in memory.values() if isinstance(value, int))
        return values


def plan_stages(
    size: str, *, gpus: int, gpu: str, mfu: float = 0.4, stages: Sequence[str] = (), config: LMConfig | None = None
) -> Plan:
    """The plan of `stages` at `size` on `gpus` cards that share one copy of the state. Without `stages`: those that are trained by
    default. Nothing is run."""
    if gpus < 1:
        raise UsageError(f"`gpus` must be 1 or more, but is {gpus}.")
    if not 0 < mfu <= 1:
        raise UsageError(f"`mfu` must be more than 0 and at most 1, but is {mfu}.")
    card, model = card_of(gpu), config or config_of(size)
    plans = [_stage_plan(size, model, stage_config(name, size), card, gpus, mfu) for name in stages or STAGES]
    return Plan(
        size=size,
        gpus=gpus,
        gpu=gpu,
        mfu=mfu,
        usable_gib=card.usable / 2**30,
        parameters=parameters_of(model),
        stages=tuple(plans),
    )


def memory_of_rows(
    config: LMConfig, stage: StageConfig, *, micro_rows: int, recomputation: Recomputation, gpus: int
) -> Memory:
    """The fuller of two micro-batches: of text alone, and of frames alone, which all are targets."""
    positions = micro_rows * stage.context
    cases = [(positions, 0)] + ([(0, positions)] if stage.audio_weight else [])
    memories = [
        memory_of(
            config,
            stage.trains,
            Pass(
                positions=positions,
                text_targets=text,
                audio_targets=audio,
                precision=stage.precision,
                recomputation=recomputation,
                num_ranks=gpus,
                num_passes=num_passes(stage, micro_rows, gpus),
            ),
            has_reference=has_reference(stage),
        )
        for text, audio in cases
    ]
    return max(memories, key=lambda memory: memory.peak)


def has_reference(stage: StageConfig) -> bool:
    """Whether a frozen copy of the model computes beside it."""
    return isinstance(stage, PreferenceConfig)


def num_passes(stage: StageConfig, micro_rows: int, gpus: int) -> int:
    return -(-_rows_a_rank(stage, gpus) // micro_rows)


def _traffic(config: LMConfig, stage: StageConfig, gpus: int) -> int:
    """Bytes a card and step, as the stage is configured."""
    passes = num_passes(stage, min(stage.micro_rows, _rows_a_rank(stage, gpus)), gpus)
    settings = Pass(
        positions=0, text_targets=0, audio_targets=0, precision=stage.precision, num_ranks=gpus, num_passes=passes
    )
    return traffic_of(config, stage.trains, settings, has_reference=has_reference(stage))


def _rows_a_rank(stage: StageConfig, gpus: int) -> int:
    return -(-stage.num_rows // gpus)


def _setting(
    config: LMConfig, stage: StageConfig, card: Card, gpus: int, recomputation: Recomputation, micro_rows: int
) -> Setting:
    memory = memory_of_rows(config, stage, micro_rows=micro_rows, recomputation=recomputation, gpus=gpus)
    return Setting(
        recomputation=recomputation,
        micro_rows=micro_rows,
        num_passes=num_passes(stage, micro_rows, gpus),
        memory=memory,
        fits=memory.peak <= card.usable,
    )


def _fitting(config: LMConfig, stage: StageConfig, card: Card, gpus: int) -> tuple[Setting, ...]:
    fitting = []
    for recomputation in RECOMPUTATIONS:
        most = _rows_a_rank(stage, gpus)
        rows = sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power < most)}, reverse=True)
        settings = (_setting(config, stage, card, gpus, recomputation, micro_rows) for micro_rows in rows)
        if (setting := next((one for one in settings if one.fits), None)) is not None:
            fitting.append(setting)
    return tuple(fitting)


def _stage_plan(size: str, config: LMConfig, stage: StageConfig, card: Card, gpus: int, mfu: float) -> StagePlan:
    work, num_parameters = WORK[stage.name], parameters_of(config)
    positions = stage.num_rows * stage.context
    counts = Counts(
        positions=positions,
        text_targets=work.text_targets * positions,
        audio_targets=work.audio_targets * positions * bool(stage.audio_weight),
        # A row of pairs holds two documents at least.
        document=stage.context / (2 if has_reference(stage) else 1),
    )
    recomputation = stage.recompute
    # The reference's pass goes forward alone: nothing of it learns.
    beside = sum(flops_of(config, (), counts).values()) if has_reference(stage) else 0.0
    model_flops = beside + sum(flops_of(config, stage.trains, counts).values())
    executed_flops = beside + sum(flops_of(config, stage.trains, counts, recomputation=recomputation).values())
    executed_flops += chunked_again(config, stage.trains, counts)
    seconds = stage.num_steps * model_flops / (gpus * card.flops(stage.precision) * mfu)
    parameters = sum(num_parameters.values())
    num_trained = sum(num_parameters[module] for module in stage.trains)
    bytes_a_position = work.audio * FRAME_BYTES + (1 - work.audio) * TEXT_BYTES
    return StagePlan(
        stage=stage.name,
        num_steps=stage.num_steps,
        rows=stage.num_rows,
        context=stage.context,
        parameters=parameters,
        trained=num_trained,
        modules=stage.trains,
        configured=_setting(config, stage, card, gpus, recomputation, min(stage.micro_rows, _rows_a_rank(stage, gpus))),
        fitting=_fitting(config, stage, card, gpus),
        flops_a_position=model_flops / positions,
        repeated_share=executed_flops / model_flops - 1,
        days=seconds / DAY,
        gpu_hours=seconds * gpus / 3600,
        links_gb_a_second=_traffic(config, stage, gpus) * stage.num_steps / seconds / 1e9,
        tokens_gb=stage.num_steps * positions * bytes_a_position / 1e9,
        paper_tokens=PAPER[stage.name].num_tokens if size.startswith("paper") and stage.name in PAPER else 0.0,
        checkpoint_gb=FLOAT32 * (parameters + 2 * num_trained) / 1e9,
        num_checkpoints=-(-stage.num_steps // stage.checkpoint_every),
    )
