"""Preference tuning: the chosen answer becomes likelier than the rejected one, measured against where the stage began."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from tests.uniaudio.training.lm.pairs import TASKS, tiny_pair, tiny_pairs
from uniaudio.sequence.layout import segments_of
from uniaudio.stages.config import ALL_MODULES, PreferenceConfig, StageConfig
from uniaudio.stages.table import stage_config
from uniaudio.training.lm.data import Batch, MixtureData, collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.losses import loss_sums
from uniaudio.training.lm.pairs import pair_of
from uniaudio.training.lm.preference import PairModel, Pairs, PreferenceObjective, preference_loss_sum
from uniaudio.training.lm.train import StageResult, train_stage
from uniaudio.training.run import Listeners
from uniaudio.training.sequences.dataset import SequenceSet

STAGE = replace(
    stage_config("stage6"),
    num_steps=8,
    context=192,
    num_rows=3,
    micro_rows=2,
    learning_rate=1e-2,
    warmup_share=0.1,
    num_threads=1,
    checkpoint_every=4,
    log_every=1,
)


@pytest.fixture(scope="module")
def sequences() -> SequenceSet:
    return SequenceSet.of([to_table([*tiny_sequences(), *tiny_pairs()], Sequence)], "content")


def data_of(sequences: SequenceSet, stage: StageConfig = STAGE) -> MixtureData:
    return MixtureData(sequences, tiny_vocabulary(), stage, 0)


def halves(row: Sequence) -> Batch:
    return collate([[*pair_of(list(segments_of(row)))]], 200)


@pytest.fixture(scope="module")
def trained(
    sequences: SequenceSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StageResult, Path, torch.nn.Module]:
    folder, model = tmp_path_factory.mktemp("run"), tiny_lm()
    keep = Listeners(on_checkpoint=lambda state, save: save(folder / str(state.step)))
    return train_stage(model, STAGE, data_of(sequences), listeners=keep), folder, model


def curve(result: StageResult, name: str) -> list[float]:
    return [point.value for point in result.state.points if point.name == name]


def test_a_pair_becomes_two_documents_with_loss_on_their_answers() -> None:
    row = tiny_pair("preferred_asr", "train", 0)
    chosen, rejected = pair_of(list(segments_of(row)))
    assert len(chosen) + len(rejected) == sum(part.length for part in row.segments)
    num_given = sum(part.length for part in row.segments[:2])
    for grid in (chosen, rejected):
        assert not grid.loss[:num_given].any() and grid.loss[num_given:].all()
    assert (chosen.ids[:num_given] == rejected.ids[:num_given]).all()
    texts = [bytes(grid.ids[num_given:, 8].tolist()).decode() for grid in (chosen, rejected)]
    assert set(texts[0].split()) <= {"la", "mi", "so"} and set(texts[1].split()) <= {"fa", "re", "do"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda segments: segments[:3], "must repeat its request"),
        (lambda segments: [*segments[:3], segments[3], segments[1], segments[5]][:5], "must repeat its request"),
        (lambda segments: [*segments[:5], replace(segments[5], loss=True)], "must repeat its request"),
        (lambda segments: segments[:2], "must have an answer that carries loss"),
        (lambda segments: [*segments[:3], *segments[4:]], "must repeat its request"),
    ],
    ids=["no rejected answer", "ends too soon", "both carry loss", "no answer", "another request"],
)
def test_what_is_no_pair_is_refused(change, message: str) -> None:
    segments = list(segments_of(tiny_pair("preferred_asr", "train", 0)))
    with pytest.raises(DataError, match=message):
        pair_of(change(segments))


@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_the_likelihood_of_a_document_is_that_of_it_alone(task: str) -> None:
    """Of text and of all codes of frames, whatever else the batch holds."""
    model = tiny_lm()
    rows = [tiny_pair(task, "train", number) for number in range(3)]
    grids = [pair_of(list(segments_of(row))) for row in rows]
    batch = collate([[*grids[0], *grids[1]], [*grids[2]]], 400)
    text_BK, audio_BK = (part.view(2, 4) for part in PairModel(model)(batch)[:2])
    places = {(0, 0): grids[0][0], (0, 1): grids[0][1], (0, 3): grids[1][1], (1, 1): grids[2][1]}
    for (row, document), grid in places.items():
        sums = loss_sums(model, collate([[grid]], len(grid)), "loss_frames")
        assert float(text_BK[row, document]) == pytest.approx(-float(sums.text), abs=1e-4)
        assert float(audio_BK[row, document]) == pytest.approx(-float(sums.audio_Q.sum()), abs=1e-4)
    assert not text_BK[1, 2:].any() and not audio_BK[1, 2:].any()


def test_the_loss_is_that_of_the_paper_by_hand() -> None:
    pairs = Pairs(
        chosen_P=torch.tensor([2.0, -1.0]),
        rejected_P=torch.tensor([-3.0, 1.0]),
        likelihood_P=torch.tensor([-9.0, -9.0]),
    )
    expected = sum(-math.log(1 / (1 + math.exp(-0.5 * margin))) for margin in (5.0, -2.0))
    assert float(preference_loss_sum(pairs, 0.5)) == pytest.approx(expected, rel=1e-6)


def test_it_begins_at_the_reference_and_prefers_what_was_chosen_at_the_end(trained) -> None:
    result, _, _ = trained
    assert result.state.num_skipped == 0
    losses, margins = curve(result, "loss"), curve(result, "margin")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert margins[0] == pytest.approx(0.0, abs=1e-4)
    assert losses[-1] < 0.8 * losses[0]
    for task in TASKS:
        before, after = curve(result, f"held_out_margin/{task}")
        assert before == pytest.approx(0.0, abs=1e-4)
        assert after > 5.0
        assert curve(result, f"held_out_accuracy/{task}")[-1] == 1.0
        assert result.held_out[task].num_sequences == 4
    assert curve(result, "chosen_ratio")[-1] > curve(result, "rejected_ratio")[-1]


def test_a_resumed_run_ends_in_the_bits_of_an_undisturbed_one(trained, sequences: SequenceSet) -> None:
    _, folder, whole = trained
    model = tiny_lm()
    train_stage(model, STAGE, data_of(sequences), resume_from=folder / "4")
    assert all(torch.equal(one, whole.state_dict()[name]) for name, one in model.state_dict().items())


def test_a_run_is_not_resumed_from_other_weights_than_it_started_from(trained, sequences: SequenceSet) -> None:
    """They would be the reference, and nothing else would notice."""
    with pytest.raises(UsageError, match="must be a checkpoint of this model"):
        train_stage(tiny_lm(seed=1), STAGE, data_of(sequences), resume_from=trained[1] / "4")


def test_passes_of_one_row_have_the_gradients_of_one_pass(sequences: SequenceSet) -> None:
    gradients = []
    for micro_rows in (1, 3):
        model, stage = tiny_lm(), replace(STAGE, micro_rows=micro_rows, chosen_weight=0.5)
        objective = PreferenceObjective(model, stage, data_of(sequences, stage))
        with torch.no_grad():
            # Away from the reference, where all pairs weigh alike.
            model.text_head.weight.mul_(1.5)
        for loss in objective.losses(0):
            loss.backward()
        gradients.append({name: one.grad for name, one in model.named_parameters()})
        objective.close()
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


def test_the_chosen_answers_loss_is_added_a_token(sequences: SequenceSet) -> None:
    stage = replace(STAGE, chosen_weight=0.5)
    objective = PreferenceObjective(tiny_lm(), stage, data_of(sequences, stage))
    total = sum(float(loss.detach()) for loss in objective.losses(0))
    objective.close()
    values = objective.values()
    # A model that knows nothing: the logarithm of the number of ids.
    assert 4.0 < values["chosen_loss"] < 6.0
    assert total == pytest.approx(values["loss"]) == pytest.approx(math.log(2) + 0.5 * values["chosen_loss"], rel=1e-5)


def test_stage_six_draws_pairs_alone_and_no_other_stage_draws_one(sequences: SequenceSet) -> None:
    assert {draw.group for row in data_of(sequences).next_step().rows for draw in row} == {"preference"}
    other = replace(stage_config("stage5"), context=192)
    assert not other.draws_from({"preference", "asr"})
    assert stage_config("stage3").mixture[0].weight_of("preference") == 0


def test_a_stage_of_pairs_survives_json_and_the_others_are_what_they_were() -> None:
    config = stage_config("stage6", "paper_3b")
    assert isinstance(config, PreferenceConfig) and config.trains == ALL_MODULES
    assert StageConfig.from_dict(config.to_dict()) == config
    assert "beta" not in stage_config("stage5").to_dict()
    assert type(StageConfig.from_dict(stage_config("stage5").to_dict())) is StageConfig
    for change in ({"beta": 0.0}, {"chosen_weight": -1.0}, {"condition_dropout": 0.1}):
        with pytest.raises(UsageError):
            replace(config, **change)
