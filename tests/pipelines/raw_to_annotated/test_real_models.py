"""The annotators with their real models on a second of synthetic speech-like sound and, where there is one, a
recording.

Set UNIAUDIO_MODELS to the folder that `python -m uniaudio_pipelines.raw_to_annotated.models` prepared, and
UNIAUDIO_SPEECH to a file in which somebody speaks English.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity
from uniaudio_schemas.raw import Raw

from uniaudio.audio.read import read_audio
from uniaudio.audio.resample import resample

pytestmark = pytest.mark.slow


def speech_clip(path: Path) -> Clip:
    audio = read_audio(path)
    analysis = np.asarray(resample(audio.samples.mean(axis=0), audio.sample_rate, 16_000)).reshape(-1)
    raw = Raw(
        clip_id="c",
        medium="audio",
        corpus="c",
        path=path.name,
        sha256="0",
        domain="speech",
        licence="unknown",
        sample_rate=audio.sample_rate,
        num_samples=audio.samples.shape[1],
        channels=audio.samples.shape[0],
    )
    probabilities = VoiceActivity(Path(), "cpu").probabilities(analysis)
    return Clip(raw=raw, domain="speech", samples=audio.samples, analysis=analysis, speech_probabilities=probabilities)


@pytest.fixture(scope="module")
def models() -> Path:
    folder = os.environ.get("UNIAUDIO_MODELS", "")
    if not (Path(folder) / "whisper-base/openai.pt").is_file():
        pytest.skip("UNIAUDIO_MODELS does not name a folder of prepared models")
    return Path(folder)


def test_noise_is_not_taken_for_speech() -> None:
    pytest.importorskip("onnxruntime")
    samples = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    assert VoiceActivity(Path(), "cpu").probabilities(samples).max() < 0.5


def test_every_annotator_answers_about_a_recording(models: Path) -> None:
    path = os.environ.get("UNIAUDIO_SPEECH", "")
    if not Path(path).is_file():
        pytest.skip("UNIAUDIO_SPEECH does not name a recording")
    clip = speech_clip(Path(path))
    for annotator in table.load(tuple(table.ANNOTATORS), models, "cpu"):
        for value in annotator.annotate(clip):
            clip.known[value.column] = value.value
    assert clip.known["speech_fraction"] > 0.3
    assert clip.known["language"] == "en"
    assert len(clip.known["transcript"].split()) == len(clip.known["words"])
    ends = [word.first_sample + word.num_samples for word in clip.known["words"]]
    assert ends == sorted(ends)
    assert ends[-1] <= clip.num_samples
    assert abs(np.linalg.norm(clip.known["speaker_embedding"]) - 1) < 1e-4
    assert 1 <= clip.known["mos"] <= 5
