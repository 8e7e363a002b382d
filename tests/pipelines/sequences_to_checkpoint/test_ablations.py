"""The paper's ablations as fields of jobs: a model without reasoning tokens, a model without experts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.store import Store

from tests.pipelines.sequences_to_checkpoint.test_backbone import run
from tests.pipelines.tokens_to_sequences.test_tokens_to_sequences import CODEC, METADATA, a_store, tokens_of, write
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm.model import UniAudioLM
from uniaudio.run.folder import load_parts
from uniaudio.run.model import Options, UniAudio
from uniaudio.sequence.layout import grid_of
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.config import StageConfig
from uniaudio.tasks import TASKS
from uniaudio.testing import tiny_codec

ABLATED = TokensToSequences(reasoning=False, ref="ablated")
JOB = SequencesToCheckpoint(stages=("stage3",), num_steps=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return a_store(tmp_path / "store")


@pytest.fixture
def short_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SequencesToCheckpoint.stage

    def short(self: SequencesToCheckpoint, name: str) -> StageConfig:
        return replace(whole(self, name), context=128, num_threads=1)

    monkeypatch.setattr(SequencesToCheckpoint, "stage", short)
    monkeypatch.setattr("uniaudio_pipelines.sequences_to_checkpoint.job.stage_before", lambda name: None)


def test_without_reasoning_tokens_no_sequence_holds_any_and_the_rest_is_as_it_was(store: Store) -> None:
    job = TokensToSequences()
    whole = run_edge(store, job, SequenceWorker, num_workers=0, owner="test")
    ablated = run_edge(store, ABLATED, SequenceWorker, num_workers=0, owner="test")
    rows = {row.sequence_id: row for row in store.rows(ablated, Sequence)}
    originals = {row.sequence_id: row for row in store.rows(whole, Sequence)}
    assert rows.keys() == originals.keys()
    for name, row in rows.items():
        assert np.array_equal(row.text_ids, originals[name].text_ids)
        removed = len(grid_of(originals[name]).ids) - len(grid_of(row).ids)
        assert removed == (0 if row.task == "text_only" else 7), "begin, five frames of a second, end"
        frames = grid_of(row).ids[grid_of(row).is_audio, :8]
        assert (frames >= 4).all(), "four ids are set aside in front"
    assert job.plan(store).plan_id != ABLATED.plan(store).plan_id
    assert "reasoning" not in job.plan(store).parameters and ABLATED.plan(store).parameters["reasoning"] is False


def test_a_task_that_only_writes_reasoning_tokens_is_dropped_with_its_reason(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = TASKS["reasoning_copy"].instruction(clips={"audio": "a1", "copy": "a1"}, corpus="a", split="train")
    codec = write(store, "codec", {"codec": [CODEC]}, {})
    instructions = write(store, "instructions", {"a-00000": [row]}, {})
    parents = {"codec": codec.content_id, "instructions": instructions.content_id}
    write(store, "tokens", {"all": [tokens_of("a1")]}, parents, **METADATA)
    made = run_edge(store, ABLATED, SequenceWorker, num_workers=0, owner="test")
    (dropped,) = store.dropped(made).to_pylist()
    assert dropped["reason"] == "no_loss"
    assert dropped["detail"] == "reasoning_copy: nothing to learn without reasoning tokens"


@pytest.mark.usefixtures("short_stages")
def test_a_model_without_reasoning_tokens_trains_and_answers_with_reconstruction_tokens_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_edge(store, replace(ABLATED, ref="latest"), SequenceWorker, num_workers=0, owner="test")
    row = run(store, JOB, monkeypatch)["stage3"]
    vocabulary = json.loads(row.config)["vocabulary"]
    assert vocabulary["reasoning_codes"] == 0
    parts = replace(load_parts(store.root), tasks=frozenset(TASKS), load_codec=tiny_codec)
    model = UniAudio(parts)
    said = model.run("tts", text="hi", options=Options(max_seconds=0.5))
    assert [segment.kind for segment in said.generated.segments] == ["reconstruction"]
    assert len(said.clips) == 1 and len(said.clips[0]) > 0
    heard = model.run("asr", said.clips[0], options=Options(max_text=4))
    assert [segment.kind for segment in heard.generated.segments] == ["text"]
    with pytest.raises(UsageError, match="this model has no reasoning tokens"):
        model.run("reasoning_copy", said.clips[0], options=Options(max_seconds=0.5))


@pytest.mark.usefixtures("short_stages")
def test_a_model_without_experts_is_another_plan_and_has_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_edge(store, TokensToSequences(), SequenceWorker, num_workers=0, owner="test")
    ablated = replace(JOB, experts=False)
    assert ablated.plan(store).plan_id != JOB.plan(store).plan_id
    assert "experts" not in JOB.plan(store).parameters
    row = run(store, ablated, monkeypatch)["stage3"]
    manifest = store.head("checkpoint")
    assert manifest is not None
    named = {name.removeprefix("trained_task/") for name in manifest.shards[0].statistics if "trained_task/" in name}
    assert load_parts(store.root).tasks == {entry.mixture for entry in row.ledger if entry.num_examples} == named
    shape = json.loads(row.config)["model"]
    assert (shape["num_understanding_layers"], shape["num_generation_layers"]) == (0, 0)
    assert not any("expert" in name for name in load_parts(store.root).model.state_dict() if "layers" in name)
    with pytest.raises(UsageError, match="`experts` must be true where a `model` is named"):
        replace(ablated, model=str(store.root)).plan(store)


@pytest.mark.usefixtures("short_stages")
def test_audio_ids_start_from_the_code_vectors_of_the_store_s_codec_where_the_job_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_edge(store, TokensToSequences(), SequenceWorker, num_workers=0, owner="test")
    job = replace(JOB, code_vectors=True)
    assert job.plan(store).plan_id != JOB.plan(store).plan_id
    assert "code_vectors" not in JOB.plan(store).parameters
    asked: list[object] = []

    def codec_of_store(_: Store, fingerprint: str) -> ReasoningCodec:
        asked.append(fingerprint)
        return tiny_codec()

    def start(model: UniAudioLM, vocabulary: Vocabulary, codec: ReasoningCodec, *, seed: int) -> None:
        asked.append(codec)

    monkeypatch.setattr("uniaudio.run.folder.codec_of_store", codec_of_store)
    monkeypatch.setattr("uniaudio.training.lm.code_vectors.start_from_code_vectors", start)
    run(store, JOB, monkeypatch)
    assert asked == []
    run(store, job, monkeypatch)
    assert asked == [CODEC.codec_id, tiny_codec()]
    after = replace(job, stages=("stage4",), parent="stage3")
    assert "code_vectors" not in after.plan(store).parameters, "a checkpoint has learned its ids"
    with pytest.raises(UsageError, match="`code_vectors` must be false where a `model` is named"):
        replace(job, model=str(store.root)).plan(store)
