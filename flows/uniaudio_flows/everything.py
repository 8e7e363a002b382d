"""`everything`: from a folder of audio to a scored model, one subflow an edge. START HERE.

source ─► raw ─► annotated ─► instructions ─► tokens ─► sequences ─► checkpoint ─► scores
                     └──────► codec ───────────┘
"""

from prefect import flow

from uniaudio_flows.annotate_corpus import annotate_corpus
from uniaudio_flows.build_multitask_data import build_multitask_data
from uniaudio_flows.build_sequences import build_sequences
from uniaudio_flows.evaluate_checkpoint import evaluate_checkpoint
from uniaudio_flows.ingest_corpus import ingest_corpus
from uniaudio_flows.tokenize_corpus import tokenize_corpus
from uniaudio_flows.train_codec import train_codec
from uniaudio_flows.train_stage import train_stage


@flow(name="everything")
def everything(size: str = "debug") -> str:
    """Returns the content id of the scores. `size`: preset of codec and model."""
    ingest_corpus()
    annotate_corpus(parents=False)
    train_codec(size=size, parents=False)
    build_multitask_data(parents=False)
    tokenize_corpus(parents=False)
    build_sequences(parents=False)
    train_stage(size=size, parents=False)
    return evaluate_checkpoint(parents=False)
