"""`checkpoint_to_scores` on a small store, in this process."""

import io
import json
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_scores import reconstruction
from uniaudio_pipelines.checkpoint_to_scores.declared import TASK_BENCHMARKS, inputs_of
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import BENCHMARKS, CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.judging import judge
from uniaudio_pipelines.checkpoint_to_scores.likelihood import better_of_chance, rate
from uniaudio_pipelines.checkpoint_to_scores.measures import MEASURES
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome
from uniaudio_pipelines.checkpoint_to_scores.picture import png_bytes, spectrogram_png
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample, reference_of
from uniaudio_pipelines.checkpoint_to_scores.tasks import lineage_of
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools
from uniaudio_pipelines.checkpoint_to_scores.worker import OF_NO_TASK, ScoreWorker
from uniaudio_pipelines.running.edge import ShardResult, run_edge
from uniaudio_schemas.errors import FingerprintError, UsageError
from uniaudio_schemas.kinds.checkpoint import LedgerEntry
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store

from tests.pipelines.checkpoint_to_scores.conftest import CLIPS, HEARD
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.lm.answer import Generated, GeneratedSegment
from uniaudio.lm.generate import generate
from uniaudio.metrics.table import METRICS, check_metrics
from uniaudio.tasks import TASKS
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("soundfile")
pytest.importorskip("transformers")

JOB = CheckpointToScores(max_text=12, max_frames=4, decode_steps=1, num_clips=1, evalsets=())


def score(built: Any, benchmark: str, job: CheckpointToScores = JOB) -> ShardResult:
    worker = ScoreWorker(str(built.store.root), job, job.plan(built.store))
    result = worker.process(benchmark)
    # Files of its scratch folder, which goes with the worker.
    return replace(result, blobs=tuple(bytes_of(result)))


def by_name(result: ShardResult) -> dict[tuple[str, str], Score]:
    return {(row.metric, row.domain): row for row in result.rows}


def reasons(result: ShardResult) -> set[tuple[str, str]]:
    return {(row.row_id, row.reason) for row in result.dropped}


def test_every_benchmark_of_the_job_has_a_function() -> None:
    assert {*OF_NO_TASK, *TASK_BENCHMARKS, "starter"} == set(BENCHMARKS)


def test_planning_needs_neither_torch_nor_ray() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['ray'] = None\n"
        "from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_recognition_is_scored_only_on_words_that_the_source_gives(built: Any) -> None:
    result = score(built, "asr")
    rows = by_name(result)
    assert set(rows) == {("wer", "speech"), ("cer", "speech")}
    wer = rows["wer", "speech"]
    assert (wer.num_samples, wer.baseline_value, wer.low) == (1, 1.0, None)
    assert reasons(result) == {("asr-speech-test", "no_given_text")}
    (line,) = [json.loads(line) for line in blob_of(result, wer.predictions).splitlines()]
    assert line["reference"] == "come here"
    assert line["metrics"]["wer"][1] == 2
    assert line["recording"] == "speech-val"


def blob_of(result: ShardResult, digest: str | None) -> bytes:
    from uniaudio_schemas.fingerprint import hash_bytes

    return next(blob for blob in bytes_of(result) if hash_bytes(blob) == digest)


def bytes_of(result: ShardResult) -> list[bytes]:
    return [blob.read_bytes() if isinstance(blob, Path) else bytes(blob) for blob in result.blobs]  # type: ignore[arg-type]


def test_what_the_lineage_proves_of_a_task_is_of_every_stage(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    first, second = evaluation.stages
    seen = [LedgerEntry(mixture="asr", num_examples=5, num_loss_tokens=9)]
    evaluation.__dict__["stages"] = [replace(first, ledger=seen), replace(second, ledger=[])]
    assert (evaluation.num_seen("asr"), evaluation.num_seen("tts"), evaluation.num_seen("emotion")) == (5, 0, 0)
    assert lineage_of(evaluation, "asr") == {"num_task_examples_seen": 5, "is_task_new": False}
    assert lineage_of(evaluation, "tts")["is_task_new"]
    evaluation.__dict__["stages"] = [replace(first, sequences="0" * 32), second]
    assert lineage_of(evaluation, "tts") == {"num_task_examples_seen": None, "is_task_new": None}


def test_nothing_is_proven_of_a_model_from_elsewhere(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    evaluation.__dict__["stages"] = evaluation.stages[1:]  # what came before is not in the store
    assert evaluation.num_seen("emotion") is None


def test_what_a_recognizer_heard_is_never_a_reference(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    rows = {row.instruction_id: row for row in evaluation.task_instructions("asr")}
    clips = evaluation.annotated(CLIPS)
    assert clips["speech-test"].transcript == HEARD
    assert reference_of(TASKS["asr"], rows["asr-speech-test"], clips) == ""
    assert reference_of(TASKS["asr"], rows["asr-speech-val"], clips) == "come here"


def test_copies_are_found_among_held_out_clips(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    assert evaluation.copies_of_training(evaluation.annotated(CLIPS).values()) == {"sound-copy"}


def test_a_held_out_copy_of_a_training_clip_is_not_scored(built: Any) -> None:
    result = score(built, "audio_caption")
    assert reasons(result) >= {("audio_caption-sound-copy", "copy")}
    (row,) = {row.num_samples for row in result.rows}
    assert row == 1
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    assert [clip.clip_id for clip in evaluation.held_out_clips("sound", 9)] == ["sound-val"]


def test_what_is_declared_and_cannot_be_computed_is_an_error() -> None:
    for metrics, message in ((("pesq",), "pesq needs audio made beside"), (("bleu",), "but hold bleu")):
        task = replace(TASKS["asr"], metrics=metrics)
        with pytest.raises(UsageError, match=message):
            check_metrics(task.name, task.metrics, inputs_of(task))


def test_every_task_is_a_benchmark_and_every_metric_has_its_function() -> None:
    assert set(TASK_BENCHMARKS) == set(TASKS)
    assert {name for name, one in METRICS.items() if one.needs not in ("sets", "tokens")} == set(MEASURES)


def test_answers_are_kept_and_not_written_again(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = score(built, "asr")
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.generation.generate", None)
    assert bytes_of(score(built, "asr", replace(JOB, batch_size=1))) == bytes_of(first)
    with pytest.raises(TypeError):
        score(built, "asr", replace(JOB, max_text=11))  # another cap is another answer


def test_tasks_are_answered_together_and_the_scores_are_those_of_each_alone(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(JOB, benchmarks=("asr", "audio_caption"), num_answers=3, shard_size=64, batch_size=64, max_text=7)
    plan = job.plan(built.store)
    assert plan.units == ["answers-00000", "asr", "audio_caption"]
    alone = [score(built, task, replace(job, benchmarks=(task,), max_frames=3)) for task in job.benchmarks]
    sizes: list[int] = []

    def counted(model: Any, prompts: Any, **options: Any) -> Any:
        sizes.append(len(prompts))
        return generate(model, prompts, **options)

    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.generation.generate", counted)
    worker = ScoreWorker(str(built.store.root), job, plan)
    assert not worker.process("answers-00000").rows
    assert sizes == [2]  # of one clip that is recognized, and of one that is captioned
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.generation.generate", None)
    together = [worker.process(task) for task in job.benchmarks]
    assert [[row.value for row in one.rows] for one in together] == [[row.value for row in one.rows] for one in alone]


def test_answers_are_cut_into_units_of_one_size_whatever_the_tasks() -> None:
    job = replace(JOB, benchmarks=("asr", "tts", "audio_caption"), num_answers=5, num_made=3, shard_size=4)
    units = job.answer_units()
    assert [[(piece.task, piece.first, piece.last) for piece in pieces] for pieces in units.values()] == [
        [("asr", 0, 4)],
        [("asr", 4, 5)],
        [("audio_caption", 0, 4)],
        [("audio_caption", 4, 5)],
        [("tts", 0, 3)],
    ]
    assert [len(pieces) for pieces in replace(job, shard_size=10).answer_units().values()] == [2, 1]


@pytest.fixture
def no_dnsmos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second a clip, which tests of other things save."""
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.measures.dnsmos", lambda *args: None)


@pytest.mark.usefixtures("no_dnsmos")
def test_a_metric_whose_model_is_missing_is_dropped_by_name(built: Any) -> None:
    result = score(built, "tts", replace(JOB, models="/nowhere"))
    assert ("wer", "not_installed") in reasons(result)
    (detail,) = {row.detail for row in result.dropped if row.row_id == "wer"}
    assert detail == "whisper-base/tokenizer.json must lie below `models`, but /nowhere has none"


def test_losses_of_codes_stand_beside_a_unigram_of_training(built: Any) -> None:
    result = score(built, "beside_chance", replace(JOB, num_sequences=1))
    rows = by_name(result)
    assert {name for name, _ in rows} == {"stage1/asr", "stage2/asr"}
    assert all(row.baseline.endswith("and uniform (5.595)") for row in rows.values())
    # "heard words" in the one training example, "come here" and "heard words" held out: the letters are known.
    assert all(row.baseline_value is not None and row.baseline_value < 5.595 for row in rows.values())


def test_a_unigram_that_is_worse_than_knowing_nothing_is_no_baseline() -> None:
    told = "the better of a unigram of training (80) and uniform (64)"
    assert better_of_chance(80.0, 64.0) == (64.0, told)
    assert better_of_chance(50.0, 64.0)[0] == 50.0


def test_a_caption_is_compared_with_the_most_frequent_training_caption(built: Any) -> None:
    row = by_name(score(built, "audio_caption"))["unigram_f1", "sound"]
    assert row.baseline_value == 1.0  # the held-out caption is the training caption here
    assert 0.0 <= row.value <= 1.0


def test_what_nothing_is_held_out_for_is_dropped_by_name(built: Any) -> None:
    result = score(built, "music_caption")
    assert not result.rows
    assert reasons(result) == {("music_caption", "no_samples")}


def test_the_codec_is_scored_in_each_domain_and_shown(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    monkeypatch.setattr(reconstruction, "shipped_codec", lambda: None)
    result = score(built, "codec")
    rows = by_name(result)
    assert {("log_mel_distance", "speech"), ("log_mel_distance", "sound")} <= set(rows)
    assert ("music", "no_samples") in reasons(result)
    media = [medium for row in result.rows for medium in row.media]
    assert [medium.mime for medium in media] == ["image/png", "audio/flac"] * 4
    assert blob_of(result, media[0].blob).startswith(b"\x89PNG")
    assert blob_of(result, media[1].blob).startswith(b"fLaC")


@pytest.mark.parametrize("is_another", [True, False])
def test_a_clip_is_shown_through_the_codec_that_comes_with_the_project(
    is_another: bool, built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = ReasoningCodec.create(CodecConfig.preset("debug"), seed=1)
    (another if is_another else tiny_codec()).save(tmp_path)
    monkeypatch.setattr(reconstruction, "shipped_codec", lambda: tmp_path)
    titles = [medium.title for row in score(built, "codec").rows for medium in row.media]
    shown = [title for title in titles if "starter codec" in title]
    assert shown == [
        f"{domain}: reconstruction by the starter codec"
        for domain in ("speech", "sound")
        if is_another
        for _ in range(2)
    ]


def test_an_untrained_model_is_about_as_unsure_as_the_uniform_one(built: Any) -> None:
    rows = by_name(score(built, "perplexity"))
    text = rows["text_perplexity", "text"]
    assert text.baseline.endswith("and uniform (269)")
    assert 0.2 < text.value / 269 < 5
    reasoning = rows["reasoning_perplexity", "audio"]
    assert reasoning.baseline.endswith("and uniform (64)")
    assert 0.8 < reasoning.value / 64 < 1.25
    # The clips of the store are tones: their codes repeat.
    assert reasoning.baseline_value is not None
    assert reasoning.baseline_value < 64
    streams = {name for name, _ in rows if name.startswith("reconstruction")}
    assert streams == {f"reconstruction/{part}_perplexity" for part in ("phone", "music", "acoustic")}
    assert text.low is not None
    assert text.high is not None
    assert text.low <= text.value <= text.high


def test_the_rated_tokens_are_the_codes_that_carry_loss(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    (sequence,) = evaluation.held_out("tts", 1)
    losses = rate(evaluation, sequence)
    assert {name: count for name, (_, count) in losses.items()} == {
        "reasoning": 4 * 8,  # 0.8 s at 5 Hz
        "reconstruction/phone": 10,
        "reconstruction/music": 10,
        "reconstruction/acoustic": 60,
    }


def test_speech_is_made_and_the_job_s_limit_is_not_taken_for_its_length(built: Any) -> None:
    result = score(built, "tts")
    assert ("length_error", "speech") not in by_name(result)
    found = Counter(row.reason for row in result.dropped if row.row_id.endswith("/length_error"))
    assert found == {"not_finished": 2}
    lines = [json.loads(line) for blob in bytes_of(result) if blob.startswith(b"{") for line in blob.splitlines()]
    assert {(line["finished"], line["frames"], line["recorded_frames"]) for line in lines} == {("length", 4, 10)}


def say(
    built: Any, monkeypatch: pytest.MonkeyPatch, num_frames: tuple[int, ...], job: CheckpointToScores
) -> ShardResult:
    """The score of answers of these numbers of frames that ended by themselves."""
    answers = [
        Generated(
            (
                GeneratedSegment("reasoning", np.zeros((-(-count * 2 // 5), 8), np.int16), "stop"),
                GeneratedSegment("reconstruction", np.zeros((count, 8), np.int16), "stop"),
            )
        )
        for count in num_frames
    ]
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.tasks.answers", lambda *args: answers)
    return score(built, "tts", job)


@pytest.mark.usefixtures("no_dnsmos")
def test_a_length_is_compared_with_the_usual_one_whatever_the_limit(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for max_frames in (20, 50):
        result = say(built, monkeypatch, (20, 20), replace(JOB, max_frames=max_frames))
        row = by_name(result)["length_error", "speech"]
        assert row.value == pytest.approx(np.log(2))  # 20 frames for 10
        assert row.baseline_value == 0.0  # all recordings of the store have one length
        assert row.num_samples == 2
        assert [medium.mime for one in result.rows for medium in one.media] == ["image/png", "audio/flac"]


def spoken(name: str, recorded_hz: float, made_hz: float) -> Sample:
    return Sample(
        sample_id=name,
        recording=name,
        prompt=None,
        clip_ids=[name],
        reference="",
        language="en",
        choices=(),
        recorded=[name],
        source="",
        voice="",
        domain="speech",
        audio=lambda clip: a_waveform(0.5, frequency=recorded_hz),
        made=[a_waveform(0.5, frequency=made_hz)],
    )


def test_instructed_speech_is_heard_beside_its_recording_and_that_of_another(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    outcome = Outcome(benchmark="instruct_tts", checkpoint_id="c")
    samples = [spoken("a", 200, 100), spoken("b", 150, 150)]
    judge(outcome, samples, ["pitch_error"], Tools(evaluation, Models(""), TASKS["instruct_tts"]), title="made")
    (row,) = outcome.scores
    assert row.value == pytest.approx((12 + 0) / 2, abs=0.2)
    assert row.baseline_value == pytest.approx(12 * np.log2(200 / 150), abs=0.2)
    assert not row.higher_is_better


def test_held_out_losses_come_from_every_stage_beside_chance(built: Any) -> None:
    rows = by_name(score(built, "held_out_loss"))
    found = {
        name: (row.value, row.baseline_value, row.baseline, row.beside_baseline) for (name, _), row in rows.items()
    }
    chance = "the better of a unigram of training (2.9) and uniform (5.6)"
    assert found == {
        "stage1/asr": (4.0, 5.0, "before stage1", "better"),
        "stage2/asr": (3.0, 2.9, chance, "worse"),
    }


@pytest.mark.usefixtures("no_dnsmos")
def test_scoring_twice_gives_the_same_rows_and_blobs(built: Any) -> None:
    for benchmark in ("asr", "tts"):
        first, second = score(built, benchmark), score(built, benchmark)
        assert to_table(first.rows, Score).equals(to_table(second.rows, Score))
        assert bytes_of(first) == bytes_of(second)


def test_the_edge_publishes_scores_once_and_then_has_nothing_to_do(
    built: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    job = replace(JOB, benchmarks=("held_out_loss", "music_caption"), ref="quick")
    manifest = run_edge(built.store, job, ScoreWorker, num_workers=0)
    assert manifest.num_rows == 2
    assert manifest.dropped == {"no_samples": 1}
    assert run_edge(built.store, job, ScoreWorker, num_workers=0) == manifest
    assert capsys.readouterr().out.count("SUMMARY") == 2
    assert built.store.head("scores", "quick") == manifest


def test_the_versions_are_the_checkpoints_own_ancestors(built: Any) -> None:
    plan = JOB.plan(built.store)
    assert set(plan.parents) == {"checkpoint", "sequences", "instructions", "codec", "annotated", "raw"}
    assert all(plan.parents[kind] == built.manifests[kind].content_id for kind in plan.parents)
    assert plan.plan_id == replace(JOB, ref="other").plan(built.store).plan_id
    assert plan.plan_id != replace(JOB, num_clips=2).plan(built.store).plan_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": ("asr", "bleu")}, "must be some of text_only"),
        ({"benchmarks": (), "evalsets": ()}, "but is empty"),
        ({"shots": (-1,)}, "`shots` must be 0 or more"),
        ({"evalsets": ("digits",)}, "digits is not: `uniaudio evalset build digits`"),
        ({"evalsets": ("esc50",)}, "`uniaudio evalset add esc50 FOLDER`"),
        ({"evalsets": ("nothing",)}, "nothing has none"),
        ({"num_clips": 0}, "`num_clips` must be 1 or more"),
        ({"device": "tpu"}, "but is 'tpu'"),
    ],
)
def test_a_job_that_cannot_be_is_refused(built: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(JOB, **changes).plan(built.store)


def test_a_store_without_a_checkpoint_says_which_flow_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prefect deployment run train-stage/local"):
        JOB.plan(Store(tmp_path))


def test_a_codec_of_other_tokens_is_refused(built: Any) -> None:
    evaluation = Evaluation(str(built.store.root), JOB, JOB.plan(built.store))
    evaluation.checkpoint = replace(evaluation.checkpoint, codec_fingerprint="another")
    with pytest.raises(FingerprintError, match="tokens of codec another"):
        _ = evaluation.codec


def test_a_value_that_is_not_finite_is_dropped_and_not_written() -> None:
    outcome = Outcome(benchmark="perplexity", checkpoint_id="c")
    metric = Metric(name="text_perplexity", higher_is_better=False, baseline="uniform")
    outcome.add(
        metric, "text", Estimate.of([1e9], [1.0], recordings=["a"], shape=lambda mean: float("inf")), baseline_value=2.0
    )
    outcome.add(metric, "audio", Estimate.of([], recordings=[]), baseline_value=2.0)
    assert not outcome.scores
    assert [row.reason for row in outcome.dropped] == ["no_score", "no_score"]


def read_png(data: bytes) -> np.ndarray:
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    length = int.from_bytes(data[33:37])
    lines = np.frombuffer(zlib.decompress(data[41 : 41 + length]), np.uint8).reshape(height, 1 + 3 * width)
    return lines[:, 1:].reshape(height, width, 3)


def test_a_png_holds_the_pixels_it_was_given() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(read_png(png_bytes(image)), image)
    pillow = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(pillow.open(io.BytesIO(png_bytes(image)))), image)


def test_a_tone_is_a_bright_line_in_its_spectrogram() -> None:
    tone = np.sin(2 * np.pi * 3_000 * np.arange(24_000) / 24_000).astype(np.float32)
    image = read_png(spectrogram_png(tone, 24_000)).astype(int).sum(axis=2)
    assert image.shape == (160, 94)
    assert (image.max(axis=0) > 600).all()
    assert (image > 600).mean() < 0.1
    assert read_png(spectrogram_png(a_waveform(0.01), 24_000)).shape[0] == 160  # shorter than a window


def test_cuts_of_one_recording_make_no_interval() -> None:
    one, two = (Estimate.of([1.0, 2.0], recordings=recordings) for recordings in (["a", "a"], ["a", "b"]))
    assert one is not None
    assert two is not None
    assert (one.value, one.num_samples, one.low) == (1.5, 2, None)
    assert (two.low, two.high) == (1.0, 2.0)
