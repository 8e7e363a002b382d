"""From a training step back to its examples, without a model and without torch: the order is a function of data, stage and seed alone."""

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.order import MixtureOrder, StepPlan, order_key
from uniaudio.training.sequences.dataset import SequenceSet
from uniaudio.training.sequences.examples import Examples


def stage_order(sequences: SequenceSet, stage: StageConfig, seed: int) -> tuple[dict[str, Examples], MixtureOrder]:
    """The examples of each mixture group, and the order in which the stage draws them, at step 0."""
    groups = sequences.groups(max_length=stage.context)
    order = MixtureOrder(
        lengths={group: examples.lengths for group, examples in groups.items()},
        loss_tokens={group: examples.num_loss for group, examples in groups.items()},
        mixture=stage.mixture,
        context=stage.context,
        num_rows=stage.num_rows,
        key=order_key([sequences.content_id], seed),
        size_exponent=stage.size_exponent,
    )
    return groups, order


def step_plan(order: MixtureOrder, step: int) -> StepPlan:
    """Step `step` (from 0) of a fresh order; a pass over those before it."""
    while order.step < step:
        order.next_step()
    return order.next_step()


def sequence_ids_of_step(sequences: SequenceSet, stage: StageConfig, seed: int, step: int) -> list[str]:
    """The examples of a step, in the order of its rows; one that it repeats is there again."""
    if not 0 <= step < stage.num_steps:
        raise UsageError(f"`step` must lie in 0 … {stage.num_steps - 1}, but is {step}.")
    groups, order = stage_order(sequences, stage, seed)
    plan = step_plan(order, step)
    return [sequences.sequence_id(groups[draw.group], draw.index) for row in plan.rows for draw in row]
