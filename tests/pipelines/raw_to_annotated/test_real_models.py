"""The annotators with their real models, on noise and on a recording of the demo's corpus in which somebody speaks English."""

import os
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity
from uniaudio_schemas.kinds.raw import Raw

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
def demo() -> Path:
    """What `make demo` fetched: models, and recordings in `source`."""
    folder = Path(os.environ.get("UNIAUDIO_DATA", "data"))
    if not (folder / "models/whisper-base/openai.pt").is_file():
        pytest.skip(f"no models in {folder}: run `make demo`, or set UNIAUDIO_DATA")
    return folder


def test_noise_is_not_taken_for_speech() -> None:
    pytest.importorskip("onnxruntime")
    samples = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    assert VoiceActivity(Path(), "cpu").probabilities(samples).max() < 0.5


def test_every_annotator_answers_about_a_recording(demo: Path) -> None:
    clip = speech_clip(min((demo / "source/queen").glob("*.mp3")))
    for annotator in table.load(tuple(table.ANNOTATORS), demo / "models", "cpu"):
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
