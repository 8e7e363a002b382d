"""Audio of training clips that is decoded when it is needed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.audio.resample import resample
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import codec_phase, codec_phases
from uniaudio.training.codec.audio import SAMPLE_BYTES, AudioCache, StoredSamples, digest_of
from uniaudio.training.codec.clips import Crop, TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.stream import DEPTH, Feed
from uniaudio.training.codec.train import identity_of, train_codec
from uniaudio.training.processes import Processes
from uniaudio.training.run import Listeners, Progress

NewCodec = Callable[[], ReasoningCodec]
Short = Callable[..., CodecPhase]
RATE = 16_000


class Recordings:
    """Noises at 16 kHz that are decoded to clips, and which of them were, in which thread."""

    def __init__(self, *lengths_16k: int) -> None:
        generator = np.random.default_rng(0)
        self.recorded = [0.1 * generator.standard_normal(length, dtype=np.float32) for length in lengths_16k]
        self.decoded: list[tuple[int, int]] = []
        self.decode_s = 0.0

    def decode(self, number: int) -> np.ndarray:
        self.decoded.append((number, threading.get_ident()))
        time.sleep(self.decode_s)
        return resample(self.recorded[number], RATE, 24_000)

    def clips(self, cache: AudioCache | None) -> list[TrainingClip]:
        """All of them: arrays where there is no cache."""
        clips = []
        for number in range(len(self.recorded)):
            array = resample(self.recorded[number], RATE, 24_000)
            stored = cache and StoredSamples(
                cache,
                f"clip {number}",
                lambda number=number: self.decode(number),
                num_samples=len(array),
                digest=digest_of(array),
            )
            facts = ClipFacts(domain="sound", caption="noise")
            clips.append(TrainingClip(samples=array if stored is None else stored, text="noise", facts=facts))
        return clips


def test_samples_that_are_stored_are_those_of_an_array_and_so_are_their_pieces() -> None:
    recordings = Recordings(6_400)
    (array,), (stored,) = ([clip.samples for clip in recordings.clips(cache)] for cache in (None, AudioCache()))
    pieces = [slice(None), slice(100, 5_000), slice(9_000, 20_000), slice(20_000, 30_000)]
    for piece in pieces:
        assert np.array_equal(np.asarray(stored[piece]), array[piece]) and len(stored[piece]) == len(array[piece])
        assert np.array_equal(np.asarray(stored[50:][piece]), array[50:][piece])
    assert (stored.dtype, digest_of(stored)) == (array.dtype, digest_of(array))
    assert len({digest_of(stored), digest_of(stored[:100]), digest_of(stored[100:])}) == 3
    assert len(recordings.decoded) == 1


def test_a_cache_keeps_the_clips_used_last_within_its_bytes() -> None:
    recordings = Recordings(*[6_400] * 4)
    cache = AudioCache(2 * 9_600 * SAMPLE_BYTES)
    clips = recordings.clips(cache)
    for number in (0, 1, 0, 2, 0, 1):
        np.asarray(clips[number].samples)
        assert cache.num_bytes <= cache.max_bytes
    assert [number for number, _ in recordings.decoded] == [0, 1, 2, 1]
    cache.put("clip 3", np.zeros(9_600, np.float32))
    assert cache.num_bytes == cache.max_bytes and len(recordings.decoded) == 4
    nothing = AudioCache(0)
    assert len(np.asarray(recordings.clips(nothing)[0].samples)) == 9_600 and nothing.num_bytes == 0


def test_a_clip_that_several_need_at_a_time_is_decoded_once() -> None:
    recordings = Recordings(6_400)
    recordings.decode_s = 0.1
    (clip,) = recordings.clips(AudioCache())
    with ThreadPoolExecutor(4) as pool:
        assert len({samples.tobytes() for samples in pool.map(np.asarray, [clip.samples] * 4)}) == 1
    assert len(recordings.decoded) == 1


def test_audio_that_is_not_what_it_was_ends_the_run_with_the_name_of_the_clip() -> None:
    recordings = Recordings(6_400)
    (clip,) = recordings.clips(AudioCache())
    recordings.recorded[0][100] += 1e-3
    with pytest.raises(DataError, match=r"clip 0: its audio is .* now, but was"):
        np.asarray(clip.samples)


def test_a_run_that_decodes_what_it_needs_has_the_losses_of_one_that_holds_all_clips(
    new_codec: NewCodec, short: Short
) -> None:
    """In bfloat16, since decoding must not be in the precision of the step."""
    names = ("scalar", "reasoning", "reconstruction")
    phases = [
        short(phase, 2, num_clips=2, num_held_out=1, precision="bfloat16", tasks=("qa",))
        for phase in codec_phases(names)
    ]
    recordings = Recordings(*range(6_400, 25_600, 3_200))
    few = AudioCache(2 * 38_400 * SAMPLE_BYTES)
    results = []
    for cache in (None, few):
        clips, codec = recordings.clips(cache), new_codec()
        metrics = train_codec(codec, phases, clips[2:], clips[:2])
        results.append((identity_of(phases, clips[2:], clips[:2]), metrics, codec.fingerprint))
    assert results[0] == results[1]
    assert few.num_bytes <= few.max_bytes and len(recordings.decoded) > len(recordings.recorded), "all were kept"
    assert threading.get_ident() not in {thread for _, thread in recordings.decoded}


class Drawn:
    """What `Feed` asks of a phase: step n has clips 2n and 2n + 1, of which odd ones need no audio."""

    def __init__(self, clips: list[TrainingClip]) -> None:
        self.train = SimpleNamespace(clips=clips, waited_s=9.0)

    def crops(self, step: int) -> list[Crop]:
        return [Crop(2 * step, 0, 1), Crop(2 * step + 1, 0, 2)]

    def reads(self, crop: Crop) -> bool:
        return crop.clip % 2 == 0


def fed(recordings: Recordings, max_bytes: int, processes: Processes = Processes()) -> Any:  # noqa: B008 - frozen
    cache = AudioCache(max_bytes)
    phase = replace(codec_phase("scalar"), num_steps=8, num_clips=2, num_unquantized_steps=0)
    return Feed(Drawn(recordings.clips(cache)), phase, processes, torch.device("cpu")), cache  # type: ignore[arg-type]


def test_the_steps_behind_a_step_are_read_while_it_is_computed_and_none_twice() -> None:
    recordings = Recordings(*[6_400] * 16)
    feed, cache = fed(recordings, 1 << 20)
    for step, expected in ((0, 2 * DEPTH), (1, 2 * DEPTH + 2), (5, 14), (7, 14)):
        feed.reach(step)
        cache.readers.submit(lambda: None).result()
        time.sleep(0.05)
        assert max(number for number, _ in recordings.decoded) == expected
    assert len(recordings.decoded) == len({number for number, _ in recordings.decoded})
    assert all(number % 2 == 0 for number, _ in recordings.decoded), "what needs no audio was read"


def test_no_more_is_read_ahead_than_is_kept_and_a_rank_reads_its_own_share() -> None:
    recordings = Recordings(*[6_400] * 16)
    feed, cache = fed(recordings, (DEPTH + 1) * 9_600 * SAMPLE_BYTES - 1)
    feed.reach(0)
    cache.readers.shutdown()
    assert not recordings.decoded
    feed, cache = fed(recordings, 1 << 20, Processes(rank=1, world_size=2))
    feed.reach(0)
    cache.readers.shutdown()
    assert not recordings.decoded, "odd clips need no audio, and even ones are those of the other rank"


def test_gauges_tell_clips_and_audio_a_second_the_wait_and_memory(new_codec: NewCodec, short: Short) -> None:
    recordings = Recordings(*[19_200] * 4)
    gauges: list[dict[str, float]] = []

    def note(progress: Progress) -> None:
        gauges.append(dict(progress.gauges))

    phase, shares = short(codec_phase("scalar"), 2, num_clips=2, num_held_out=1, crop_samples=9_600), []
    for max_bytes, decode_s in ((1 << 30, 0.0), (0, 0.5)):
        recordings.decode_s = decode_s
        clips = recordings.clips(AudioCache(max_bytes))
        if max_bytes:
            [np.asarray(clip.samples) for clip in clips]
        train_codec(new_codec(), [phase], clips, clips[:1], listeners=Listeners(on_progress=note))
        shares.append(gauges[-1]["waiting_share"])
    assert 0 <= shares[0] < shares[1] < 1
    # Crops of 0.4 s.
    assert gauges[-1]["audio_seconds_per_second"] == pytest.approx(0.4 * gauges[-1]["clips_per_second"])
    assert gauges[-1]["clips_per_second"] > 0
    assert 0.1 < gauges[-1]["peak_memory_gb"] < 100
