"""Entry point of the Ray job: `python -m uniaudio_pipelines.instructions_to_tokens --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    sys.exit(edge_main(InstructionsToTokens, TokenWorker))
