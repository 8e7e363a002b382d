"""Entry point of the Ray job: `python -m uniaudio_pipelines.raw_to_annotated --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    sys.exit(edge_main(RawToAnnotated, run=run))
