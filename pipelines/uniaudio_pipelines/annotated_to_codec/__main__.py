"""Entry point of the Ray job: `python -m uniaudio_pipelines.annotated_to_codec --store ROOT --job JSON`."""

import sys

from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.worker import CodecWorker
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running.edge import edge_main, run_edge


def run(store: Store, job: AnnotatedToCodec, owner: str) -> Manifest:
    """Train, publish, and let go of what was kept to go on from."""
    # 0: the worker lives here and starts Ray Train, whose workers do the work.
    manifest = run_edge(store, job, CodecWorker, num_workers=0, owner=owner)
    RunFolder(store, manifest.plan_id).clear()
    return manifest


if __name__ == "__main__":
    sys.exit(edge_main(AnnotatedToCodec, run=run))
