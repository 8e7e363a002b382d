"""Whether 10,000 samples of a task are scored as 10 are: CPU and memory a sample, the model stubbed.

UNIAUDIO_BENCH_ROWS=1000,10000 pytest -m bench -s tests/bench/test_scores_growth.py
"""

import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store

from tests.pipelines.checkpoint_to_scores.conftest import (
    segments_of,
    write,
    write_audio,
    write_checkpoints,
    write_codec,
)
from uniaudio.lm.answer import Generated, GeneratedSegment
from uniaudio.sequence.layout import build_sequence
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.testing import tiny_codec
from uniaudio.text.tokenizer import ByteTokenizer

pytestmark = pytest.mark.bench
SIZES = [int(size) for size in os.environ.get("UNIAUDIO_BENCH_ROWS", "100,1000,10000").split(",")]
TASK = "audio_caption"


def build(folder: Path, count: int) -> Store:
    """`count` held-out sounds, cut from one file, each with a caption of its own."""
    store, vocabulary = Store(folder / "store"), Vocabulary()
    raw, annotated, waveforms = write_audio(store)
    one = next(row for row in store.rows(annotated, Annotated) if row.clip_id == "sound-val")
    clips = [replace(one, clip_id=f"clip-{number:06}") for number in range(count)]
    annotated = write(store, "annotated", clips, {"raw": raw.content_id})
    codec = write_codec(store, folder / "codec", {"annotated": annotated.content_id})
    rows = [
        Instruction(
            instruction_id=f"{TASK}-{clip.clip_id}",
            segments=segments_of(TASK, clip.clip_id, f"a sound of rain number {clip.clip_id}"),
            task=TASK,
            mixture=TASK,
            split="val",
            corpus="made",
            clip_ids=[clip.clip_id],
        )
        for clip in clips
    ]
    instructions = write(store, "instructions", rows, {"annotated": annotated.content_id})
    (codes,) = tiny_codec().encode([waveforms["sound-val"]])
    tokens = {
        clip.clip_id: Tokens(
            clip_id=clip.clip_id,
            num_samples=codes.num_samples,
            reasoning_codes=codes.reasoning,
            reconstruction_codes=codes.reconstruction,
        )
        for clip in clips
    }
    parents = {"codec": codec.content_id, "instructions": instructions.content_id}
    written = write(store, "tokens", list(tokens.values())[:1], parents)
    sequences = [build_sequence(row, tokens, ByteTokenizer(), vocabulary) for row in rows]
    metadata = {"vocabulary": vocabulary.to_json(), "vocabulary_fingerprint": vocabulary.fingerprint}
    parents = {"tokens": written.content_id, "instructions": instructions.content_id}
    write_checkpoints(store, folder, write(store, "sequences", sequences, parents, metadata=metadata), vocabulary)
    return store


def an_answer(model: Any, prompts: Any, **_: Any) -> list[Generated]:
    ids = np.frombuffer(b"a sound of rain", np.uint8).astype(np.int32)
    return [Generated((GeneratedSegment("text", ids, "stop"),)) for _ in prompts]


@pytest.mark.timeout(1_200)
def test_samples_cost_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.generation.generate", an_answer)
    found = []
    for size in SIZES:
        store = build(tmp_path / str(size), size)
        job = CheckpointToScores(benchmarks=(TASK,), evalsets=(), num_answers=size, num_sequences=1)
        memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        manifest = run_edge(store, job, ScoreWorker, num_workers=0)
        cpu_s = time.process_time() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        units = len(job.plan(store).units)
        assert {row.num_samples for row in store.rows(manifest, Score) if row.metric == "rouge_l"} == {size}
        found.append((size, units, cpu_s, grown))
    with capsys.disabled():
        for size, units, cpu_s, grown in found:
            print(
                f"\n{size} samples, {units} units: {cpu_s:.1f} CPU-s, {1e3 * cpu_s / size:.2f} ms a sample, {grown:.0f} MiB",
                end="",
            )
        print()
