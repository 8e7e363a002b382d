"""The training loop needs torch, numpy, pyarrow and safetensors, and nothing else."""

import subprocess
import sys

BLOCKED = """
import sys

for name in ("ray", "prefect", "polars", "transformers", "tokenizers", "soundfile", "torchaudio", "scipy"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
from dataclasses import replace
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio.stages.table import stage_config
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet

stage = replace(stage_config("stage3"), num_steps=1, context=96, num_rows=1, num_threads=1)
data = MixtureData(SequenceSet.of([to_table(tiny_sequences(), Sequence)], "content"), tiny_vocabulary(), stage, 0)
train_stage(tiny_lm(), stage, data)
"""


def test_a_stage_trains_with_the_four_base_packages_alone() -> None:
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
