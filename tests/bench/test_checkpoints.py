"""What checkpoints cost a run: the time that steps wait, written at once and by a thread from a copy, each step followed by one.

pytest -m bench -s tests/bench/test_checkpoints.py

The starter's shapes with a fifth of its layers, one thread that computes. A share is of the run's wall time.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
from uniaudio.training.checkpoint import Checkpoint, TrainingState
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.run import Listeners
from uniaudio.training.sequences.dataset import SequenceSet

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
NUM_LAYERS, NUM_STEPS = 6, 5
STAGE = StageConfig(
    name="stage3",
    trains=ALL_MODULES,
    mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
    num_steps=NUM_STEPS,
    context=512,
    num_rows=4,
    micro_rows=4,
    learning_rate=1e-4,
    num_threads=1,
    num_held_out=1,
    checkpoint_every=1,
)
Save = Callable[[Checkpoint, Path], None]


def waited_s(save: Save) -> tuple[list[float], float]:
    """Seconds that each checkpoint held the run up, and those of the run from its first step on."""
    config = LMConfig.preset("starter", tiny_vocabulary())
    model = UniAudioLM(replace(config, backbone=replace(config.backbone, num_layers=NUM_LAYERS)))
    data = MixtureData(SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content"), tiny_vocabulary(), STAGE, 0)
    waited: list[float] = []
    times: list[float] = []

    def keep(state: TrainingState, checkpoint: Checkpoint) -> None:
        asked = time.monotonic()
        save(checkpoint, Path(f"{state.step}"))
        waited.append(time.monotonic() - asked)

    train_stage(
        model,
        STAGE,
        data,
        listeners=Listeners(on_checkpoint=keep, on_progress=lambda _: times.append(time.monotonic())),
    )
    return waited, times[-1] - times[0]


def test_a_thread_writes_while_the_next_step_is_computed(tmp_path: Path) -> None:
    at_once, run_s = waited_s(lambda checkpoint, name: checkpoint(tmp_path / "once" / name))
    size = sum(path.stat().st_size for path in (tmp_path / "once" / "1").iterdir())
    with ThreadPoolExecutor(1) as writer:
        written: list[Future[None]] = []

        def beside(checkpoint: Checkpoint, name: Path) -> None:
            for one in written[-1:]:
                one.result()
            written.append(writer.submit(checkpoint.copied(), tmp_path / "beside" / name))

        by_thread, thread_run_s = waited_s(beside)
    print(
        f"{size / 2**20:.0f} MiB a checkpoint, {run_s / (NUM_STEPS - 1):.2f} s a step with one that is written at once"
    )
    for name, waited, whole in (("at once", at_once, run_s), ("by a thread", by_thread, thread_run_s)):
        # The first takes its memory from the system.
        later = sum(waited[1:-1])
        print(f"{name}: {later / whole:.1%} of the run waited, {[round(one, 2) for one in waited]} s each")
    assert sum(by_thread[1:-1]) < 0.5 * sum(at_once[1:-1])
