"""What stage 3 costs a pretrained backbone in text: perplexity after it over the backbone's own is at most 1.10.

    UNIAUDIO_STORE=data/store UNIAUDIO_TEXT_MODEL=models/smollm2 pytest -m bench -s tests/bench/test_lm_text_kept.py

Instructions and codes of a store are laid out anew with the model's tokenizer, and stages 1 to 3 of size `starter` run on
them, shortened: few steps of one row. Held-out text is plain ids without specials, read in chunks: that of the store's
own documents, and documentation of Python, which no stage sees.
"""

import math
import os
import pydoc_data.topics
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of
from uniaudio_pipelines.sequences_to_checkpoint.training import worker_config
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.store import Store

from tests.uniaudio.lm.smollm2 import smollm2_folder
from uniaudio.lm.config import TEXT_COLUMN
from uniaudio.lm.model import UniAudioLM
from uniaudio.metrics.perplexity import perplexity
from uniaudio.stages.config import StageConfig
from uniaudio.text.tokenizer import HuggingFaceTokenizer
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.train import train_stage

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]
CONTEXT, NUM_CHUNKS = 256, 8
NUM_STEPS = {"stage1": 12, "stage2": 12, "stage3": 40}
TOO_HIGH = 6e-4
"""A peak learning rate of stage 3 that a backbone does not survive, to compare the preset's with."""
MOST = 1.10
"""Text perplexity after stage 3 over the backbone's own, at most."""


@torch.no_grad()
def text_perplexity(model: UniAudioLM, chunks: list[list[int]]) -> float:
    """Of every id but the first of each chunk, given those before it."""
    losses = []
    for chunk in chunks:
        ids_1S9 = torch.zeros(1, len(chunk), 9, dtype=torch.int64)
        ids_1S9[0, :, TEXT_COLUMN] = torch.tensor(chunk)
        is_text_1S = torch.ones(1, len(chunk), dtype=torch.bool)
        logits_SV = model.text_logits(model(ids_1S9, ~is_text_1S, is_text_1S, has_audio=False))[0, :-1]
        loss = functional.cross_entropy(logits_SV.float(), ids_1S9[0, 1:, TEXT_COLUMN], reduction="sum")
        losses.append((float(loss), len(chunk) - 1))
    found = perplexity(losses)
    assert found is not None
    return found


def chunks_of(ids: list[int]) -> list[list[int]]:
    return [ids[first : first + CONTEXT] for first in range(0, len(ids) - 16, CONTEXT)][:NUM_CHUNKS]


def held_out_texts(store: Store, tokenizer: HuggingFaceTokenizer) -> dict[str, list[list[int]]]:
    manifest, specials = store.head("sequences"), set(tokenizer.specials.values())
    assert manifest is not None
    rows = [row for row in store.rows(manifest, Sequence) if row.task == "text_only" and row.split != "train"]
    own = [[int(i) for i in row.text_ids if int(i) not in specials] for row in rows]
    topics = pydoc_data.topics.topics
    foreign = tokenizer.encode("\n\n".join(topics[name] for name in ("objects", "naming", "exceptions", "truth")))
    return {"the store's own": [chunk for ids in own for chunk in chunks_of(ids)[:2]], "foreign": chunks_of(foreign)}


def shortened(stage: StageConfig, rate: float = 0.0) -> StageConfig:
    short = {"num_steps": NUM_STEPS[stage.name], "num_rows": 1, "micro_rows": 1, "num_held_out": 2, "num_threads": 1}
    return replace(
        stage, context=CONTEXT, precision="float32", log_every=10, learning_rate=rate or stage.learning_rate, **short
    )


def retokenized(root: Path, folder: Path) -> Store:
    source = Path(os.environ.get("UNIAUDIO_STORE", "data/store"))
    if not (source / "tokens" / "refs").is_dir():
        pytest.skip(f"no store with tokens: set UNIAUDIO_STORE, but {source} is none")
    for kind in ("instructions", "tokens", "codec"):
        shutil.copytree(source / kind, root / kind)
    store = Store(root)
    made = run_edge(store, TokensToSequences(tokenizer=str(folder)), SequenceWorker, num_workers=0, owner="bench")
    print(f"\n{made.num_rows} sequences, dropped {made.dropped}")
    return store


def test_text_perplexity_after_stage_three(tmp_path: Path) -> None:
    folder = smollm2_folder(tmp_path)
    store = retokenized(tmp_path / "store", folder)
    job = SequencesToCheckpoint(backbone=str(folder), size="starter")
    (due,) = job.chain(store)
    start = start_of(store, worker_config(store, job, due), due.stage)
    texts = held_out_texts(store, HuggingFaceTokenizer.from_folder(folder))
    own = {name: text_perplexity(start.model, chunks) for name, chunks in texts.items()}

    def train(model: UniAudioLM, stage: StageConfig) -> None:
        began = time.process_time()
        data = MixtureData(start.data.sequences, start.data.vocabulary, stage, 0)
        result = train_stage(model, stage, data)
        losses = ", ".join(f"{task} {loss.before:.2f} -> {loss.after:.2f}" for task, loss in result.held_out.items())
        print(
            f"{stage.name}, rate {stage.learning_rate:g}: {time.process_time() - began:.0f} CPU-s; {losses}", flush=True
        )

    for name in ("stage1", "stage2"):
        train(start.model, shortened(job.stage(name)))
    after_warm_ups = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    for name, chunks in texts.items():
        same = text_perplexity(start.model, chunks)
        num_ids = sum(map(len, chunks))
        print(
            f"{name}: {num_ids} ids, the backbone's own perplexity {own[name]:.2f}, after stage 2 {same:.2f}",
            flush=True,
        )
        assert math.isclose(same, own[name], rel_tol=1e-6), "stages 1 and 2 do not touch the backbone"
    found: dict[float, dict[str, float]] = {}
    for rate in (job.stage("stage3").learning_rate, TOO_HIGH):
        start.model.load_state_dict(after_warm_ups)
        train(start.model, shortened(job.stage("stage3"), rate))
        found[rate] = {name: text_perplexity(start.model, chunks) / own[name] for name, chunks in texts.items()}
        print("  of the backbone's own:", {name: round(ratio, 3) for name, ratio in found[rate].items()}, flush=True)
        if rate != TOO_HIGH:
            assert max(found[rate].values()) <= MOST
    assert max(found[TOO_HIGH].values()) > MOST, "the text that is held out can tell a rate that is too high"
