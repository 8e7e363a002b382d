"""Entry point of the Ray job: `python -m uniaudio_pipelines.tokens_to_sequences --store ROOT --job JSON`."""

import sys

from uniaudio_schemas.store import Store

from uniaudio_pipelines.running.edge import edge_main, run_edge
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker

MIN_ROWS_FOR_WORKERS = 50_000
"""Instructions below which the driver is done sooner than an actor has started."""


def run(store: Store, job: TokensToSequences, owner: str, num_workers: int | None = None) -> None:
    """`num_workers` None: none for few rows, else one for each unit, as there is room."""
    instructions = store.version_with("instructions", job.plan(store).parents["instructions"])
    if num_workers is None and instructions.num_rows < MIN_ROWS_FOR_WORKERS:
        num_workers = 0
    run_edge(store, job, SequenceWorker, num_workers=num_workers, owner=owner)


if __name__ == "__main__":
    sys.exit(edge_main(TokensToSequences, run=run))
