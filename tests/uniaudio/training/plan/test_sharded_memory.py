"""Planned memory is what a rank of two takes, within a tenth: weights gathered and let go, gradients whole and summed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import json, sys
from datetime import timedelta
from pathlib import Path
import torch
from torch import distributed
from tests.uniaudio.training.live_bytes import ResizedLiveBytes
from tests.uniaudio.training.plan.conftest import EVEN, POSITIONS, a_batch, a_config, a_model
from uniaudio.lm.blocks import Block
from uniaudio.stages.table import stage_config
from uniaudio.training.lm.losses import LossModel, loss_sums, total_loss
from uniaudio.training.plan.memory import Pass, memory_of
from uniaudio.training.sharding import shard, sums_gradients

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2,
                               timeout=timedelta(seconds=60))

def local(tensor):
    return getattr(tensor, "_local_tensor", tensor)

def measured(stage, precision, recomputation, num_passes, audio):
    model = a_model(a_config(), stage_config(stage).trains, recomputation)
    root, trunk = LossModel(model), (model.understanding_expert, model.backbone, model.generation_expert)
    blocks = [module for stack in trunk for module in stack.modules() if isinstance(module, Block)]
    shard(root, blocks, device=torch.device("cpu"), shard_over=0, precision=precision)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, batch = torch.optim.AdamW(learned), a_batch(audio=audio, num_documents=2)

    def step():
        for number in range(num_passes):
            sums_gradients(root, number == num_passes - 1)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                loss = total_loss(loss_sums(root, batch, "loss_frames", has_audio=True), EVEN)
            loss.backward()
            del loss
        optimizer.step()

    step()
    moments = [local(tensor) for state in optimizer.state.values() for tensor in state.values()]
    gradients = [local(parameter.grad) for parameter in learned]
    with ResizedLiveBytes([*map(local, model.parameters()), *gradients, *moments]) as live:
        step()
    return live.peak

found = []
for stage, precision, recomputation, num_passes, audio in json.loads(sys.argv[3]):
    targets = {"text_targets": 0 if audio else POSITIONS, "audio_targets": POSITIONS if audio else 0}
    given = Pass(positions=POSITIONS, **targets, precision=precision, recomputation=recomputation, num_ranks=2,
                 num_passes=num_passes)
    planned = memory_of(a_config(), stage_config(stage).trains, given)
    found.append((planned.peak, measured(stage, precision, recomputation, num_passes, audio)))
(folder / f"{rank}.json").write_text(json.dumps(found))
"""
CASES = [
    ("stage3", "bfloat16", "none", 1, False),
    ("stage3", "bfloat16", "blocks", 1, True),
    ("stage3", "bfloat16", "blocks", 2, False),
    ("stage3", "float32", "selective", 1, False),
    ("stage2", "bfloat16", "blocks", 2, True),
]


@pytest.mark.slow
def test_a_rank_of_two_takes_what_is_planned(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank), json.dumps(CASES)], env=environment) for rank in range(2)]
    try:
        assert [process.wait(280) for process in ranks] == [0, 0]
    finally:
        for process in ranks:
            process.kill()
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(found) == len(CASES)
        for planned, taken in found:
            assert planned == pytest.approx(taken, rel=0.1)
