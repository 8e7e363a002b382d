"""Two ranks against one: rows a second of the starter's trunk at a fifth of its depth, each rank with one thread.

pytest -m bench -s tests/bench/test_ranks.py
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
NUM_LAYERS, NUM_ROWS, NUM_STEPS, CONTEXT = 6, 8, 1, 256


def measure(folder: Path) -> None:
    """Seconds a step, behind the first one, of this rank; written by the first."""
    import time

    from torch import distributed
    from uniaudio_schemas.kinds.record import to_table
    from uniaudio_schemas.kinds.sequences import Sequence

    from uniaudio.lm.config import LMConfig
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
    from uniaudio.training.lm.data import MixtureData
    from uniaudio.training.lm.doubles import tiny_sequences, tiny_vocabulary
    from uniaudio.training.lm.train import train_stage
    from uniaudio.training.run import Listeners
    from uniaudio.training.sequences.dataset import SequenceSet

    if int(os.environ["WORLD_SIZE"]) > 1:
        distributed.init_process_group("gloo")
    config = LMConfig.preset("starter", tiny_vocabulary())
    stage = StageConfig(
        name="stage3",
        trains=ALL_MODULES,
        mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
        num_steps=NUM_STEPS + 1,
        context=CONTEXT,
        num_rows=NUM_ROWS,
        micro_rows=4,
        learning_rate=1e-4,
        num_threads=1,
        num_held_out=1,
    )
    data = MixtureData(SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content"), tiny_vocabulary(), stage, 0)
    model = UniAudioLM(replace(config, backbone=replace(config.backbone, num_layers=NUM_LAYERS)))
    ended: list[float] = []
    train_stage(
        model,
        stage,
        data,
        shard_over=int(os.environ["SHARD_OVER"]),
        listeners=Listeners(on_progress=lambda _: ended.append(time.monotonic())),
    )
    if os.environ["RANK"] == "0":
        (folder / "seconds.json").write_text(json.dumps((ended[-1] - ended[0]) / NUM_STEPS))


def seconds_a_step(folder: Path, world_size: int, shard_over: int) -> float:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world_size)}
    environment |= {"OMP_NUM_THREADS": "1", "SHARD_OVER": str(shard_over)}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(folder)], env={**environment, "RANK": str(rank)})
        for rank in range(world_size)
    ]
    assert [rank.wait(1200) for rank in ranks] == [0] * world_size
    return float(json.loads((folder / "seconds.json").read_text()))


def test_two_ranks_against_one(tmp_path: Path) -> None:
    alone = seconds_a_step(tmp_path / "one", 1, 1)
    for name, shard_over in (("copied", 1), ("sharded", 0)):
        together = seconds_a_step(tmp_path / name, 2, shard_over)
        print(f"one rank {alone:.2f} s a step, two ranks {name} {together:.2f} s: {alone / together:.2f} times")
    print(f"largest resident set of a rank: {peak_gib():.2f} GiB")


def peak_gib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
