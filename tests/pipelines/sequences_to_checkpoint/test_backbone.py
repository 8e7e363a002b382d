"""A text model's folder as the start of training: through both edges, without Ray."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint import driver
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of
from uniaudio_pipelines.sequences_to_checkpoint.training import worker_config, write_final
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store

from tests.pipelines.tokens_to_sequences.test_tokens_to_sequences import a_store
from tests.uniaudio.lm.smollm2 import smollm2_folder
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import PRESETS, RopeConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.run.folder import load_parts
from uniaudio.training.lm.train import train_stage

NUM_ROWS = 320
"""More than the tokenizer has ids: embedding tables are often padded."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LlamaForCausalLM of a shape that no preset has, and a tokenizer of bytes."""
    pytest.importorskip("transformers")
    import_torchaudio()
    import tokenizers
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=NUM_ROWS, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate([*alphabet, "<s>", "</s>"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def laid_out(root: Path, tokenizer: str) -> Store:
    store = a_store(root)
    run_edge(store, TokensToSequences(tokenizer=tokenizer), SequenceWorker, num_workers=0, owner="test")
    return store


def train_here(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """As Ray Train's one worker does."""
    start = start_of(store, worker_config(store, job, due), due.stage)
    result = train_stage(start.model, due.stage, start.data, teacher=start.teacher)
    write_final(RunFolder(store, due.plan.plan_id), start, result)


def run(store: Store, job: SequencesToCheckpoint, monkeypatch: pytest.MonkeyPatch) -> dict[str, Checkpoint]:
    """The rows of the stages that the job trained."""
    monkeypatch.setattr(driver, "train_due_stage", train_here)
    driver.run_stages(store, job, owner="test")
    found = {name: store.head("checkpoint", name) for name in job.stages}
    return {name: next(store.rows(manifest, Checkpoint)) for name, manifest in found.items() if manifest is not None}


def text_logits(model: UniAudioLM, ids: torch.Tensor) -> torch.Tensor:
    grid = torch.zeros(*ids.shape, 9, dtype=torch.int64)
    grid[..., 8] = ids
    is_text = torch.ones(ids.shape, dtype=torch.bool)
    with torch.no_grad():
        return model.text_logits(model(grid, ~is_text, is_text))


def their_logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    import_torchaudio()
    import transformers

    with torch.no_grad():
        found: Any = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(ids).logits
    return torch.as_tensor(found)


def test_two_stages_start_from_a_text_model_and_leave_its_text_alone(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = laid_out(tmp_path / "store", str(llama))
    job = SequencesToCheckpoint(stages=("text_warmup", "stage1", "stage2"), backbone=str(llama), num_steps=2)
    rows = run(store, job, monkeypatch)
    assert list(rows) == ["stage1", "stage2"]
    assert (rows["stage1"].parent, rows["stage2"].parent) == (None, rows["stage1"].checkpoint_id)
    assert "leaves out text_warmup: the backbone has learned text already" in capsys.readouterr().out
    parts = load_parts(store.root, tokenizer=llama)
    config, debug = parts.model.config, PRESETS["debug"]
    assert (config.backbone.num_layers, config.width, config.local_decoder) == (3, 32, debug["local_decoder"])
    assert (config.text_size, parts.vocabulary.text_size) == (NUM_ROWS, parts.tokenizer.num_ids)
    ids = torch.randint(0, NUM_ROWS, (2, 60), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(text_logits(parts.model, ids), their_logits(llama, ids), atol=1e-4, rtol=0)
    # Planned again with what is published: nothing is due.
    assert store.version("checkpoint", job.plan(store).plan_id) == store.head("checkpoint")


@pytest.mark.slow
def test_the_codec_of_the_sequences_teaches_where_the_job_distils(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniaudio.testing import tiny_codec

    monkeypatch.setattr("uniaudio.run.folder.codec_of_store", lambda _store, _fingerprint: tiny_codec())
    store = laid_out(tmp_path / "store", str(llama))
    job = SequencesToCheckpoint(stages=("stage1",), backbone=str(llama), num_steps=2)
    plain = run(store, job, monkeypatch)["stage1"]
    distilled = run(store, replace(job, distillation_weight=0.5), monkeypatch)["stage1"]
    assert "distillation_loss" in {point.name for point in distilled.metrics} - {point.name for point in plain.metrics}
    assert json.loads(distilled.config)["model"] == json.loads(plain.config)["model"]
    assert distilled.checkpoint_id != plain.checkpoint_id


def test_a_backbone_is_known_by_its_files_and_only_where_it_is_read(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = laid_out(tmp_path / "store", str(llama))
    job = SequencesToCheckpoint(stages=("stage1",), backbone=str(llama), num_steps=1)
    moved = shutil.copytree(llama, tmp_path / "moved")
    assert replace(job, backbone=str(moved)).plan(store).plan_id == job.plan(store).plan_id
    (moved / "generation_config.json").write_text("{ }")
    assert replace(job, backbone=str(moved)).plan(store).plan_id != job.plan(store).plan_id
    run(store, job, monkeypatch)
    second = replace(job, stages=("stage2",))
    assert second.plan(store).plan_id == replace(second, backbone="").plan(store).plan_id


@pytest.mark.parametrize("how", ["bytes", "another"])
def test_sequences_of_another_tokenizer_are_refused(how: str, llama: Path, tmp_path: Path) -> None:
    other = shutil.copytree(llama, tmp_path / "other")
    (other / "tokenizer.json").write_text((llama / "tokenizer.json").read_text() + "\n")
    store = laid_out(tmp_path / "store", "bytes" if how == "bytes" else str(other))
    with pytest.raises(UsageError, match="`sequences` must be of the backbone's tokenizer"):
        SequencesToCheckpoint(backbone=str(llama)).plan(store)


def test_a_job_that_contradicts_itself_is_one_line(llama: Path, tmp_path: Path) -> None:
    store = laid_out(tmp_path / "store", str(llama))
    job = SequencesToCheckpoint(backbone=str(llama))
    with pytest.raises(UsageError, match="text_warmup: the backbone has learned text already"):
        replace(job, stages=("text_warmup",)).plan(store)
    with pytest.raises(UsageError, match="`backbone` must be empty where a `parent` is named"):
        replace(job, parent="stage1").plan(store)
    with pytest.raises(UsageError, match=r"`backbone` must be a folder with a tokenizer\.json"):
        replace(job, backbone=str(tmp_path)).plan(store)


def test_a_text_model_of_another_kind_is_refused_before_a_worker_starts(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(llama, tmp_path / "mistral")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["MistralForCausalLM"]}))
    store = laid_out(tmp_path / "store", str(folder))
    monkeypatch.setattr(driver, "train_due_stage", lambda *_: pytest.fail("a worker was started"))
    with pytest.raises(DataError, match="must describe a LlamaForCausalLM"):
        driver.run_stages(store, SequencesToCheckpoint(backbone=str(folder)), owner="test")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_smollm2_is_the_start_of_stage_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = smollm2_folder(tmp_path)
    store = laid_out(tmp_path / "store", str(folder))
    job = SequencesToCheckpoint(stages=("text_warmup", "stage1"), backbone=str(folder), num_steps=1)
    assert list(run(store, job, monkeypatch)) == ["stage1"]
    parts = load_parts(store.root, tokenizer=folder)
    shape = StackConfig(num_layers=30, width=576, num_heads=9, num_kv_heads=3, head_size=64, mlp_width=1536)
    assert (parts.model.config.backbone, parts.model.config.rope) == (shape, RopeConfig(base=100_000.0))
    ids = torch.tensor([parts.tokenizer.encode("The capital of France is Paris, and the capital of Germany is")])
    ours, theirs = text_logits(parts.model, ids), their_logits(folder, ids)
    torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs, atol=1e-4, rtol=0)
