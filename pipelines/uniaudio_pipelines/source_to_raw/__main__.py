"""Entry point of the Ray job: `python -m uniaudio_pipelines.source_to_raw --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.running.edge import edge_main
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker

if __name__ == "__main__":
    sys.exit(edge_main(SourceToRaw, RawWorker))
