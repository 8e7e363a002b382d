"""The length of an MP3 without a Xing header is an estimate; a file that ends a little earlier was dropped as unreadable."""

import io

import numpy as np
import soundfile

from uniaudio.audio.read import read_audio

SYNC = 0xFF


def overestimated_mp3() -> tuple[bytes, int]:
    """An MP3 whose stated length is more than what it holds, and the number of samples it holds."""
    file = io.BytesIO()
    soundfile.write(file, 0.2 * np.sin(np.arange(33_075) / 8), 11_025, format="MP3", subtype="MPEG_LAYER_III")
    data = file.getvalue()
    for start in range(1, len(data) // 2):  # cut in front of the frames behind the one with the header
        if data[start] == SYNC and data[start + 1] == data[1]:
            with soundfile.SoundFile(io.BytesIO(data[start:])) as cut:
                num_samples = len(cut.read())
                if num_samples < cut.frames:
                    return data[start:], num_samples
    raise AssertionError("this libsndfile estimates no length")


def test_a_length_that_is_an_estimate_drops_no_file() -> None:
    data, num_samples = overestimated_mp3()
    assert read_audio(data, suffix=".mp3").samples.shape == (1, num_samples)
