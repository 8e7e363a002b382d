"""What codec training reads of its clips."""

from collections.abc import Callable

import numpy as np

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.training.clips import ClipSet, TrainingClip


def test_the_clips_of_a_phase_share_the_features_of_all_clips_until_the_encoders_learn(
    new_codec: Callable[[], ReasoningCodec],
) -> None:
    codec, noise = new_codec(), np.random.default_rng(0)
    clips = [TrainingClip(samples=noise.standard_normal(9_600, dtype=np.float32)) for _ in range(3)]
    computed: list[int] = []
    codec.encoders.register_forward_pre_hook(lambda _, inputs: computed.append(len(inputs)))
    whole = ClipSet(codec, clips)
    some = whole.subset([clips[2], clips[0]])
    assert some.features(0) is whole.features(2) and whole.features(0) is some.features(1)
    assert len(computed) == 2
    whole.forget_features()
    assert some.features(0) is whole.features(2)
    assert len(computed) == 3
