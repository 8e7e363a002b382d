"""libsndfile calls an Ogg Opus malformed whose samples all lie in one page, as FFmpeg writes short ones."""

import io

import numpy as np
import pytest

from uniaudio.audio.read import read_audio

av = pytest.importorskip("av")


@pytest.mark.parametrize("seconds", [0.05, 0.5, 0.87])
def test_an_opus_of_one_page_is_read(seconds: float) -> None:
    file, rate = io.BytesIO(), 48_000
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate, frame_size=960)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    audio = read_audio(file.getvalue(), name="a.opus")
    # The container may or may not say where its last frame ends.
    assert audio.sample_rate == rate and abs(audio.samples.shape[1] - len(tone)) <= 960
    assert np.sqrt((audio.samples**2).mean()) == pytest.approx(np.sqrt((tone**2).mean()), rel=0.2)
