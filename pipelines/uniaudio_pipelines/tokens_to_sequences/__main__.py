"""Entry point of the Ray job: `python -m uniaudio_pipelines.tokens_to_sequences --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.edge import edge_main
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker

if __name__ == "__main__":
    # In the driver: the join is bound by reading, and an actor would take longer to start than it works.
    sys.exit(edge_main(TokensToSequences, SequenceWorker, num_workers=0))
