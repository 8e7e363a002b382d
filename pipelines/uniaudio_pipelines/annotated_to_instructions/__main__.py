"""Entry point of the Ray job: `python -m uniaudio_pipelines.annotated_to_instructions --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    sys.exit(edge_main(AnnotatedToInstructions, InstructionWorker))
