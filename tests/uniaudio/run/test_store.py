"""A checkpoint is used where the pipeline published it: its codec is found, its tasks are those of its whole training."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from uniaudio_schemas.errors import FingerprintError, UsageError
from uniaudio_schemas.kinds.checkpoint import TASK_STATISTIC, Checkpoint, LedgerEntry
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import a_plan, example_rows

from uniaudio.cli import main
from uniaudio.run.folder import Parts, load_parts
from uniaudio.run.model import Options, UniAudio
from uniaudio.testing import tiny_codec
from uniaudio.training.sharding import full_tensors

SHORT = Options(max_seconds=0.2, max_text=4)


def ledger(**counts: int) -> list[LedgerEntry]:
    return [LedgerEntry(mixture=name, num_examples=count, num_loss_tokens=count) for name, count in counts.items()]


def publish(
    store: Store, kind: str, row: Checkpoint | CodecRow, weights: bytes, ref: str, *, tasks: Sequence[str] = ()
) -> None:
    plan = a_plan(kind, units=("all",), made=ref)
    with store.writer(plan, owner="me", ref=ref) as writer:
        blob = writer.put_blob(weights)
        statistics = {f"{TASK_STATISTIC}{task}": 1.0 for task in tasks}
        writer.put_shard("all", [replace(row, weights=blob)], statistics=statistics, blobs=[blob])
        writer.publish()


@pytest.fixture(scope="module")
def store(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec, and a second stage trained on captions behind a first one trained on speech."""
    folder = tmp_path_factory.mktemp("published")
    store, codec = Store(folder / "store"), tiny_codec()
    codec.save(folder / "codec")
    [codec_row] = example_rows("codec")
    codec_row = replace(codec_row, codec_id=codec.fingerprint, config=codec.config.to_json())
    publish(store, "codec", codec_row, (folder / "codec" / "codec.safetensors").read_bytes(), "latest")
    save_file(full_tensors(parts.model), folder / "model.safetensors")
    [row] = example_rows("checkpoint")
    config = {
        "model": json.loads(parts.model.config.to_json()),
        "vocabulary": json.loads(parts.vocabulary.to_json()),
        "stage": {},
    }
    shared = {
        "config": json.dumps(config),
        "vocabulary_fingerprint": parts.vocabulary.fingerprint,
        "codec_fingerprint": codec.fingerprint,
    }
    first = replace(row, checkpoint_id="a" * 32, parent=None, ledger=ledger(asr=3, tts=0), **shared)
    second = replace(row, checkpoint_id="b" * 32, parent="a" * 32, ledger=ledger(audio_caption=1), **shared)
    weights = (folder / "model.safetensors").read_bytes()
    publish(store, "checkpoint", first, weights, "stage1")
    publish(store, "checkpoint", second, weights, "latest")
    third = replace(row, checkpoint_id="c" * 32, parent="a" * 32, ledger=ledger(auditory_sentences=2), **shared)
    publish(store, "checkpoint", third, weights, "groups")
    third = replace(third, checkpoint_id="d" * 32)
    publish(store, "checkpoint", third, weights, "tasks", tasks=("emotion_recognition", "sentence_mixture"))
    return folder / "store"


def test_the_latest_checkpoint_of_a_store_answers_as_the_model_in_memory(
    store: Path, model: UniAudio, clip: np.ndarray
) -> None:
    found = UniAudio.from_pretrained(store)
    answer, expected = found.run("asr", clip, options=SHORT), model.run("asr", clip, options=SHORT)
    assert answer.generated.segments[0].ids.tolist() == expected.generated.segments[0].ids.tolist()


def test_a_model_knows_what_it_and_its_parents_drew_examples_of(store: Path) -> None:
    assert UniAudio.from_pretrained(store).tasks == ["asr", "audio_caption"]
    assert UniAudio.from_pretrained(store / "checkpoint" / "refs" / "stage1").tasks == ["asr"]
    [version] = [path for path in (store / "checkpoint" / "versions").iterdir() if len(load_parts(path).tasks) == 1]
    assert load_parts(version.with_suffix("")).tasks == {"asr"}


def test_tasks_that_share_a_mixture_group_are_known_one_by_one_where_the_version_names_them(
    store: Path, tmp_path: Path
) -> None:
    of_groups, of_tasks = (
        UniAudio.from_pretrained(store / "checkpoint" / "refs" / name) for name in ("groups", "tasks")
    )
    assert of_tasks.tasks == ["asr", "emotion_recognition"]
    assert {"voice_conversion", *of_tasks.tasks} <= set(of_groups.tasks)
    with pytest.raises(UsageError, match="must be one that the model was trained on"):
        of_tasks.run("voice_conversion", text="x")
    of_tasks.save(tmp_path)
    about = json.loads((tmp_path / "uniaudio.json").read_text())
    assert about["tasks"] == ["asr", "emotion_recognition", "sentence_mixture"]
    assert UniAudio.from_pretrained(tmp_path).tasks == of_tasks.tasks


def test_a_ref_that_is_not_there_and_a_codec_that_is_gone_are_named(
    store: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="must be the folder of a model or a store with a checkpoint"):
        load_parts(store / "checkpoint" / "refs" / "stage9")
    versions = Store.versions
    monkeypatch.setattr(Store, "versions", lambda self, kind: [] if kind == "codec" else versions(self, kind))
    with pytest.raises(FingerprintError, match="does not hold it any more; name its folder with `--codec`"):
        UniAudio.from_pretrained(store).run("asr", clip)


def test_a_codec_of_another_shape_ends_in_one_line(
    store: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from uniaudio.codec.codec import ReasoningCodec

    load = ReasoningCodec.load_files
    config = tiny_codec().config
    wider = replace(config, reasoning=replace(config.reasoning, codebook_size=32)).to_json()
    monkeypatch.setattr(ReasoningCodec, "load_files", lambda _config, weights: load(wider, weights))
    assert main(["run", "asr", str(clip_folder / "0.wav"), "--model", str(store)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "not the weights of a debug codec" in line
    assert "24 misshapen: reasoning.quantizer.codebooks.0" in line
