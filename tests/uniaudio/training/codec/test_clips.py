"""What codec training reads of its clips."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import codec_phases
from uniaudio.training.codec import clips as training_clips
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip, cut_long
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners

NewCodec = Callable[[], ReasoningCodec]
Short = Callable[..., CodecPhase]
WINDOW = 720_000


def noises(*lengths: int) -> list[TrainingClip]:
    noise = np.random.default_rng(0)
    facts = ClipFacts(domain="sound", caption="noise")
    return [
        TrainingClip(samples=0.1 * noise.standard_normal(length, dtype=np.float32), text="noise", facts=facts)
        for length in lengths
    ]


def test_the_clips_of_a_phase_share_the_features_of_all_clips_until_the_encoders_learn(new_codec: NewCodec) -> None:
    codec, clips, cache = new_codec(), noises(9_600, 9_600, 9_600), FrozenCache()
    computed: list[int] = []
    codec.encoders.register_forward_pre_hook(lambda _, inputs: computed.append(len(inputs)))
    whole = ClipSet(codec, clips, cache)
    some = whole.subset([clips[2], clips[0]])
    assert some.features(0).whisper is whole.features(2).whisper
    assert whole.features(0).whisper is some.features(1).whisper
    assert len(computed) == 2
    cache.clear()
    assert some.features(0).whisper is whole.features(2).whisper
    assert len(computed) == 3


def test_a_long_clip_is_cut_into_the_windows_of_encoding_which_share_its_samples_and_have_no_text() -> None:
    long, short = noises(2 * WINDOW + 5_000, 9_600)
    cut = cut_long([long, short], WINDOW)
    assert [len(clip.samples) for clip in cut] == [WINDOW, 9_600, WINDOW, 5_000], "first windows come first"
    assert cut[1] is short
    windows = [cut[0], cut[2], cut[3]]
    assert np.array_equal(np.concatenate([clip.samples for clip in windows]), long.samples)
    assert all(np.shares_memory(clip.samples, long.samples) for clip in windows)
    assert {(clip.text, clip.facts) for clip in windows} == {("", ClipFacts(domain="sound"))}
    assert [len(clip.samples) for clip in cut_long(noises(WINDOW + 1_919), WINDOW)] == [WINDOW], "no frame is left"


def test_the_cache_keeps_what_was_used_last_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_clips, "CACHE_BYTES", 100)
    cache, made = FrozenCache(), []
    first, second, third, large = noises(1, 1, 1, 1)

    def get(clip: TrainingClip, num_bytes: int = 40) -> None:
        cache.get(clip, "states", lambda: made.append(clip) or (torch.zeros(num_bytes, dtype=torch.uint8),))

    for clip in (first, second, first, third):
        get(clip)
    assert made == [first, second, third] and cache.num_bytes == 80
    get(first)
    assert len(made) == 3, "what was used last is kept"
    get(second)
    assert made[3:] == [second], "what was used longest ago is not"
    get(large, 101)
    assert cache.num_bytes <= 100


@pytest.mark.slow
@pytest.mark.parametrize("names", [("encoders",), ("scalar",), ("reasoning", "grpo"), ("reconstruction", "decoder")])
def test_clips_of_minutes_are_trained_on_in_the_memory_of_a_window_and_resumed_bit_for_bit(
    names: tuple[str, ...], new_codec: NewCodec, short: Short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, waveform = list[int](), ClipSet.waveform

    def watched(self: ClipSet, index: int) -> torch.Tensor:
        found = waveform(self, index)
        lengths.append(len(found))
        return found

    monkeypatch.setattr(ClipSet, "waveform", watched)
    phases = [short(phase, 2, num_clips=2, tasks=("qa",)) for phase in codec_phases(names)]
    clips, held_out = noises(2 * WINDOW + 30_000, WINDOW + 9_601), noises(WINDOW + 1, 9_600)
    codec = new_codec()
    metrics = train_codec(
        codec,
        phases,
        clips,
        held_out,
        listeners=Listeners(on_checkpoint=lambda state, save: save(tmp_path / f"{state.part_index}-{state.step}")),
    )
    assert max(lengths) == WINDOW
    resumed = new_codec()
    assert train_codec(resumed, phases, clips, held_out, resume_from=tmp_path / "0-1") == metrics
    assert resumed.fingerprint == codec.fingerprint


def test_what_is_kept_of_a_corpus_is_bounded_and_changes_no_bit(
    new_codec: NewCodec, short: Short, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = [short(phase, 3, num_clips=2, crop_samples=9_600) for phase in codec_phases(("reconstruction", "decoder"))]
    clips, found = noises(*[9_600 + 4_800 * index for index in range(5)]), {}
    whisper: list[int] = []
    for num_bytes in (training_clips.CACHE_BYTES, 50_000, 0):
        monkeypatch.setattr(training_clips, "CACHE_BYTES", num_bytes)
        codec = new_codec()
        hook = codec.encoders.register_forward_pre_hook(lambda *_: whisper.append(1))
        metrics = train_codec(codec, phases, clips, clips[:1])
        hook.remove()
        found[num_bytes] = (codec.fingerprint, metrics, len(whisper))
        whisper.clear()
    everything, some, nothing = found.values()
    assert everything[:2] == some[:2] == nothing[:2]
    assert everything[2] < some[2] < nothing[2], "the bound was never reached"
