"""A whole model's folder as the start of training."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint import driver
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of
from uniaudio_pipelines.sequences_to_checkpoint.training import worker_config
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.store import Store

from tests.pipelines.sequences_to_checkpoint.test_backbone import laid_out, run
from tests.uniaudio.lm.test_released import HEAD_SIZES, LLM_CONFIG
from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.load import import_released
from uniaudio.run.folder import write_about
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.config import StageConfig
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.lm.doubles import tiny_lm
from uniaudio.training.sequences.dataset import SequenceSet


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return laid_out(tmp_path / "store", "bytes")


def save_model(folder: Path, store: Store, **changed: str) -> UniAudioLM:
    """A model of a shape that no size has, for the sequences of the store."""
    manifest = store.head("sequences")
    assert manifest is not None
    sequences = SequenceSet.open(store, manifest)
    vocabulary = Vocabulary.from_json(sequences.required_metadata("vocabulary"))
    shape = tiny_lm().config
    config = replace(
        shape,
        text_size=vocabulary.text_size,
        audio_size=vocabulary.audio_size,
        vocabulary_fingerprint=changed.get("vocabulary", vocabulary.fingerprint),
    )
    model = UniAudioLM(LMConfig.from_json(config.to_json()), seed=7)
    model.save(folder)
    (folder / "vocabulary.json").write_text(vocabulary.to_json())
    write_about(folder, ["asr"], changed.get("codec", sequences.required_metadata("codec_fingerprint")))
    return model


def test_a_whole_model_goes_on_from_its_own_weights_and_the_next_stage_from_the_checkpoint(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "model", store)
    job = SequencesToCheckpoint(stages=("stage3", "stage4"), model=str(tmp_path / "model"), num_steps=1)
    due = next(iter(job.chain(store)))
    start = start_of(store, worker_config(store, job, due), due.stage)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in start.model.state_dict().items())
    still = job.stage

    def without_learning(self: SequencesToCheckpoint, name: str) -> StageConfig:
        return replace(still(name), context=128, num_threads=1)

    monkeypatch.setattr(SequencesToCheckpoint, "stage", without_learning)
    rows = run(store, job, monkeypatch)
    assert (rows["stage3"].parent, rows["stage4"].parent) == (None, rows["stage3"].checkpoint_id)
    assert json.loads(rows["stage4"].config)["model"] == json.loads(model.config.to_json())


def as_released(store: Store) -> Vocabulary:
    """Another order of special ids than ours, as the released models have it."""
    manifest = store.head("sequences")
    assert manifest is not None
    ours = Vocabulary.from_json(SequenceSet.open(store, manifest).required_metadata("vocabulary"))
    return replace(ours, reconstruction_bos=ours.reconstruction_eos, reconstruction_eos=ours.reconstruction_bos)


def test_a_model_of_other_ids_is_trained_on_sequences_of_its_own_vocabulary(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, vocabulary = tmp_path / "model", as_released(store)
    save_model(folder, store, vocabulary=vocabulary.fingerprint)
    (folder / "vocabulary.json").write_text(vocabulary.to_json())
    job = SequencesToCheckpoint(stages=("stage3",), model=str(folder), num_steps=1)
    with pytest.raises(FingerprintError, match=f"build the sequences with its vocabulary .`tokenizer` {folder}"):
        driver.run_stages(store, job, owner="test")
    sequences = run_edge(store, TokensToSequences(tokenizer=str(folder)), SequenceWorker, num_workers=0, owner="test")
    rows = run(store, job, monkeypatch)
    assert rows["stage3"].vocabulary_fingerprint == vocabulary.fingerprint
    assert rows["stage3"].sequences == sequences.content_id


def test_a_released_checkpoint_that_was_imported_is_refused_in_one_line_where_it_cannot_be_trained_on(
    store: Store, tmp_path: Path, parity_folder: Path
) -> None:
    (tmp_path / "llm_config.yaml").write_text(LLM_CONFIG)
    folder = tmp_path / "released"
    import_released(parity_folder / "core_model.checkpoint", tmp_path / "llm_config.yaml", folder, **HEAD_SIZES)
    write_about(folder, ["asr"], "")
    with pytest.raises(FingerprintError, match="`model` must have the vocabulary_fingerprint of the sequences"):
        driver.run_stages(store, SequencesToCheckpoint(stages=("stage3",), model=str(folder)), owner="test")
    join = partial(
        run_edge, store, TokensToSequences(tokenizer=str(folder)), SequenceWorker, num_workers=0, owner="test"
    )
    with pytest.raises(
        UsageError, match="must hold the text tokenizer of its vocabulary, but holds none: import it again"
    ):
        join()
    released = Vocabulary.from_json((folder / "vocabulary.json").read_text())
    bytes_alone = {"tokenizer_fingerprint": ByteTokenizer.fingerprint, "text_specials": ByteTokenizer.specials}
    of_bytes = replace(released, **bytes_alone)
    (folder / "vocabulary.json").write_text(of_bytes.to_json())
    with pytest.raises(
        FingerprintError, match="has 36 reasoning and 68 reconstruction codes, but the codec of the tokens has 64"
    ):
        join()


def test_other_weights_are_another_plan(store: Store, tmp_path: Path) -> None:
    save_model(tmp_path / "model", store)
    job = SequencesToCheckpoint(stages=("stage3",), model=str(tmp_path / "model"))
    first = job.plan(store).plan_id
    about = tmp_path / "model" / "uniaudio.json"
    about.write_text(about.read_text() + "\n")
    assert job.plan(store).plan_id != first


@pytest.mark.parametrize("name", ["vocabulary", "codec"])
def test_a_model_of_another_vocabulary_or_codec_is_refused_before_any_worker_starts(
    name: str, store: Store, tmp_path: Path
) -> None:
    save_model(tmp_path / "model", store, **{name: "0" * 32})
    job = SequencesToCheckpoint(stages=("stage3",), model=str(tmp_path / "model"))
    with pytest.raises(FingerprintError, match=f"`model` must have the {name}_fingerprint of the sequences"):
        driver.run_stages(store, job, owner="test")


def test_a_stage_starts_from_one_thing_and_a_folder_without_a_model_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`model` must be empty where a `backbone` is named"):
        SequencesToCheckpoint(model="a", backbone="b").plan(store)
    (tmp_path / "empty").mkdir()
    job = SequencesToCheckpoint(stages=("stage3",), model=str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"config\.json: no such file"):
        driver.run_stages(store, job, owner="test")
