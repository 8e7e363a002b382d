"""Benchmark `starter`: what the model that comes with the project answers to the same held-out examples."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.checkpoint_to_scores import starter
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.running.edge import ShardResult
from uniaudio_schemas.fingerprint import hash_bytes

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.run.folder import Parts, save_parts
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.testing import tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer

pytest.importorskip("soundfile")

JOB = CheckpointToScores(max_text=12, max_frames=4, decode_steps=1, evalsets=())


def save_model(folder: Path, codec: ReasoningCodec, *tasks: str) -> None:
    sizes = codec.config.reasoning_codebook_size, codec.config.reconstruction_codebook_size
    vocabulary = Vocabulary.build(ByteTokenizer(), *sizes)
    parts = Parts(
        model=tiny_lm(vocabulary).eval(),
        vocabulary=vocabulary,
        tokenizer=ByteTokenizer(),
        tasks=frozenset(tasks),
        codec_fingerprint=codec.fingerprint,
        load_codec=lambda: codec,
    )
    save_parts(parts, folder)


def score(built: Any, monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> ShardResult:
    monkeypatch.setattr(starter, "shipped_model", lambda: folder)
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.measures.dnsmos", lambda *args: None)
    worker = ScoreWorker(str(built.store.root), JOB, JOB.plan(built.store))
    result = worker.process("starter")
    blobs = [blob.read_bytes() if isinstance(blob, Path) else bytes(blob) for blob in result.blobs]
    return replace(result, blobs=tuple(blobs))


def test_its_answers_are_judged_like_those_of_the_checkpoint(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = ReasoningCodec.create(CodecConfig.preset("debug"), seed=1)
    save_model(tmp_path, another, *starter.SHOWN)
    result = score(built, monkeypatch, tmp_path)
    found = {(row.benchmark, row.metric) for row in result.rows}
    assert {("starter_asr", "wer"), ("starter_audio_caption", "unigram_f1")} <= found
    wer = next(row for row in result.rows if (row.benchmark, row.metric) == ("starter_asr", "wer"))
    blobs = {hash_bytes(blob): blob for blob in result.blobs}
    (line,) = [json.loads(line) for line in blobs[wer.predictions].splitlines()]
    assert line["reference"] == "come here" and line["metrics"]["wer"][1] == 2
    assert {row.unit for row in result.dropped} == {"starter"}


def test_nothing_is_shown_of_a_model_that_is_not_there_or_is_of_the_same_codec(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path, tiny_codec(), *starter.SHOWN)
    assert [(row.row_id, row.reason) for row in score(built, monkeypatch, None).dropped] == [
        ("starter", "not_installed")
    ]
    same = score(built, monkeypatch, tmp_path)
    assert not same.rows and [row.reason for row in same.dropped] == ["same_codec"]
