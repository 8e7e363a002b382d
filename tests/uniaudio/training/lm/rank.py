"""One process of a training run, as torchrun starts it: `python rank.py FOLDER '{"num_steps": 6, …}'`.

Saves checkpoints to FOLDER/<step>, each in a thread while the next steps are computed; the first rank writes
FOLDER/final.safetensors and FOLDER/points.json, every rank FOLDER/bytes-<rank>, what weights and optimizer take of its memory.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
from uniaudio.training.lm import train
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.run import Listeners
from uniaudio.training.sequences.dataset import SequenceSet
from uniaudio.training.sharding import full_tensors

STAGE = StageConfig(
    name="stage3",
    trains=ALL_MODULES,
    mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
    num_steps=6,
    context=96,
    num_rows=5,  # which no number of ranks divides
    micro_rows=2,
    learning_rate=1e-2,
    num_threads=1,
    checkpoint_every=2,
    log_every=1,
)


def local_bytes(tensor: Tensor) -> int:
    return tensor.to_local().nbytes if isinstance(tensor, DTensor) else tensor.nbytes


def main(folder: Path, options: dict) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    stage = StageConfig.from_dict({**STAGE.to_dict(), **options.get("stage", {})})
    data = MixtureData(SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content"), tiny_vocabulary(), stage, 0)
    model, rank = tiny_lm(), int(os.environ.get("RANK", "0"))
    resume_from, held = options.get("resume_from"), {}

    writer = ThreadPoolExecutor(1)

    def keep(state, save) -> None:
        if "written" in held:
            held["written"].result()
        held["written"] = writer.submit(save.copied(), folder / str(state.step))
        held["bytes"] = sum(local_bytes(tensor) for tensor in model.state_dict().values())
        print("step", state.step, flush=True)

    result = train.train_stage(
        model,
        stage,
        data,
        shard_over=options.get("shard_over", 0),
        resume_from=Path(resume_from) if resume_from else None,
        listeners=Listeners(on_checkpoint=keep),
    )
    writer.shutdown()
    held["written"].result()
    tensors = full_tensors(model)
    (folder / f"bytes-{rank}").write_text(str(held["bytes"]))
    if rank == 0:
        save_file(tensors, folder / "final.safetensors")
        values = {f"{point.name}@{point.step}": point.value for point in result.state.points}
        values |= {f"after/{task}": losses.after for task, losses in result.held_out.items()}
        values |= {f"unigram/{task}": losses.unigram for task, losses in result.held_out.items()}
        (folder / "points.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
