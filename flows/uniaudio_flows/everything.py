"""`everything`: from a folder of audio to a scored model, one task an edge. START HERE.

source ─► raw ─► annotated ─► instructions ─► tokens ─► sequences ─► checkpoint ─► scores
                     └──────► codec ───────────┘

Each edge is a step, in the module of the flow that ends at it: how its job follows from the run's settings and fields, and which steps come
before. `everything` takes the fields of each edge as one parameter: `--param annotate_corpus='{"max_speech_s": 300}'`.
"""

from uniaudio_flows import (
    annotate_corpus,
    build_multitask_data,
    build_sequences,
    evaluate_checkpoint,
    ingest_corpus,
    tokenize_corpus,
    train_codec,
    train_stage,
)
from uniaudio_flows.flow import flow

STEPS = (
    ingest_corpus.STEP,
    annotate_corpus.STEP,
    train_codec.STEP,
    build_multitask_data.STEP,
    tokenize_corpus.STEP,
    build_sequences.STEP,
    train_stage.STEP,
    evaluate_checkpoint.STEP,
)

everything = flow(evaluate_checkpoint.STEP, "From a folder of audio and text to a scored model.", name="everything")
