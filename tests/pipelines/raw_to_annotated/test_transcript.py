"""What the annotators make of what a recognizer heard, and a recognizer of random weights, which hears nonsense."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import recognizer, transcript
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Heard
from uniaudio_pipelines.raw_to_annotated.annotators.second_transcript import SecondTranscript
from uniaudio_pipelines.raw_to_annotated.annotators.transcript import Transcript
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Word
from uniaudio_schemas.kinds.raw import Raw

RATE = 16_000


def clip_of(samples: np.ndarray, **known: Any) -> Clip:
    raw = Raw(
        clip_id="c", medium="audio", corpus="c", path="c.wav", sha256="0", domain="speech", licence="unknown",
        sample_rate=RATE, num_samples=len(samples), channels=1,
    )  # fmt: skip
    return Clip(raw=raw, domain="speech", samples=samples[None], analysis=samples, known=known)


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def heard(*words: tuple[str, int, int], **numbers: float) -> Heard:
    found = [Word(word=word, first_sample=first, num_samples=length, confidence=0.5) for word, first, length in words]
    text = " ".join(word.word for word in found)
    sure = {"language_probability": 0.9, "no_speech_probability": 0.1, **numbers}
    return Heard(text=text, words=found, language="en", **sure)


def columns(values: list[Value]) -> dict[str, Any]:
    return {value.column: value.value for value in values}


def test_words_behind_the_end_are_inside_the_clip_and_counted() -> None:
    found = columns(
        transcript.values_of(
            heard(("so", 0, 8000), ("it", 8000, 0), ("goes", 15_000, 5_000), ("on", 17_000, 800)), clip_of(noise(RATE))
        )
    )
    assert found["num_empty_words"] == 2
    ends = [(word.first_sample, word.first_sample + word.num_samples) for word in found["words"]]
    assert ends == [(0, 8000), (8000, 8000), (15_000, 16_000), (16_000, 16_000)]


def test_what_gives_a_transcript_away_is_written_down() -> None:
    loop = heard(*[(word, 0, 0) for word in 3 * ("press", "the", "key")])
    found = columns(transcript.values_of(loop, clip_of(noise(RATE))))
    assert found["repetition"] == pytest.approx(0.6667)
    assert (found["words_per_s"], found["characters_per_s"]) == (9.0, 41.0)
    assert found["compression_ratio"] > 1
    assert (found["no_speech_probability"], found["language_probability"]) == (0.1, 0.9)
    assert found["language"] == "en"


def test_speech_without_words_is_written_down_where_somebody_listened_for_it() -> None:
    clip = clip_of(noise(2 * RATE))
    said = heard(("so", 0, 4_000))
    assert "unsaid_s" not in columns(transcript.values_of(said, clip))
    clip.speech_probabilities = np.repeat(np.float32([0.9, 0.4]), [50, 13])
    # 50 frames of 32 ms, of which the word and 0.1 s behind it cover 11.
    assert columns(transcript.values_of(said, clip))["unsaid_s"] == pytest.approx(39 * 0.032)


def test_a_language_that_the_source_names_stays() -> None:
    assert "language" not in columns(transcript.values_of(heard(("so", 0, 8)), clip_of(noise(RATE), language="de")))


def test_nothing_heard_says_nothing() -> None:
    assert transcript.values_of(heard(), clip_of(noise(RATE))) == []


def test_a_recognizers_words_are_those_between_spaces() -> None:
    said = [
        (" It's", 0, 0.1),
        (" 50", 0.2, 0.3),
        ("%", 0.3, 0.4),
        (" A", 0.5, 0.6),
        ("-", 0.6, 0.6),
        ("B", 0.6, 0.8),
        (" ", 0.9, 0.9),
    ]
    found = recognizer._words([{"word": w, "start": a, "end": b, "probability": 0.9} for w, a, b in said], 1000)
    assert [(word.word, word.first_sample, word.num_samples) for word in found] == [
        ("It's", 0, 100),
        ("50%", 200, 200),
        ("A-B", 500, 300),
    ]


def test_a_recognizers_words_of_chinese_stay_apart() -> None:
    said = [{"word": word, "start": 0, "end": 1, "probability": 0.9} for word in ("今", "天", "。", "O", "K", "好")]
    assert [word.word for word in recognizer._words(said, 10)] == ["今", "天。", "OK", "好"]


@pytest.mark.parametrize(("num_frames", "expected"), [(0, 1000), (900, 1000), (901, 2000), (2500, 3000), (9000, 3000)])
def test_a_window_has_a_second_of_silence_and_is_of_few_sizes(num_frames: int, expected: int) -> None:
    assert recognizer._short_window(num_frames) == expected


@pytest.mark.parametrize(("num_frames", "expected"), [(0, 24), (200, 84), (3000, 224)])
def test_an_answer_has_no_more_tokens_than_anybody_says(num_frames: int, expected: int) -> None:
    assert recognizer._most_tokens(num_frames, 224) == expected


def test_an_answer_that_does_not_end_is_doubted() -> None:
    ear = recognizer.Recognizer.__new__(recognizer.Recognizer)
    asked = []

    def decode(model: Any, mel: Any, options: SimpleNamespace) -> SimpleNamespace:
        asked.append((options.sample_len, options.temperature))
        tokens = [0] * (options.sample_len - (len(asked) == 3))
        return SimpleNamespace(tokens=tokens, text="so", avg_logprob=-0.1, no_speech_prob=0.0, compression_ratio=1.0)

    ear._whisper = SimpleNamespace(DecodingOptions=SimpleNamespace, decode=decode)
    ear._model = SimpleNamespace(dims=SimpleNamespace(n_text_ctx=448))
    ear._encoder = SimpleNamespace(keep=lambda frames: None)  # type: ignore[assignment]
    ear._half = False
    assert len(ear._decode(None, 100, "en").tokens) == 53
    assert asked == [(54, 0.0), (54, 0.0), (54, 0.4)]


def test_a_folder_of_weights_holds_one_file_of_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--only whisper-tiny\.en"):
        recognizer._weights(tmp_path, "whisper-tiny.en")
    with pytest.raises(UsageError, match=r"mine.openai\.pt is missing: put the file there"):
        recognizer._weights(tmp_path, "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/medium.pt").touch()
    assert recognizer._weights(tmp_path, "mine") == tmp_path / "mine/medium.pt"
    (tmp_path / "mine/small.pt").touch()
    with pytest.raises(UsageError, match=r"but holds medium\.pt, small\.pt"):
        recognizer._weights(tmp_path, "mine")
    (tmp_path / "mine/openai.pt").touch()
    assert recognizer._weights(tmp_path, "mine") == tmp_path / "mine/openai.pt"


def random_whisper(folder: Path, *, multilingual: bool) -> None:
    """A Whisper of two layers, 8 channels and 8 words a window, its weights by a fixed seed."""
    import torch

    whisper_model = pytest.importorskip("whisper.model")
    vocabulary = 51_865 if multilingual else 51_864
    dims = whisper_model.ModelDimensions(80, 1500, 8, 2, 2, vocabulary, 16, 8, 2, 2)
    torch.manual_seed(0)
    model = whisper_model.Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    folder.mkdir(parents=True)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, folder / "any.pt")


@pytest.mark.slow
def test_another_recognizer_by_its_folder_answers_alike_whatever_came_between(tmp_path: Path) -> None:
    random_whisper(tmp_path / "mine", multilingual=True)
    annotator = Transcript(tmp_path, "cpu", folder="mine")
    encoded: list[int] = []
    annotator._recognizer._model.encoder.blocks[0].register_forward_hook(lambda *_: encoded.append(1))
    first = annotator.annotate(clip_of(noise(RATE)))
    assert len(encoded) <= 2  # a short window, and the whole one where what was heard is doubtful
    annotator.annotate(clip_of(noise(RATE // 2, seed=1)))
    assert annotator.annotate(clip_of(noise(RATE))) == first
    assert Transcript.version("mine") != Transcript.version()


@pytest.mark.slow
def test_recognizing_leaves_torch_the_threads_it_had(tmp_path: Path) -> None:
    random_whisper(tmp_path / "mine", multilingual=True)
    # In a process of its own: numba sets the number of threads once, when it first runs.
    code = f"""
import numpy as np, torch
from pathlib import Path
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Recognizer

torch.set_num_threads(1)
recognizer = Recognizer(Path({str(tmp_path)!r}), "mine", "cpu", "transcript")
assert recognizer.recognize(np.ones(16_000, np.float32), 16_000, "en").words
assert torch.get_num_threads() == 1, torch.get_num_threads()
"""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


@pytest.mark.slow
def test_the_second_recognizer_is_asked_where_it_knows_the_language_and_something_was_heard(tmp_path: Path) -> None:
    random_whisper(tmp_path / "mine", multilingual=False)
    annotator = SecondTranscript(tmp_path, "cpu", folder="mine")
    assert annotator.annotate(clip_of(noise(RATE), language="de", transcript="ja")) == []
    assert annotator.annotate(clip_of(noise(RATE), language="en")) == []
    found = columns(annotator.annotate(clip_of(noise(RATE), language="en-US", transcript="let us go")))
    assert 0 < found["second_wer"] <= 1


@pytest.mark.slow
def test_a_short_encoder_hears_silence_where_whisper_fills_up_and_encodes_once() -> None:
    import torch

    audio_encoder = pytest.importorskip("whisper.model").AudioEncoder(80, 1500, 8, 2, 1).eval()
    whole, calls = audio_encoder.forward, []
    audio_encoder.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    mel_BMT = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0)) - 1
    expected = whole(mel_BMT)
    short = recognizer._ShortEncoder(audio_encoder)
    short.keep(9_999)
    torch.testing.assert_close(short.forward(mel_BMT), expected)
    filled, floor = mel_BMT.clone(), mel_BMT.clone()
    filled[:, :, 900:], floor[:, :, 900:] = 0, float(mel_BMT[:, :, :900].min())
    short.keep(1000)
    calls.clear()
    found = short.forward(filled)
    assert found.shape == (1, 500, 8)
    assert short.forward(filled) is found
    assert len(calls) == 1
    torch.testing.assert_close(found, short.forward(floor))
