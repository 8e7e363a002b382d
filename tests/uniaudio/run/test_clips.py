"""Samples in: whatever holds them, the same clip."""

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
