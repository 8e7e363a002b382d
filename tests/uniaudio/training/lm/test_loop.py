import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from uniaudio_schemas.errors import DataError, TrainingError, UsageError

from uniaudio.lm import bare
from uniaudio.lm.model import UniAudioLM
from uniaudio.products import linear
from uniaudio.stages.config import StageConfig
from uniaudio.stages.schedule import SKIP_WINDOW
from uniaudio.training.checkpoint import STATE_FILE, TrainingState
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.train import StageResult, train_stage
from uniaudio.training.lm.weights import MODEL_FILE, load_model
from uniaudio.training.optim import learning_rate
from uniaudio.training.run import Listeners, Progress
from uniaudio.training.sequences.dataset import SequenceSet
from uniaudio.training.sharding import full_tensors

SHARD = "shard-00001-model-00001-of-00001.safetensors"


def keep_in(folder: Path) -> Listeners:
    """Saves every checkpoint below `folder`, named by its step."""

    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        save(folder / str(state.step))

    return Listeners(on_checkpoint=keep)


def train(sequences: SequenceSet, stage: StageConfig, **options) -> tuple[StageResult, dict[str, Tensor]]:
    model = tiny_lm()
    result = train_stage(model, stage, MixtureData(sequences, tiny_vocabulary(), stage, 0), **options)
    return result, model.state_dict()


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_training_twice_gives_the_same_bits(sequences: SequenceSet, stage: StageConfig) -> None:
    assert_same_bits(train(sequences, stage)[1], train(sequences, stage)[1])


def test_a_resumed_run_ends_at_the_same_bits(sequences: SequenceSet, stage: StageConfig, tmp_path: Path) -> None:
    result, weights = train(sequences, stage, listeners=keep_in(tmp_path / "whole"))
    resumed, again = train(
        sequences, stage, resume_from=tmp_path / "whole" / "2", listeners=keep_in(tmp_path / "resumed")
    )
    assert_same_bits(weights, again)
    assert resumed == result
    whole, later = tmp_path / "whole" / "4", tmp_path / "resumed" / "4"
    assert (whole / STATE_FILE).read_bytes() == (later / STATE_FILE).read_bytes()
    assert_same_bits(load_file(whole / SHARD), load_file(later / SHARD))


def test_a_run_resumed_at_its_end_says_what_it_said_there(
    sequences: SequenceSet, stage: StageConfig, tmp_path: Path
) -> None:
    result, _ = train(sequences, stage, listeners=keep_in(tmp_path))
    assert train(sequences, stage, resume_from=tmp_path / "4")[0] == result


def test_what_learns_is_in_train_mode_in_each_step_and_what_is_frozen_never(
    sequences: SequenceSet, stage: StageConfig
) -> None:
    stage, model, modes = replace(stage, trains=("backbone",), num_steps=1), tiny_lm(), []
    model.backbone.register_forward_pre_hook(
        lambda *_: modes.append((torch.is_grad_enabled(), model.backbone.training, model.text_head.training))
    )
    train_stage(model, stage, MixtureData(sequences, tiny_vocabulary(), stage, 0))
    assert set(modes) == {(True, True, False), (False, False, False)}


def test_held_out_loss_falls_for_every_task(sequences: SequenceSet, long_stage: StageConfig) -> None:
    result, _ = train(sequences, long_stage)
    assert set(result.held_out) == {"text_only", "audio_only", "asr", "tts", "auditory_sentences"}
    for losses in result.held_out.values():
        assert losses.after < losses.before - 0.5
        assert losses.num_sequences == 3
        assert losses.low is not None
        assert losses.high is not None
        assert losses.low < losses.after < losses.high


def test_the_ledger_says_what_was_trained_on(sequences: SequenceSet, stage: StageConfig) -> None:
    result, _ = train(sequences, stage)
    positions = [entry["num_tokens"] for entry in result.ledger.values()]
    assert 0 < sum(positions) <= stage.num_steps * stage.num_rows * stage.context
    assert result.num_drawn >= sum(entry["num_examples"] for entry in result.ledger.values())


def broken_lm() -> UniAudioLM:
    """Text without a number, so that steps of text have no gradient."""
    model = tiny_lm()
    with torch.no_grad():
        model.text_head.weight[0] = float("nan")
    return model


def test_a_gradient_that_is_not_finite_skips_the_step_and_is_counted(
    sequences: SequenceSet, stage: StageConfig
) -> None:
    model = broken_lm()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    only_text = replace(stage, mixture=(replace(stage.mixture[0], weights=(("text_only", 1.0),)),))
    result = train_stage(model, only_text, MixtureData(sequences, tiny_vocabulary(), only_text, 0))
    assert result.state.skipped == [0, 1, 2, 3]
    assert all(
        torch.equal(before[name].nan_to_num(), tensor.nan_to_num()) for name, tensor in model.state_dict().items()
    )


def test_a_stage_that_skips_too_much_ends_with_its_reason(sequences: SequenceSet, stage: StageConfig) -> None:
    only_text = replace(stage, mixture=(replace(stage.mixture[0], weights=(("text_only", 1.0),)),), max_skipped=2)
    with pytest.raises(
        TrainingError, match=r"stage3 stops at step 2: its gradient has the norm nan, and 3 of the last 3"
    ):
        train_stage(broken_lm(), only_text, MixtureData(sequences, tiny_vocabulary(), only_text, 0))


def test_too_many_skips_go_back_to_the_last_checkpoint_and_on_with_other_data(
    sequences: SequenceSet, stage: StageConfig, tmp_path: Path
) -> None:
    """Text without a number in steps 2 and 3 alone: the weights are broken behind the checkpoint of step 2, once."""
    stage = replace(stage, num_steps=6, max_skipped=0, max_rollbacks=1)
    model, broken = tiny_lm(), []

    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        save(tmp_path / str(state.step))

    def break_once(progress: Progress) -> None:
        if progress.step == 3 and not broken:
            broken.append(progress.step)
            model.text_head.weight.data.fill_(float("nan"))

    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    listeners = Listeners(
        on_checkpoint=keep, on_progress=break_once, last_checkpoint=lambda: nullcontext(tmp_path / "2")
    )
    result = train_stage(model, stage, data, listeners=listeners)
    assert (result.state.step, result.state.num_rollbacks, result.state.skipped) == (6, 1, [])
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    # Four steps before it went back, and four after.
    assert result.state.position["step"] == 8


def test_a_run_goes_on_from_a_checkpoint_behind_a_logged_step_that_was_skipped(
    sequences: SequenceSet, stage: StageConfig, tmp_path: Path
) -> None:
    only_text = replace(stage, mixture=(replace(stage.mixture[0], weights=(("text_only", 1.0),)),))
    data = MixtureData(sequences, tiny_vocabulary(), only_text, 0)
    result = train_stage(broken_lm(), only_text, data, listeners=keep_in(tmp_path))
    resumed, _ = train(sequences, only_text, resume_from=tmp_path / "2")
    assert resumed.state == result.state
    assert resumed.state.skipped == [0, 1, 2, 3]


def test_a_run_goes_back_to_a_checkpoint_in_front_of_the_first_step_of_the_optimizer(
    sequences: SequenceSet, stage: StageConfig, tmp_path: Path
) -> None:
    """Steps 0 and 1 are skipped, 2 is done, 3 is the third that is skipped."""
    only_text = (replace(stage.mixture[0], weights=(("text_only", 1.0),)),)
    stage = replace(stage, mixture=only_text, num_steps=5, max_skipped=2, max_rollbacks=1)
    model, whole, seen = broken_lm(), tiny_lm().text_head.weight.detach(), []

    def heal_and_break(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step == 2:
            model.text_head.weight.data.copy_(whole)
        if seen == [1, 2, 3]:
            model.text_head.weight.data.fill_(float("nan"))

    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        if state.step == 2:
            model.text_head.weight.data.copy_(whole)
            save(tmp_path / "2")

    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    listeners = Listeners(
        on_checkpoint=keep, on_progress=heal_and_break, last_checkpoint=lambda: nullcontext(tmp_path / "2")
    )
    result = train_stage(model, stage, data, listeners=listeners)
    assert seen == [1, 2, 3, 3, 4, 5]
    assert (result.state.num_rollbacks, result.state.skipped) == (1, [0, 1])


def test_a_spike_of_the_loss_is_skipped(sequences: SequenceSet, stage: StageConfig) -> None:
    stage = replace(stage, num_steps=SKIP_WINDOW + 2, learning_rate=1e-4, spike_ratio=1.5, checkpoint_every=1000)
    model = tiny_lm()

    def blow_up(progress: Progress) -> None:
        if progress.step == SKIP_WINDOW:
            model.text_head.weight.data.mul_(100)

    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    result = train_stage(model, stage, data, listeners=Listeners(on_progress=blow_up))
    assert result.state.skipped == [SKIP_WINDOW, SKIP_WINDOW + 1]


@pytest.mark.slow
def test_bfloat16_learns_as_float32_does(sequences: SequenceSet, long_stage: StageConfig) -> None:
    full, _ = train(sequences, long_stage)
    half, weights = train(sequences, replace(long_stage, precision="bfloat16"))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for task, losses in full.held_out.items():
        assert half.held_out[task].after == pytest.approx(losses.after, abs=0.1)


@pytest.mark.parametrize("recompute", ["blocks", "selective"])
def test_recomputing_activations_changes_no_bit(sequences: SequenceSet, stage: StageConfig, recompute: str) -> None:
    assert_same_bits(train(sequences, stage)[1], train(sequences, replace(stage, recompute=recompute))[1])


def test_rows_may_be_computed_a_few_at_a_time(sequences: SequenceSet, stage: StageConfig) -> None:
    whole, _ = train(sequences, replace(stage, micro_rows=4))
    single, _ = train(sequences, replace(stage, micro_rows=1))
    values = [[point.value for point in result.state.points if "loss" in point.name] for result in (whole, single)]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_a_part_without_a_target_decays_as_every_other(sequences: SequenceSet, stage: StageConfig) -> None:
    only_text = replace(stage, mixture=(replace(stage.mixture[0], weights=(("text_only", 1.0),)),), num_steps=1)
    _, weights = train(sequences, only_text)
    kept = 1 - learning_rate(0, only_text) * only_text.weight_decay
    torch.testing.assert_close(weights["audio_embedding.weight"], kept * tiny_lm().audio_embedding.weight.detach())


def test_training_takes_the_fast_product(
    sequences: SequenceSet, stage: StageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(bare, "linear", lambda *given: calls.append(1) or linear(*given))
    train(sequences, replace(stage, num_steps=1))
    assert calls


def test_progress_is_reported_in_words(sequences: SequenceSet, stage: StageConfig) -> None:
    seen: list[Progress] = []
    train(sequences, stage, listeners=Listeners(on_progress=seen.append))
    assert [progress.step for progress in seen] == [1, 2, 3, 4]
    assert seen[0].line().startswith("stage3 1/4 steps, loss ")


def test_the_process_keeps_its_own_thread_settings(sequences: SequenceSet, stage: StageConfig) -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(sequences, replace(stage, num_steps=1))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_checkpoint_of_another_run_is_refused(sequences: SequenceSet, stage: StageConfig, tmp_path: Path) -> None:
    train(sequences, stage, listeners=keep_in(tmp_path))
    with pytest.raises(UsageError, match="is of another run"):
        train(sequences, replace(stage, learning_rate=3e-3), resume_from=tmp_path / "2")


def test_a_torn_checkpoint_names_its_file(sequences: SequenceSet, stage: StageConfig, tmp_path: Path) -> None:
    train(sequences, stage, listeners=keep_in(tmp_path))
    path = tmp_path / "2" / SHARD
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=SHARD):
        train(sequences, stage, resume_from=tmp_path / "2")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_file(full_tensors(tiny_lm()), tmp_path / MODEL_FILE)
    with pytest.raises(DataError, match="differs in"):
        load_model(tmp_path / MODEL_FILE, replace(tiny_lm().config, text_size=300))


def test_weights_stay_in_their_file_until_they_are_written_to(tmp_path: Path) -> None:
    """Ranks of one machine that shard a model of 5 billion weights must not need 20 GB each."""
    large = replace(tiny_lm().config, text_size=200_000)
    drawn = UniAudioLM(large)
    num_bytes = sum(tensor.nbytes for tensor in drawn.state_dict().values())
    assert num_bytes > 30 << 20
    save_file(full_tensors(drawn), tmp_path / MODEL_FILE)
    before = own_bytes()
    model = load_model(tmp_path / MODEL_FILE, large)
    assert own_bytes() - before < num_bytes / 10
    assert_same_bits(model.state_dict(), drawn.state_dict())
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        model.text_head.weight.zero_()
    assert not torch.equal(load_model(tmp_path / MODEL_FILE, large).text_head.weight, model.text_head.weight)


def own_bytes() -> int:
    """Memory that this process has written to and shares with no file."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty:"))


def test_a_checkpoint_holds_no_pickle(sequences: SequenceSet, stage: StageConfig, tmp_path: Path) -> None:
    train(sequences, stage, listeners=keep_in(tmp_path))
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == [SHARD, STATE_FILE]
    assert json.loads((tmp_path / "2" / STATE_FILE).read_text())["state"]["step"] == 2
    held = load_file(tmp_path / "2" / SHARD)
    assert held["optimizer.model.backbone.norm.weight.exp_avg"].shape == (32,)
    assert held["modules.model.backbone.norm.weight"].shape == (32,)


WORKER = """
import shutil, sys
from pathlib import Path
import torch
from torch import distributed
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
from uniaudio.training.run import Listeners
from uniaudio.training.sharding import full_tensors
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet
from safetensors.torch import save_file

folder, num_steps, rank, world_size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if world_size > 1:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size)
stage = StageConfig(name="stage3", trains=ALL_MODULES, mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
                    num_steps=num_steps, context=96, num_rows=4, micro_rows=2, learning_rate=1e-2, num_threads=1,
                    checkpoint_every=2, log_every=1)
data = MixtureData(SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content"), tiny_vocabulary(), stage, 0)
model = tiny_lm()
saved = sorted((folder / "steps").glob("[0-9]*"), key=lambda path: int(path.name))

def keep(state, save):
    save(folder / "steps" / f"{state.step}.partial")
    if rank == 0:
        (folder / "steps" / f"{state.step}.partial").rename(folder / "steps" / str(state.step))
        print("step", state.step, flush=True)

(folder / "steps").mkdir(exist_ok=True, parents=True)
train_stage(model, stage, data, resume_from=saved[-1] if saved else None, listeners=Listeners(on_checkpoint=keep))
if rank == 0:
    save_file(full_tensors(model), folder / "final.safetensors")
"""


def start_worker(folder: Path, num_steps: int, rank: int = 0, world_size: int = 1) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", WORKER, str(folder), str(num_steps), str(rank), str(world_size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_run_killed_twice_ends_at_the_bits_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = start_worker(tmp_path / "undisturbed", 40)
    assert undisturbed.wait(120) == 0
    for kill_at in ("step 4", "step 16"):
        process = start_worker(tmp_path / "killed", 40)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == kill_at:
                # A moment later, so that the kill falls into a step and not between two.
                time.sleep(0.02)
                process.send_signal(signal.SIGKILL)
        assert process.wait(120) == -signal.SIGKILL
    shutil.rmtree(tmp_path / "killed" / "steps" / "18.partial", ignore_errors=True)
    assert start_worker(tmp_path / "killed", 40).wait(120) == 0
    files = [(tmp_path / name / "final.safetensors").read_bytes() for name in ("undisturbed", "killed")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_two_workers_train_as_one_does(tmp_path: Path) -> None:
    ranks = [start_worker(tmp_path / "two", 6, rank, 2) for rank in range(2)]
    alone = start_worker(tmp_path / "one", 6)
    assert [process.wait(120) for process in (*ranks, alone)] == [0, 0, 0]
    one, two = (load_file(tmp_path / name / "final.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-4, rtol=1e-3)
