"""Reading stopped, in silence, where a header or an estimate said the end was: 29 to 52 % of an MP3 from a pipe was lost,
everything behind the first stream of a chained Ogg; files whose header leaves the length open were dropped.
"""

import numpy as np
import pytest

from tests.uniaudio.audio.files import (
    NUM_SAMPLES,
    RATE,
    a_tone,
    encode,
    every_format,
    flac_with_length,
    sound,
    wav_with_size,
)
from uniaudio.audio.read import read_audio


def test_an_mp3_of_variable_bit_rate_without_a_length_is_read_whole() -> None:
    time = np.arange(5 * RATE)
    loud_last = (a_tone(5 * RATE) * np.where(time < 4 * RATE, 1e-4, 1)).astype(
        "f4"
    )  # the estimate is made at the start
    options = {"flags": "+qscale", "global_quality": "236"}
    data = encode(loud_last, container="mp3", codec="libmp3lame", seekable=False, **options)
    whole = read_audio(data).samples
    assert 5 * RATE <= whole.shape[1] < 5 * RATE + 2_500
    assert np.abs(whole[0, -RATE // 2 :]).max() > 0.4


def test_all_streams_of_a_chained_ogg_are_read() -> None:
    links = [sound(a_tone(length), container="OGG", subtype="VORBIS") for length in (NUM_SAMPLES, 30_001, 5_000)]
    assert read_audio(b"".join(links)).samples.shape[1] == NUM_SAMPLES + 30_001 + 5_000


def test_a_flac_that_does_not_know_its_length_is_read() -> None:
    flac = every_format()[".flac"]
    assert np.array_equal(read_audio(flac_with_length(flac, 0)).samples, read_audio(flac).samples)


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF, 0xFFFF_EC00])
def test_a_wav_from_a_pipe_is_read_to_the_end_of_the_file(size: int) -> None:
    assert np.array_equal(read_audio(wav_with_size(size)).samples, read_audio(every_format()[".wav"]).samples)
