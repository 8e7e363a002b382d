from dataclasses import replace

import pytest
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.stages.config import ALL_MODULES, MixturePhase, StageConfig
from uniaudio.training.lm.doubles import tiny_sequences
from uniaudio.training.sequences.dataset import SequenceSet


@pytest.fixture(scope="session")
def sequences() -> SequenceSet:
    """Synthetic sequences in three shards."""
    rows = tiny_sequences()
    return SequenceSet.of([to_table(rows[start::3], Sequence) for start in range(3)], "content")


@pytest.fixture(scope="session")
def stage() -> StageConfig:
    """A stage of four steps over everything."""
    return StageConfig(
        name="stage3",
        trains=ALL_MODULES,
        mixture=(MixturePhase(first_step=0, weights=(("*", 1.0),)),),
        num_steps=4,
        context=96,
        num_rows=4,
        micro_rows=2,
        learning_rate=1e-2,
        num_threads=1,
        checkpoint_every=2,
        log_every=1,
        text_weight=1.6,
    )


@pytest.fixture(scope="session")
def long_stage(stage: StageConfig) -> StageConfig:
    return replace(stage, num_steps=30)
