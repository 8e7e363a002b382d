"""Train a language model on rows of `sequences`, with torch, numpy, pyarrow and safetensors alone.

python examples/train_tiny.py                               made sequences, which a model of 100,000 parameters learns in seconds
python examples/train_tiny.py --store data/store            those of a store, at size debug
python examples/train_tiny.py --steps 200 --out trained     longer, and the weights kept
torchrun --nproc-per-node 2 examples/train_tiny.py          two ranks share the rows of each step; the losses are the same

`examples/train_starter.py` trains one that hears and speaks.
"""

import argparse
import os
from dataclasses import replace

from torch import distributed
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.store import Store

from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.table import stage_config
from uniaudio.testing import tiny_lm, tiny_sequences
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet


def open_sequences(store: str | None) -> tuple[SequenceSet, Vocabulary, UniAudioLM]:
    """The sequences, their ids, and a freshly drawn model of the right sizes."""
    if store is None:
        table = to_table(tiny_sequences(num_train=12), Sequence)
        return SequenceSet.of([table], "made"), Vocabulary(), tiny_lm()
    opened = Store(store)
    manifest = opened.head("sequences")
    if manifest is None:
        raise SystemExit(f"{store} holds no sequences yet: `uniaudio make sequences` makes them")
    sequences = SequenceSet.open(opened, manifest)
    vocabulary = Vocabulary.from_json(sequences.required_metadata("vocabulary"))
    return sequences, vocabulary, UniAudioLM(LMConfig.preset("debug", vocabulary))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a small language model on sequences.")
    parser.add_argument("--store", help="a store that holds sequences")
    parser.add_argument("--steps", type=int, default=30, help="optimizer steps")
    parser.add_argument("--out", help="folder for the trained weights")
    options = parser.parse_args(arguments)

    if "WORLD_SIZE" in os.environ:  # torchrun started this process as one of several
        distributed.init_process_group("gloo")
    sequences, vocabulary, model = open_sequences(options.store)
    # A stage is a frozen dataclass: what it trains, on which mixture, how long. Any field may be replaced.
    stage = replace(
        stage_config("stage3"),
        num_steps=options.steps,
        context=96 if options.store is None else 768,
        num_rows=2,
        micro_rows=1,
        num_threads=1,
    )
    # Each rank has a copy of this small model; without `shard_over` weights, gradients and optimizer are shared out.
    result = train_stage(model, stage, MixtureData(sequences, vocabulary, stage, seed=0), shard_over=1)
    if distributed.is_initialized() and distributed.get_rank():
        return

    print(f"{'task':<24}{'before':>8}{'after':>8}{'unigram':>9}{'uniform':>9}   nats a token, held out")
    for task, loss in sorted(result.held_out.items()):
        print(f"{task:<24}{loss.before:>8.3f}{loss.after:>8.3f}{loss.unigram:>9.3f}{loss.uniform:>9.3f}")
    if options.out:
        model.save(options.out)
        print(f"weights in {options.out}")


if __name__ == "__main__":
    main()
