"""Entry point of the Ray job: `python -m uniaudio_pipelines.checkpoint_to_scores --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    # One worker, where the GPU is: a second one would load model and codec again, which at ten answers a task costs more than it
    # saves (debug size on two cores: 29 CPU seconds with two, 14 with one). Where answers are many, `--num-workers` shares their shards.
    sys.exit(edge_main(CheckpointToScores, ScoreWorker, num_workers=1))
