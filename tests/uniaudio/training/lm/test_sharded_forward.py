"""Two ranks of a sharded model compute the loss and the gradients of one, whatever each rank's rows hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "text targets on rank 0, audio targets on rank 1": ("asr", "tts", "none"),
    "no audio on rank 0": ("text_only", "audio_only", "blocks"),
    "no target on rank 1": ("tts", "no text_only", "selective"),
    "no text target anywhere": ("tts", "audio_only", "none"),
    "compiled blocks": ("asr", "tts", "selective compiled"),
    "logits in chunks": ("asr", "tts", "blocks chunked"),
}
"""The tasks of both ranks' rows, and what is recomputed."""
WORKER = """
import json, sys
from datetime import timedelta
from pathlib import Path
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from uniaudio.sequence.layout import grid_of
from uniaudio.training.lm import losses as losses_module
from uniaudio.training.lm.data import collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequence
from uniaudio.training.lm.losses import LossModel, LossWeights, count_targets, loss_sums, total_loss

folder, cases, rank = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2,
                               timeout=timedelta(seconds=30))
mesh = init_device_mesh("cpu", (2,))

def a_batch(tasks):
    grids = [grid_of(tiny_sequence(task.removeprefix("no "), "train", 0)) for task in tasks]
    for task, grid in zip(tasks, grids):
        grid.loss[:] &= not task.startswith("no ")
    return collate([[grid] for grid in grids], max(len(grid.ids) for grid in grids))

def a_loss_model(recomputation):
    model = tiny_lm()
    model.set_recomputation(recomputation.split()[0])
    if recomputation.endswith("compiled"):
        model.compile_blocks("aot_eager")
    return LossModel(model)

def shard(losses):
    model = losses.model
    for stack in (model.backbone, model.understanding_expert.stack, model.generation_expert.stack):
        for block in stack.layers:
            fully_shard(block, mesh=mesh)
    fully_shard(losses, mesh=mesh)
    for module in losses.modules():
        if isinstance(module, FSDPModule):
            # The loss is divided by the counts of the whole step, so gradients are summed; gloo has no mean.
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)

def step(losses, batch, whole):
    sums = loss_sums(losses, batch, "loss_frames", has_audio=bool(whole.is_audio_BS.any()))
    weights = LossWeights(text=1.6, audio=1.0, streams=(2.0,) * 3 + (1.0,) * 5)
    loss = total_loss(sums, weights, count_targets(whole, "loss_frames"))
    loss.backward()
    return loss.detach()

found = {}
for name, (*tasks, recomputation) in cases.items():
    losses_module.MAX_LOGITS = 2000 if recomputation.endswith("chunked") else 1 << 26
    batch, alone, sharded = a_batch(tasks), a_loss_model(recomputation), a_loss_model(recomputation)
    shard(sharded)
    held, whole = (sum(getattr(p, "to_local", lambda: p)().numel() for p in m.parameters()) for m in (sharded, alone))
    expected = step(alone, batch, batch)
    for _ in range(2):
        sharded.zero_grad()
        loss = step(sharded, batch.rows(rank, rank + 1), batch)
    distributed.all_reduce(loss)
    worst, learned = float((loss - expected).abs()), 0
    for one, two in zip(alone.parameters(), sharded.parameters()):
        assert (one.grad is None) == (two.grad is None)
        if one.grad is not None:
            learned += 1
            worst = max(worst, float((one.grad - two.grad.full_tensor()).abs().max()))
    found[name] = {"worst": worst, "share": held / whole, "learned": learned}
(folder / f"{rank}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_two_ranks_find_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", WORKER, str(tmp_path), json.dumps(CASES)]
    ranks = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(2)]
    try:
        assert [process.wait(200) for process in ranks] == [0, 0]
    finally:
        for process in ranks:
            process.kill()
    found = json.loads((tmp_path / "0.json").read_text())
    assert found.keys() == CASES.keys()
    for values in found.values():
        assert values["worst"] < 1e-6
        assert 0.4 < values["share"] < 0.6
        assert values["learned"] > 40
