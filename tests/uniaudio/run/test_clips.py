"""Samples in: whatever holds them, the same clip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.run.clips import read_clip
from uniaudio.run.model import Options, UniAudio


def test_a_tensor_a_list_and_a_view_are_the_clip_of_their_samples(model: UniAudio, clip: np.ndarray) -> None:
    expected = model.run("asr", clip, options=Options(max_text=4)).text
    read_only = clip.copy()
    read_only.flags.writeable = False
    for given in (torch.as_tensor(clip), clip.tolist(), np.ascontiguousarray(clip[::-1])[::-1], read_only):
        assert model.run("asr", given, options=Options(max_text=4)).text == expected


@pytest.mark.parametrize("given", [b"RIFF", np.array(["a"]), np.zeros(3, bool), object()])
def test_what_is_no_audio_is_named(given: object) -> None:
    with pytest.raises(UsageError, match="`audio` must be a file or samples at 24 kHz, but is of"):
        read_clip(given)  # type: ignore[arg-type]


def test_a_file_whose_channels_cancel_is_heard_by_one_of_them(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(24_000) / 24_000).astype(np.float32)
    soundfile.write(tmp_path / "inverted.wav", np.stack([tone, -0.9 * tone], axis=1), 24_000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone, 0.5 * tone], axis=1), 24_000)
    np.testing.assert_allclose(read_clip(tmp_path / "inverted.wav"), tone, atol=1e-3)
    np.testing.assert_allclose(read_clip(tmp_path / "stereo.wav"), 0.75 * tone, atol=1e-3)
