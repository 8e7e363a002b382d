"""The front door: the same answers however one asks, and one line for whatever does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError

import uniaudio
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm.sampling import Sampling
from uniaudio.run.folder import Parts, load_parts, save_parts
from uniaudio.run.model import Options, Result, UniAudio
from uniaudio.run.request import Request
from uniaudio.run.streaming import audio_pieces
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.testing import a_waveform, tiny_codec, tiny_lm

SHORT = Options(max_seconds=0.4, max_text=8, decode_steps=1)


def same(first: Result, second: Result) -> bool:
    return first.texts == second.texts and all(map(np.array_equal, first.clips, second.clips))


def codes_of(result: Result) -> list[object]:
    """Clips are compared as codes: sums inside the decoder depend on the batch in their last digit."""
    return [segment.ids.tolist() for segment in result.generated.segments]


def test_a_saved_model_gives_the_answers_of_the_one_in_memory(
    model: UniAudio, model_folder: Path, clip: np.ndarray
) -> None:
    loaded = uniaudio.UniAudio.from_pretrained(model_folder)
    for task, request in (("asr", {"audio": clip}), ("tts", {"text": "hello"})):
        assert same(loaded.run(task, options=SHORT, **request), model.run(task, options=SHORT, **request))


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_a_compiled_model_gives_the_answers_of_one_that_is_not(
    model: UniAudio, model_folder: Path, clip: np.ndarray
) -> None:
    compiled = uniaudio.UniAudio.from_pretrained(model_folder, compile=True)
    assert compiled.parts.model.compiles and not model.parts.model.compiles
    for task, request in (("asr", {"audio": clip}), ("tts", {"text": "hello"})):
        answers = (each.run(task, options=SHORT, **request) for each in (compiled, model))
        assert same(*answers)


@pytest.mark.parametrize("task", ["asr", "speech_denoise"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_of_unequal_clips_gives_the_answers_of_single_ones(
    model: UniAudio, task: str, temperature: float
) -> None:
    clips = [a_waveform(duration_s) for duration_s in (0.4, 1.3, 0.7)]
    options = [replace(SHORT, sampling=Sampling(temperature=temperature, seed=seed)) for seed in (5, 6, 7)]
    batched = model.run_all(task, [Request(audio=clip) for clip in clips], options[0])
    for answer, clip, alone in zip(batched, clips, options, strict=True):
        expected = model.run(task, clip, options=alone)
        assert answer.texts == expected.texts
        assert codes_of(answer) == codes_of(expected)


def test_audio_answers_are_clips_of_whole_frames_and_at_most_the_stated_length(model: UniAudio) -> None:
    answer = model.run("tts", text="hello", options=SHORT)
    assert answer.texts == ()
    assert len(answer.audio) % 1920 == 0
    assert 1920 <= len(answer.audio) <= 0.4 * 24_000


def test_a_mixture_is_answered_with_two_clips(model: UniAudio, clip: np.ndarray) -> None:
    assert len(model.run("separate", clip, options=SHORT).clips) == 2


@pytest.mark.parametrize("num_examples", [1, 3])
@pytest.mark.parametrize("task", ["vc", "enhance"])
def test_a_model_of_auditory_sentences_alone_follows_examples(
    parts: Parts, clip: np.ndarray, task: str, num_examples: int
) -> None:
    model = UniAudio(replace(parts, tasks=frozenset({"asr", "auditory_sentences"})))
    noise = 0.1 * np.random.default_rng(0).standard_normal(clip.size).astype(np.float32)
    options = replace(SHORT, max_seconds=1.0)
    answer = model.run(task, clip, examples=((clip, noise),) * num_examples, options=options)
    other = model.run(task, clip, examples=((noise, clip),) * num_examples, options=options)
    assert len(answer.clips) == 1
    assert codes_of(answer) != codes_of(other), "the examples must be read"
    assert {"asr", "voice_conversion", "speech_enhancement"} <= set(model.tasks)
    assert "sentence_mixture" not in model.tasks


def test_audio_can_be_written_without_any_condition(model: UniAudio) -> None:
    assert len(model.run("audio_only", options=SHORT).clips) == 1


def test_streamed_pieces_add_up_to_the_answer(model: UniAudio, clip: np.ndarray) -> None:
    options = replace(SHORT, sampling=Sampling(temperature=1.0, seed=2), max_text=40)
    pieces = list(model.stream("asr", clip, options=options))
    assert len(pieces) > 1
    assert "".join(pieces).strip() == model.run("asr", clip, options=options).text


@pytest.mark.parametrize("window_s", [0.0, 4.0])
def test_streamed_audio_is_that_of_the_answer_in_such_windows_and_begins_before_its_end(
    model: UniAudio, clip: np.ndarray, window_s: float
) -> None:
    sampling = Sampling(temperature=1.0, seed=9)
    options = Options(max_seconds=7.0, decode_steps=1, sampling=sampling, decode_window_s=window_s)
    stream = model.stream("prompt_tts", text="hello", voice=clip, options=options)
    first = next(stream)
    assert stream.finished is None
    # 3.2 or 4 s less the 0.08 s that the next window may still change.
    assert len(first) == ((window_s or 3.2) - 0.08) * 24_000
    whole = model.run("prompt_tts", text="hello", voice=clip, options=replace(options, decode_window_s=window_s or 3.2))
    assert len(whole.audio) > 1.5 * len(first)
    streamed = np.concatenate([first, *stream])
    assert np.array_equal(streamed, whole.audio)
    assert stream.finished == whole.finished


def test_streamed_audio_that_is_too_loud_is_lowered_from_that_piece_on() -> None:
    class Loud:
        config = tiny_codec().config

        def decode_frames(self, *_: object, **__: object) -> list[np.ndarray]:
            return [np.full(3, level, np.float32) for level in (0.5, 2.0, 1.0, 4.0, np.nan)]

    levels = [float(piece[0]) for piece in audio_pieces(None, Loud(), steps=1, window_s=0)]  # type: ignore[arg-type]
    assert levels == pytest.approx([0.5, 0.95, 0.475, 0.95, 0.0])


@pytest.mark.parametrize("task", ["separate", "reconstruction_to_reasoning"])
def test_only_one_text_or_one_clip_is_streamed(model: UniAudio, clip: np.ndarray, task: str) -> None:
    with pytest.raises(UsageError, match="must write one text or one clip to be streamed"):
        model.stream(task, clip)


def test_a_window_too_short_to_overlap_is_refused(model: UniAudio) -> None:
    with pytest.raises(UsageError, match=r"--window-seconds\) must be 3.2 or more, but is 1"):
        model.run("tts", text="hi", options=replace(SHORT, decode_window_s=1.0))


def test_a_seed_repeats_an_answer_and_another_changes_it(model: UniAudio) -> None:
    def answer(seed: int) -> np.ndarray:
        options = replace(SHORT, sampling=Sampling(temperature=1.0, seed=seed))
        return model.run("audio_only", options=options).generated.reconstruction_codes

    assert np.array_equal(answer(1), answer(1))
    assert not np.array_equal(answer(1), answer(2))


def test_the_score_of_a_greedy_answer_is_higher_than_that_of_another(model: UniAudio, clip: np.ndarray) -> None:
    scores = model.score("asr", ["a", "bb"], Request(audio=clip))
    assert [score.num_text for score in scores] == [4, 5]
    assert all(score.log_likelihood < 0 for score in scores)


def test_progress_counts_every_answer(model: UniAudio, clip: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    model.run_all("asr", [Request(audio=clip)] * 2, SHORT, lambda done, written: told.append((done, written)))
    assert told[-1][0] == 2
    assert [written for _, written in told] == sorted(written for _, written in told)


def test_a_task_the_model_was_not_trained_on_is_refused_with_those_it_knows(
    model_folder: Path, clip: np.ndarray
) -> None:
    with pytest.raises(UsageError, match=r"trained on \(asr, tts, audio_caption\), but is audio_understanding"):
        UniAudio.from_pretrained(model_folder).run("qa", clip, text="who?")


def test_a_codec_of_another_training_is_refused(model_folder: Path, tmp_path: Path, clip: np.ndarray) -> None:
    other = ReasoningCodec.create(tiny_codec().config, seed=7)
    with torch.no_grad():
        next(other.reconstruction.parameters()).add_(1.0)
    other.save(tmp_path / "other")
    with pytest.raises(FingerprintError, match="trained on codes of codec"):
        UniAudio.from_pretrained(model_folder, codec=tmp_path / "other").run("asr", clip)


def test_a_vocabulary_that_is_not_the_codecs_is_refused(parts: Parts, tmp_path: Path, clip: np.ndarray) -> None:
    vocabulary = Vocabulary.build(parts.tokenizer, 32, parts.vocabulary.reconstruction_codes)
    save_parts(replace(parts, vocabulary=vocabulary, model=tiny_lm(vocabulary)), tmp_path)
    with pytest.raises(FingerprintError, match="has 32 reasoning codes, but the codec has"):
        UniAudio.from_pretrained(tmp_path).run("asr", clip)


def test_a_vocabulary_that_is_not_the_weights_is_refused(parts: Parts, tmp_path: Path) -> None:
    save_parts(parts, tmp_path)
    other = replace(parts.vocabulary, reasoning_pad=parts.vocabulary.reasoning_codes + 2)
    (tmp_path / "vocabulary.json").write_text(other.to_json())
    with pytest.raises(FingerprintError, match="Its files are of several models"):
        load_parts(tmp_path)


def test_what_lies_at_no_model_is_named(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(UsageError, match="must be the folder of a model or a store with a checkpoint"):
        load_parts(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"must hold a tokenizer\.json"):
        load_parts(model_folder, tokenizer=tmp_path)
    (tmp_path / "config.json").write_text((model_folder / "config.json").read_text())
    with pytest.raises(DataError, match=r"vocabulary.json: cannot be read"):
        load_parts(tmp_path)
    (tmp_path / "vocabulary.json").write_text("{")
    with pytest.raises(DataError, match=r"vocabulary\.json: must be JSON"):
        load_parts(tmp_path)
    (tmp_path / "vocabulary.json").write_text((model_folder / "vocabulary.json").read_text())
    (tmp_path / "uniaudio.json").write_text(json.dumps({"tasks": []}))
    with pytest.raises(DataError, match=r"uniaudio\.json: must have the fields of About, but lacks codec_fingerprint"):
        load_parts(tmp_path)


def test_a_device_that_is_not_there_is_named(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="`device` must be one that torch can use here, but is 'abacus'"):
        UniAudio.from_pretrained(model_folder, device="abacus")
