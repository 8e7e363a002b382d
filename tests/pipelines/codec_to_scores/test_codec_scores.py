"""A codec is scored: what it reconstructs, how well its tokens are predicted, what is understood from them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.codec_to_scores import reconstruction as module
from uniaudio_pipelines.codec_to_scores.clips import CodecClips
from uniaudio_pipelines.codec_to_scores.job import QUESTIONS, VARIANTS, VIEWS, CodecToScores
from uniaudio_pipelines.codec_to_scores.perplexity import Rated, grid_of_clip, rate, train_lm
from uniaudio_pipelines.codec_to_scores.understanding import QUESTIONS_ASKED
from uniaudio_pipelines.codec_to_scores.worker import CodecScoreWorker
from uniaudio_pipelines.running.edge import ShardResult, run_edge
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.store import Store

from tests.pipelines.checkpoint_to_scores.conftest import CLIPS, write_audio, write_codec
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer

pytest.importorskip("soundfile")

JOB = CodecToScores(
    coders=(), num_clips=4, num_train_clips=3, lm_steps=2, understanding_steps=2, decode_steps=1, shard_size=4
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("codec_scores")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLIPS, "speech-test", ("speech", "test", "Come here!"))
        raw, annotated, _ = write_audio(store)
    write_codec(store, folder / "codec", {"annotated": annotated.content_id, "raw": raw.content_id})
    return store


@pytest.fixture(scope="module")
def clips(store: Store) -> CodecClips:
    return CodecClips(str(store.root), JOB, JOB.plan(store))


def worker_of(store: Store, job: CodecToScores = JOB) -> CodecScoreWorker:
    return CodecScoreWorker(str(store.root), job, job.plan(store))


def by_key(result: ShardResult) -> dict[tuple[str, str], CodecScore]:
    return {(row.domain, row.metric): row for row in result.rows}


def lines_of(result: ShardResult, row: CodecScore) -> list[dict[str, Any]]:
    from uniaudio_schemas.fingerprint import hash_bytes

    blob = next(one for one in result.blobs if isinstance(one, bytes) and hash_bytes(one) == row.predictions)
    return [json.loads(line) for line in blob.decode().splitlines()]


def test_a_codec_reconstructs_what_it_was_not_trained_on_beside_white_noise(store: Store) -> None:
    result = worker_of(store).process("reconstruction-ours")
    rows = by_key(result)
    assert {domain for domain, _ in rows} == {"speech", "sound"}
    row = rows["sound", "log_mel_distance"]
    assert row.system == "ReasoningCodec debug" and row.bits_per_s == pytest.approx(940, rel=0.01)
    assert row.value > 0 and row.baseline_value and not row.higher_is_better
    assert [line["clip_ids"] for line in lines_of(result, row)] == [["sound-val"]]  # neither training clip nor its copy
    assert {(one.row_id, one.reason) for one in result.dropped} >= {("music", "no_samples"), ("wer", "not_installed")}


def test_what_is_not_coded_loses_nothing(store: Store) -> None:
    rows = by_key(worker_of(store).process("reconstruction-original"))
    assert rows["speech", "log_mel_distance"].value == rows["sound", "stft_distance"].value == 0.0
    assert rows["speech", "log_mel_distance"].baseline_value


def test_a_coder_that_is_not_there_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio.codec.evaluation.programs.shutil.which", lambda name: None)
    result = worker_of(store, replace(JOB, coders=("codec2",))).process("reconstruction-codec2")
    assert not result.rows
    (dropped,) = result.dropped
    assert dropped.reason == "not_installed" and "apt install codec2" in (dropped.detail or "")


def test_a_shard_leaves_the_score_nothing_to_measure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(JOB, parts=("reconstruction",), shard_size=1, guidance=1.0)
    plan = job.plan(store)
    assert [unit for unit in plan.units if unit.endswith("-ours") or "-ours-" in unit] == [
        *(f"measured-ours-0000{number}" for number in range(4)), "reconstruction-ours"
    ]  # fmt: skip
    worker = worker_of(store, job)
    worker.process("reconstruction-original")  # and white noise
    made = [worker.process(f"measured-ours-0000{number}") for number in range(4)]
    assert not any(one.rows or one.dropped for one in made)
    whole = worker_of(store, replace(job, shard_size=9)).process("reconstruction-ours")
    monkeypatch.setattr(module, "measured_row", None)
    assert worker.process("reconstruction-ours").rows == whole.rows
    with pytest.raises(TypeError):
        worker_of(store, replace(job, guidance=1.25)).process("reconstruction-ours")  # another sound


def test_reasoning_tokens_are_given_and_not_predicted(clips: CodecClips) -> None:
    vocabulary = Vocabulary.build(ByteTokenizer(), 64, 128)
    (one,) = [clip for clip in clips.trained if clip.row.clip_id == "speech-train"]
    alone, given = (grid_of_clip(one, f"reconstruction{end}", vocabulary) for end in ("", "_given_reasoning"))
    num_frames = len(one.encoded.reconstruction_codes)
    assert alone.loss.sum() == given.loss.sum() == num_frames + 2
    assert np.array_equal(given.ids[-len(alone) :], alone.ids)
    assert len(given) - len(alone) == len(one.encoded.reasoning_codes) + 2
    assert not given.loss[: -len(alone)].any()


def test_a_language_model_learns_the_tokens_of_its_training_clips(clips: CodecClips) -> None:
    vocabulary = Vocabulary.build(ByteTokenizer(), 64, 128)
    rated = Rated("reconstruction", vocabulary.reconstruction_offset, 128)
    grids = [grid_of_clip(one, "reconstruction", vocabulary) for one in clips.trained]
    before, after = (
        train_lm(grids, rated, vocabulary, size="debug", steps=steps, seed=0, device="cpu") for steps in (1, 30)
    )
    losses = [np.mean([rate(model, grid, rated).mean() for grid in grids]) for model in (before, after)]
    assert losses[0] > 4.0 > losses[1]  # ln 128 is 4.85
    assert rate(after, grids[0], rated).shape == (len(clips.trained[0].encoded.reconstruction_codes), 8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_rated_over_its_own_codes(store: Store, variant: str) -> None:
    result = worker_of(store).process(f"perplexity-{variant}")
    rows = by_key(result)
    row = rows["sound", "token_perplexity"]
    num_codes = 64 if variant == "reasoning" else 128
    assert row.system == variant.replace("_", " ")
    assert row.baseline_value is not None and row.baseline_value <= num_codes and row.value < 3 * num_codes
    ((_, count),) = [line["metrics"]["token_perplexity"] for line in lines_of(result, row)]
    assert count == 8 * (4 if variant == "reasoning" else 10)  # 0.8 s


@pytest.fixture
def tiny_questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked = replace(QUESTIONS_ASKED["domain"], answer=lambda row: row.domain if row.domain == "speech" else "other")
    monkeypatch.setitem(QUESTIONS_ASKED, "domain", asked)
    yield


@pytest.mark.usefixtures("tiny_questions")
@pytest.mark.parametrize("view", VIEWS)
def test_a_question_is_asked_of_every_view(store: Store, view: str) -> None:
    result = worker_of(store).process(f"understanding-domain-{view}")
    (row,) = result.rows
    assert (row.system, row.metric, row.num_samples) == (view.replace("_", " "), "accuracy", 2)
    assert row.baseline == "most frequent training answer" and row.baseline_value == 0.5
    assert {line["reference"] for line in lines_of(result, row)} == {"speech", "other"}
    assert (row.bits_per_s is None) == (view not in ("reasoning", "reconstruction", "both"))


def test_words_are_the_sources_and_never_a_recognizers(store: Store) -> None:
    result = worker_of(store).process("understanding-asr-encoder")
    assert {row.metric for row in result.rows} == {"wer", "cer"}
    assert [line["reference"] for line in lines_of(result, result.rows[0])] == ["come here"]
    assert all(row.baseline_value == 1.0 for row in result.rows)


def test_a_question_without_labels_is_dropped_by_name(store: Store) -> None:
    result = worker_of(store).process("understanding-emotion-both")
    assert not result.rows and [one.reason for one in result.dropped] == ["no_labels"]


def test_every_question_of_the_job_can_be_asked() -> None:
    assert tuple(QUESTIONS_ASKED) == QUESTIONS


def test_the_edge_publishes_once_and_then_has_nothing_to_do(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    job = replace(JOB, parts=("reconstruction",))
    first = run_edge(store, job, CodecScoreWorker, num_workers=0)
    assert first.kind == "codec_scores" and first.parents.keys() == {"codec", "annotated", "raw"}
    assert len({row.system for row in store.rows(first, CodecScore)}) == 4
    capsys.readouterr()
    assert run_edge(store, job, CodecScoreWorker, num_workers=0).plan_id == first.plan_id
    assert '"attempts": 0' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": ()}, "`parts` must be some of"),
        ({"coders": ("mp3",)}, "`coders` must be some of opus, codec2, speex, but hold mp3"),
        ({"max_clip_s": 31.0}, "`max_clip_s` must lie between"),
        ({"lm_size": "huge"}, "`lm_size` must be one of"),
    ],
)
def test_a_job_that_cannot_be_is_refused(store: Store, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(JOB, **changes).plan(store)


def test_what_a_codec_was_trained_on_must_be_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match="train-codec"):
        JOB.plan(store)
    write_codec(store, tmp_path / "codec", {"annotated": "0" * 32})
    with pytest.raises(UsageError, match="`codec` must be one whose annotated"):
        JOB.plan(store)
