"""Entry point of the Ray job: `python -m uniaudio_pipelines.raw_to_evalset --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.raw_to_evalset.job import RawToEvalset
from uniaudio_pipelines.raw_to_evalset.worker import EvalsetWorker
from uniaudio_pipelines.running.edge import edge_main

if __name__ == "__main__":
    # In the driver: columns are copied, which takes less time than an actor takes to start.
    sys.exit(edge_main(RawToEvalset, EvalsetWorker, num_workers=0))
