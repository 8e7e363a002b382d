"""Days, disk and what fits, of the sizes that the paper has."""

import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.stages.table import ALL_STAGES, stage_config
from uniaudio.training.plan.cards import CARDS
from uniaudio.training.plan.compute import Counts, flops_of
from uniaudio.training.plan.memory import RECOMPUTATIONS, Pass, traffic_of
from uniaudio.training.plan.report import memory_of_rows, plan_stages
from uniaudio.training.plan.words import lines_of
from uniaudio.training.plan.work import WORK, config_of


def test_every_stage_has_its_work_and_shares_add_up() -> None:
    assert WORK.keys() == ALL_STAGES.keys()
    for work in WORK.values():
        assert work.text_targets <= 1 - work.audio
        assert work.audio_targets <= work.audio


def test_one_80_gb_card_cannot_train_the_paper_and_eight_can() -> None:
    alone, eight = (plan_stages("paper_3b", gpus=gpus, gpu="h100", stages=["stage3"]).stages[0] for gpus in (1, 8))
    assert not alone.configured.fits
    assert not alone.fitting
    assert eight.configured.fits
    assert {setting.recomputation for setting in eight.fitting} == set(RECOMPUTATIONS)


def test_what_is_said_to_fit_is_the_most_that_does() -> None:
    usable = CARDS["h100"].usable
    for stage in plan_stages("paper_3b", gpus=8, gpu="h100", stages=[*ALL_STAGES]).stages:
        config = stage_config(stage.stage, "paper_3b")
        for setting in stage.fitting:
            assert setting.memory.peak <= usable
            more = 2 * setting.micro_rows
            if more <= config.num_rows // 8:
                memory = memory_of_rows(
                    config_of("paper_3b"), config, micro_rows=more, recomputation=setting.recomputation, gpus=8
                )
                assert memory.peak > usable


def test_days_are_operations_over_rate() -> None:
    stage = plan_stages("paper_3b", gpus=64, gpu="h100", mfu=0.5, stages=["stage3"]).stages[0]
    positions = 500_000 * 96 * 1024
    assert stage.gpu_hours == pytest.approx(positions * stage.flops_a_position / (989e12 * 0.5) / 3600)
    assert stage.days == pytest.approx(stage.gpu_hours / 64 / 24)
    # All of it learns: six operations a weight of the trunk, and what attention and the heads add.
    assert 6 * 3.3e9 < stage.flops_a_position < 1.4 * 6 * 3.3e9


def test_more_passes_ask_for_faster_links_and_one_card_for_none() -> None:
    few, many, one = (
        plan_stages("paper_3b", gpus=gpus, gpu="h100", stages=["stage4"]).stages[0] for gpus in (32, 8, 1)
    )
    assert one.links_gb_a_second == 0.0
    # Blocks twice and the root once in bfloat16, and gradients in float32, of 4.86B parameters of which 3.32B are in blocks.
    step_s = 32 * 2048 * few.flops_a_position / (32 * 989e12 * 0.4)
    assert few.links_gb_a_second == pytest.approx(31 / 32 * (2 * (4.863 + 3.322) + 4 * 4.863) / step_s, rel=1e-3)
    assert many.links_gb_a_second < few.links_gb_a_second


def test_warm_up_stages_cost_less_a_position_than_joint_ones() -> None:
    cost = {stage.stage: stage.flops_a_position for stage in plan_stages("paper_3b", gpus=8, gpu="h100").stages}
    assert max(cost["stage1"], cost["stage2"]) < cost["stage3"] < cost["stage4"]


def test_what_comes_after_the_paper_is_planned_where_it_is_asked_for() -> None:
    five, six = plan_stages("paper_3b", gpus=8, gpu="h100", stages=["stage5", "stage6"]).stages
    assert "stage5" not in {stage.stage for stage in plan_stages("paper_3b", gpus=8, gpu="h100").stages}
    assert (five.num_steps, five.rows, five.context, five.paper_tokens) == (20_000, 32, 2048, 0.0)
    assert five.configured.memory.reference == 0
    assert five.configured.fits and six.configured.fits
    # A frozen copy in float32, a part on each card; it is read forward once.
    assert six.configured.memory.reference == six.configured.memory.weights == 4 * 4_863_493_120 // 8
    assert six.configured.memory.peak > six.configured.memory.reference + six.configured.memory.state


def test_a_reference_is_a_third_more_work_and_a_third_more_traffic() -> None:
    """Two of six operations a weight, and one of three gathers of a block; of the rest of the traffic it has no gradients."""
    config = stage_config("stage6", "paper_3b")
    model = config_of("paper_3b")
    work = WORK["stage6"]
    positions = config.num_rows * config.context
    counts = Counts(
        positions=positions,
        text_targets=work.text_targets * positions,
        audio_targets=work.audio_targets * positions,
        document=1024,
    )
    alone = sum(flops_of(model, config.trains, counts).values()) / positions
    (planned,) = plan_stages("paper_3b", gpus=8, gpu="h100", stages=["stage6"]).stages
    assert planned.flops_a_position / alone == pytest.approx(4 / 3, rel=0.03)
    given = Pass(positions=0, text_targets=0, audio_targets=0, num_ranks=8, num_passes=4)
    with_it, without = (traffic_of(model, config.trains, given, has_reference=has) for has in (True, False))
    assert with_it - without == pytest.approx(7 / 8 * 4 * 2 * 4_863_493_120, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "must be one of"),
        ({"gpu": "tpu"}, "`gpu` must be one of a100-40, .* but is 'tpu'"),
        ({"gpus": 0}, "`gpus` must be 1 or more, but is 0"),
        ({"mfu": 1.5}, "`mfu` must be more than 0 and at most 1, but is 1.5"),
        ({"stages": ["stage9"]}, "`stage` must be one of"),
    ],
)
def test_what_cannot_be_planned_is_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_stages(**{"size": "paper_3b", "gpus": 8, "gpu": "h100", **options})


def test_lines_say_what_does_not_fit() -> None:
    text = "\n".join(lines_of(plan_stages("paper_3b", gpus=1, gpu="a100", stages=["stage3"])))
    assert "4.86B parameters" in text
    assert "DOES NOT FIT in 72 GiB" in text
    assert "no setting fits" in text
