"""A plan as lines for people."""

from collections.abc import Iterator

from uniaudio.training.plan.memory import Memory
from uniaudio.training.plan.report import Plan, Setting, StagePlan

GIB = 2**30


def lines_of(plan: Plan) -> Iterator[str]:
    total = sum(plan.parameters.values())
    yield f"{plan.size} on {plan.gpus} x {plan.gpu}: {total / 1e9:.2f}B parameters"
    yield "  " + ", ".join(f"{name} {count / 1e6:,.1f}M" for name, count in plan.parameters.items())
    for stage in plan.stages:
        yield ""
        yield from _of_stage(stage, plan)
    yield ""
    days, hours = (sum(getattr(stage, name) for stage in plan.stages) for name in ("days", "gpu_hours"))
    checkpoint_gb = max((stage.checkpoint_gb for stage in plan.stages), default=0.0)
    disk = sum(stage.tokens_gb for stage in plan.stages)
    yield (
        f"all stages: {days:,.1f} days, {hours:,.0f} GPU-hours at an MFU of {plan.mfu:.0%}; sequences {disk:,.0f} GB, a checkpoint "
        f"up to {checkpoint_gb:,.1f} GB, the model alone {4 * total / 1e9:,.1f} GB"
    )


def _of_stage(stage: StagePlan, plan: Plan) -> Iterator[str]:
    yield (
        f"{stage.stage}: {stage.num_steps:,} steps of {stage.rows} rows of {stage.context:,} "
        f"({stage.num_steps * stage.rows * stage.context / 1e9:.1f}B positions"
        + (f"; the paper counts {stage.paper_tokens / 1e9:.0f}B tokens" if stage.paper_tokens else "")
        + f"), trains {stage.trained / 1e9:.2f}B: {', '.join(stage.modules)}"
    )
    verdict = "fits" if stage.configured.fits else "DOES NOT FIT"
    yield f"  as configured {verdict} in {plan.usable_gib:.0f} GiB: {_setting(stage.configured)}"
    yield f"    {_parts(stage.configured.memory)}"
    if stage.fitting:
        yield "  fits with " + "; or ".join(_setting(one) for one in stage.fitting)
    else:
        yield "  no setting fits: more cards, cards with more memory, or a shorter context"
    yield (
        f"  {stage.flops_a_position / 1e9:.2f} GFLOP a position, {stage.repeated_share:.0%} more to save memory; "
        f"{stage.days:,.1f} days, {stage.gpu_hours:,.0f} GPU-hours"
        + (f"; slower over links of less than {stage.links_gb_a_second:,.0f} GB/s a card" if plan.gpus > 1 else "")
    )
    yield (
        f"  disk: sequences {stage.tokens_gb:,.0f} GB were each read once; a checkpoint {stage.checkpoint_gb:,.1f} GB, "
        f"written {stage.num_checkpoints} times"
    )


def _setting(setting: Setting) -> str:
    return (
        f"recomputation {setting.recomputation}, {setting.micro_rows} rows a pass, {setting.num_passes} passes a step: "
        f"{setting.memory.peak / GIB:.1f} GiB a rank"
    )


def _parts(memory: Memory) -> str:
    names = ("weights", "gradients", "optimizer", "reference", "gathered", "whole", "kept", "passing")
    parts = ", ".join(f"{name} {getattr(memory, name) / GIB:.1f}" for name in names if getattr(memory, name))
    return f"{parts} GiB; fullest at: {memory.moment}"
