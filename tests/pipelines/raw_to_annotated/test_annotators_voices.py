"""Turns of made voices, by a real encoder with random weights and by one that hears pitch alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_pipelines.raw_to_annotated import models as model_files
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.voices import Voices
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.cuts import Cut, Turn

from tests.pipelines.raw_to_annotated.clips import a_raw
from uniaudio.metrics.speaker import VoiceEncoder

RATE, FRAME, CLIP_RATE = 16_000, 512, 8_000


class PitchEncoder(VoiceEncoder):
    """A voice is which half of the mel bands is louder."""

    def forward(self, mel_BTM: torch.Tensor) -> torch.Tensor:
        power_BM = mel_BTM.mean(dim=1)
        halves = torch.stack([power_BM[:, :12].sum(dim=1), power_BM[:, 12:].sum(dim=1)], dim=1)
        return torch.nn.functional.normalize(halves, dim=1)


@pytest.fixture
def annotator(tmp_path: Path) -> Voices:
    torch.manual_seed(0)
    folder = tmp_path / model_files.SPEAKER_FOLDER
    folder.mkdir()
    torch.save({"model_state": VoiceEncoder().state_dict()}, folder / model_files.SPEAKER_FILE)
    return Voices(tmp_path, "cpu")


def clip(parts: list[tuple[float | None, int]]) -> Clip:
    """Parts of a tone (Hz; None for silence) and its frames of voice activity, in a clip at 8 kHz."""
    tones, speech = [], []
    for hertz, num_frames in parts:
        time_s = np.arange(num_frames * FRAME) / RATE
        tones.append(0.1 * np.sin(2 * np.pi * (hertz or 0) * time_s))
        speech += [hertz is not None] * num_frames
    analysis = np.concatenate(tones).astype(np.float32)
    raw = a_raw(sample_rate=CLIP_RATE)
    return Clip(
        raw=raw,
        domain="speech",
        samples=analysis[None, ::2],
        analysis=analysis,
        speech_probabilities=np.array(speech, np.float32),
    )


def turns(values: list[Value]) -> list[Turn]:
    return next(value.value for value in values if value.column == "turns")


def test_two_voices_with_a_pause_take_turns_in_the_clips_own_samples(annotator: Voices) -> None:
    annotator._encoder = PitchEncoder()
    values = annotator.annotate(clip([(None, 20), (300.0, 90), (None, 10), (3_000.0, 90), (300.0, 90)]))
    found = turns(values)
    assert [turn.voice for turn in found] == [0, 1, 0]
    assert {value.column: value.value for value in values}["num_voices"] == 2
    # A frame of voice activity is 256 samples at 8 kHz; speech is widened by one, windows are 1.6 s, and a quarter of one is 12.5 frames.
    for turn, first in zip(found, (20, 120, 210), strict=True):
        assert abs(turn.first_sample / 256 - first) <= 13
    assert abs(found[0].num_samples / 256 - 100) <= 13


def test_a_long_pause_ends_a_turn_and_a_short_one_does_not(annotator: Voices) -> None:
    found = turns(annotator.annotate(clip([(300.0, 60), (None, 10), (300.0, 60), (None, 40), (300.0, 60)])))
    assert [turn.voice for turn in found] == [0, 0]
    assert found[0].num_samples == 131 * 256


def test_turns_lie_in_the_clip_and_do_not_overlap(annotator: Voices) -> None:
    one = clip([(300.0, 70), (900.0, 70), (None, 25), (2_500.0, 75)])
    one.analysis, one.samples = one.analysis[:-700], one.samples[:, :-350]
    found = turns(annotator.annotate(one))
    ends = [turn.first_sample + turn.num_samples for turn in found]
    assert all(end <= turn.first_sample for end, turn in zip(ends, found[1:], strict=False))
    assert ends[-1] == one.num_samples


def test_little_speech_has_no_turns(annotator: Voices) -> None:
    assert annotator.annotate(clip([(None, 50), (300.0, 20), (None, 50)])) == []
    assert annotator.annotate(clip([(None, 50)])) == []


def test_without_voice_activity_all_is_speech(annotator: Voices) -> None:
    one = clip([(300.0, 100)])
    one.speech_probabilities = np.zeros(0, np.float32)
    assert turns(annotator.annotate(one)) == [Turn(voice=0, first_sample=0, num_samples=100 * 256)]


def test_a_missing_encoder_is_said_and_columns_are_those_of_a_cut(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Resemblyzer"):
        Voices(tmp_path, "cpu")
    assert set(Cut.__dataclass_fields__) >= Voices.writes
