"""Entry point of the Ray job: `python -m uniaudio_pipelines.codec_to_scores --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.codec_to_scores.job import CodecToScores
from uniaudio_pipelines.codec_to_scores.worker import CodecScoreWorker
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    # Each worker loads the codec and hears the training clips again: one is best where clips are few; `--num-workers` shares the units.
    sys.exit(edge_main(CodecToScores, CodecScoreWorker, num_workers=1))
