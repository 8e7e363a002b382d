"""Entry point of the Ray job: `python -m uniaudio_pipelines.annotated_to_codec --store ROOT --job JSON`."""

import sys

from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.worker import CodecWorker
from uniaudio_pipelines.edge import edge_main

if __name__ == "__main__":
    # 0: the worker lives here and starts Ray Train, whose workers do the work.
    sys.exit(edge_main(AnnotatedToCodec, CodecWorker, num_workers=0))
