"""An MP3 whose header says more frames than there are was taken without a word, beside the transcript of the whole."""

import pytest
from uniaudio_schemas.errors import DataError

from tests.uniaudio.audio.files import NUM_SAMPLES, every_format
from uniaudio.audio.read import Problem, read_audio


def test_an_mp3_without_its_last_third_is_refused() -> None:
    data = every_format()[".mp3"]
    with pytest.raises(DataError, match=r"song\.mp3: is cut short: \d+ of 37 frames"):
        read_audio(data[: len(data) * 7 // 10], name="song.mp3")


def test_an_mp3_without_its_last_bytes_is_read_and_that_is_told() -> None:
    problems: list[Problem] = []
    audio = read_audio(every_format()[".mp3"][:-30], problems=problems)
    assert NUM_SAMPLES - 1_152 <= audio.samples.shape[1] < NUM_SAMPLES
    assert "partial_last_frame" in [problem.kind for problem in problems]
