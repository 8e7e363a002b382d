"""The suffix chose the decoder, so that a good file under another format's suffix, or a SPHERE file as .sph, was dropped."""

import numpy as np
import pytest

from tests.uniaudio.audio.files import a_tone, every_format, sphere
from uniaudio.audio.read import Problem, audio_suffixes, read_audio


@pytest.mark.parametrize(
    ("suffix", "name"), [(".m4a", ".mp3"), (".mp3", ".m4a"), (".webm", ".ogg"), (".aac", ".m4a"), (".wav", ".g722")]
)
def test_the_contents_decide_and_the_lie_is_told(suffix: str, name: str) -> None:
    data, problems = every_format()[suffix], list[Problem]()
    assert np.array_equal(
        read_audio(data, suffix=name, problems=problems).samples, read_audio(data, suffix=suffix).samples
    )
    assert [problem.kind for problem in problems] == ["wrong_suffix"]


@pytest.mark.parametrize("coding", ["pcm", "ulaw"])
@pytest.mark.parametrize("suffix", [".sph", ".nist", ".wav"])
def test_sphere_is_read(coding: str, suffix: str) -> None:
    assert suffix in audio_suffixes()
    problems: list[Problem] = []
    audio = read_audio(sphere(a_tone(channels=2), coding), suffix=suffix, problems=problems)
    np.testing.assert_allclose(audio.samples, a_tone(channels=2), atol=2e-2)
    assert not problems
