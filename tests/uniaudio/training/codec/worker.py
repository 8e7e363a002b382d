"""A training process of its own, which a test can kill or run beside another one.

`python worker.py CLIPS.npz FOLDER PHASES KILL_AT`: trains, checkpoints to FOLDER/<phase>-<step>, kills itself after step
KILL_AT of the last phase (0: never); prints the fingerprint at the end. Two of them share the work where torch's
environment variables of a distributed run are set.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.distributed as dist

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase, GrpoSettings
from uniaudio.stages.codec_phases import codec_phases
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners, Progress


def worker_phases(names: list[str]) -> list[CodecPhase]:
    settings = GrpoSettings(num_rollouts=2, max_answer_tokens=12, num_inner_steps=2)
    sizes = {"num_clips": 4, "crop_samples": 19_200, "num_held_out": 1, "log_every": 4}
    steps = {"num_steps": 4, "checkpoint_every": 2, "num_unquantized_steps": 0}
    phases = [replace(phase, **sizes, **steps) for phase in codec_phases(names)]
    return [replace(phase, grpo=settings) if phase.name == "grpo" else phase for phase in phases]


def read_clips(path: Path) -> list[TrainingClip]:
    with np.load(path) as arrays:
        return [
            TrainingClip(samples=arrays[name], text=name, facts=ClipFacts(domain="speech", transcript=name))
            for name in sorted(arrays)
        ]


def main(clips_path: Path, folder: Path, names: list[str], kill_at: int) -> None:
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    clips, phases = read_clips(clips_path), worker_phases(names)

    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        save(folder / f"{state.part_index}-{state.step}")

    def die(progress: Progress) -> None:
        if kill_at and (progress.part, progress.step) == (phases[-1].name, kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    codec = ReasoningCodec.create(CodecConfig.preset("debug"))
    train_codec(codec, phases, clips[1:], clips[:1], listeners=Listeners(on_checkpoint=keep, on_progress=die))
    print(codec.fingerprint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4]))
