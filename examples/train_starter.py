"""Train the language model in `models/starter` anew, from files of this repository and with torch, numpy, pyarrow and safetensors alone.

torchrun --nproc-per-node 2 examples/train_starter.py --out trained          an hour on two cores; cut off, the same command goes on
python examples/train_starter.py --out trained --steps 20                    a first look

Reads    examples/voices.arrow, examples/sounds.arrow: what is in them says examples/SOURCES.md
         models/starter/codec: the codec whose codes these are
Writes   OUT/config.json, model.safetensors, vocabulary.json, uniaudio.json; OUT/training, from which it goes on
"""

import argparse
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow.ipc
from torch import distributed
from uniaudio_schemas.fingerprint import hash_file, hash_json, short

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.run.folder import write_about
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.config import MixturePhase, StageConfig
from uniaudio.stages.table import stage_config
from uniaudio.training.checkpoint import STATE_FILE, Checkpoint, TrainingState
from uniaudio.training.lm.code_vectors import start_from_code_vectors
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.train import train_stage
from uniaudio.training.run import Listeners, Progress
from uniaudio.training.sequences.dataset import SequenceSet

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "examples" / "voices.arrow", ROOT / "examples" / "sounds.arrow")
CODEC = ROOT / "models" / "starter" / "codec"
MIXTURE = {"asr": 1.0, "tts": 1.0, "audio_caption": 0.3, "text_to_sound": 0.1, "audio_understanding": 0.1}
"""Shares of the tokens of a step, each times the square root of what its group has."""
CHECKPOINT_EVERY = 200
"""Steps."""


def stage_of(num_steps: int) -> StageConfig:
    """Stage 3 of the starter, on what the files hold."""
    return replace(
        stage_config("stage3", "starter"),
        num_steps=num_steps,
        mixture=(MixturePhase(first_step=0, weights=tuple(MIXTURE.items())),),
        learning_rate=2e-3,
        num_threads=1,
        micro_rows=1,
        checkpoint_every=CHECKPOINT_EVERY,
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest that was written to its end, which its state is."""
    whole = [path.parent for path in folder.glob(f"*/{STATE_FILE}")]
    return max(whole, key=lambda path: int(path.name), default=None)


def listeners_of(training: Path, is_first: bool) -> Listeners:
    """What keeps checkpoints in `training` and, on the first rank, tells how far it is."""

    def keep(state: TrainingState, save: Checkpoint) -> None:
        save(training / str(state.step))
        if is_first:
            for folder in training.iterdir():
                if int(folder.name) < state.step:
                    shutil.rmtree(folder)

    def tell(progress: Progress) -> None:
        if progress.step < 3 or progress.step % 20 == 0:
            print(progress.line(), flush=True)

    def tell_held_out(part: str, step: int, losses: Mapping[str, float]) -> None:
        told = ", ".join(f"{name.rpartition('/')[2]} {loss:.3f}" for name, loss in losses.items())
        print(f"step {step}: held out, nats a token: {told}", flush=True)

    return Listeners(
        on_checkpoint=keep,
        on_progress=tell if is_first else None,
        on_held_out=tell_held_out if is_first else None,
        hold_out_every=CHECKPOINT_EVERY,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the starter's language model.")
    parser.add_argument("--steps", type=int, default=2000, help="of 4 rows of 1,024 positions (default 2000)")
    parser.add_argument("--out", required=True, help="folder for the weights, and for what training goes on from")
    options = parser.parse_args(arguments)

    if "WORLD_SIZE" in os.environ:  # torchrun started this process as one of several
        distributed.init_process_group("gloo")
    is_first = not distributed.is_initialized() or distributed.get_rank() == 0
    out = Path(options.out)
    tables = [pyarrow.ipc.open_file(file).read_all() for file in FILES]
    sequences = SequenceSet.of(tables, short(hash_json([hash_file(file) for file in FILES])))
    vocabulary = Vocabulary.from_json(sequences.required_metadata("vocabulary"))
    codec = ReasoningCodec.load(CODEC)
    model = UniAudioLM(LMConfig.preset("starter", vocabulary))
    start_from_code_vectors(model, vocabulary, codec)
    stage = stage_of(options.steps)
    train_stage(
        model,
        stage,
        MixtureData(sequences, vocabulary, stage, seed=0),
        shard_over=1,  # each rank has a copy of this small model
        resume_from=last_checkpoint(out / "training"),
        listeners=listeners_of(out / "training", is_first),
    )
    if is_first:
        model.save(out)
        (out / "vocabulary.json").write_text(vocabulary.to_json(), encoding="utf-8")
        write_about(out, sequences.groups(max_length=1 << 20), codec.fingerprint)
        print(f"weights in {out}: `uniaudio run asr CLIP.wav --model {out} --codec {CODEC}`")


if __name__ == "__main__":
    main()
