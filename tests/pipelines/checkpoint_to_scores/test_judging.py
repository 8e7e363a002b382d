"""Metrics that read or hear with models of their own, and what is said where these are not there. No checkpoint answers here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_scores.declared import inputs_of
from uniaudio_pipelines.checkpoint_to_scores.judging import judge
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample, _sample
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools

from uniaudio.tasks import TASKS
from uniaudio.testing import a_waveform

NOBODY: Any = None


class CaptionTools(Tools):
    frequent = "a dog"


def a_sample(name: str, **values: Any) -> Sample:
    usual: dict[str, Any] = {
        "sample_id": name, "recording": name, "prompt": None, "clip_ids": [name], "reference": "", "language": "en",
        "choices": (), "recorded": [], "source": "", "voice": "", "domain": "sound", "audio": lambda clip: NOBODY,
    }  # fmt: skip
    return Sample(**usual | values)


def test_captions_are_compared_by_meaning_and_without_the_model_it_is_said_which_is_missing(tmp_path: Path) -> None:
    embeddings = {"a dog": [1.0, 0.0], "a hound": [0.8, 0.6], "rain": [0.0, 1.0]}
    samples = [a_sample("a", reference="a dog", answer="a hound"), a_sample("b", reference="rain", answer="rain")]
    models: Any = SimpleNamespace(sentences=lambda text: np.array(embeddings[text]))
    outcome = Outcome(benchmark="audio_caption", checkpoint_id="c")
    judge(outcome, samples, ["caption_similarity"], CaptionTools(NOBODY, models, TASKS["audio_caption"]), title="made")
    (row,) = outcome.scores
    assert (row.value, row.baseline_value) == (pytest.approx(0.9), pytest.approx(0.5))
    assert row.higher_is_better and row.num_samples == 2

    outcome = Outcome(benchmark="audio_caption", checkpoint_id="c")
    tools = CaptionTools(NOBODY, Models(str(tmp_path)), TASKS["audio_caption"])
    judge(outcome, samples, ["unigram_f1", "caption_similarity"], tools, title="made")
    assert [row.metric for row in outcome.scores] == ["unigram_f1"]
    missing = next(one for one in outcome.dropped if one.row_id == "caption_similarity")
    assert (missing.reason, "minilm/model.safetensors" in missing.detail) == ("not_installed", True)


def test_captions_of_sounds_and_of_music_are_compared_by_meaning() -> None:
    assert all("caption_similarity" in TASKS[name].metrics for name in ("audio_caption", "music_caption"))


def test_instructed_speech_is_held_to_its_instruction_and_another_recording_is_the_baseline() -> None:
    def spoken(name: str, told: str, made_hz: float, recorded_hz: float) -> Sample:
        made = [a_waveform(0.5, frequency=made_hz)]
        audio = a_waveform(0.5, frequency=recorded_hz)
        return a_sample(name, recorded=[name], instruction=told, made=made, audio=lambda clip: audio)

    outcome = Outcome(benchmark="instruct_tts", checkpoint_id="c")
    samples = [
        spoken("low", "A man speaks in a low voice.", 90, 90),
        spoken("high", "A man speaks in a high voice.", 90, 200),
        spoken("sad", "A man, sounding sad.", 90, 120),
    ]
    tools = Tools(NOBODY, Models(""), TASKS["instruct_tts"])
    judge(outcome, samples, ["instruction_agreement"], tools, title="made")
    (row,) = outcome.scores
    # The low one is as told; beside them, the next recording is neither low (200 Hz) nor high (120 Hz).
    assert (row.value, row.baseline_value, row.num_samples) == (0.5, 0.0, 2)
    assert [(one.row_id, one.reason) for one in outcome.dropped] == [("sad/instruction_agreement", "no_instruction")]


def test_a_sample_has_the_instruction_of_its_example() -> None:
    task = TASKS["instruct_tts"]
    row = task.instruction(
        texts={"style": "A man speaks slowly.", "transcript": "hello"}, clips={"audio": "c"}, corpus="x", split="test"
    )
    example: Any = SimpleNamespace(recording="r", prompt=None, sequence=None)
    evaluation: Any = SimpleNamespace(recorded_frames=lambda sequence: 1)
    assert _sample(evaluation, example, row, {}, ()).instruction == "A man speaks slowly."
    assert "instruction" in inputs_of(task) and "instruction" not in inputs_of(TASKS["tts"])


def test_what_shows_a_voice_is_scored_by_its_likeness_and_speech_by_its_naturalness() -> None:
    shown = [task for task in TASKS.values() if any(slot.kind == "audio_prompt" for slot in task.order)]
    answered = [task for task in shown if task.metrics != ("perplexity",)]
    assert answered and all("speaker_similarity" in task.metrics for task in answered)
    assert all("dnsmos" in TASKS[name].metrics for name in ("tts", "instruct_tts", "prompt_tts", "prompt_instruct_tts"))
