"""How fast the codec encodes and decodes, in CPU-seconds for each second of audio, one thread, as ratios in one run:
against the released windows over the same networks, and against EnCodec, Mimi, DAC and X-Codec at their usual sizes.

    UNIAUDIO_BENCH_SIZES=debug,starter,released UNIAUDIO_BENCH_SECONDS=1,10 UNIAUDIO_BENCH_STEPS=10 make bench

All weights are random: time does not depend on them. `released` needs 8 GiB of memory and minutes, and is measured behind
30 s of padding too, as Whisper hears in imported weights. Where a GPU is there, a shard of clips is timed on it.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.audio.resample import resample
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import random_encoders
from uniaudio.codec.encoding import EncodeWork, one_thread
from uniaudio.testing import a_waveform

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]

SIZES = os.environ.get("UNIAUDIO_BENCH_SIZES", "debug,starter").split(",")
SECONDS = [float(value) for value in os.environ.get("UNIAUDIO_BENCH_SECONDS", "1,5,10,30").split(",")]
# Of the comparison with other codecs and of decoding.
CLIP_S = 4.0
STEPS = int(os.environ.get("UNIAUDIO_BENCH_STEPS", "0"))
"""Of decoding; 0: 10 at debug size, 2 at larger ones. Time grows with them in proportion."""
NUM_SHARD_CLIPS = {"cpu": 8, "cuda": 256}
OTHERS = ("encodec", "mimi", "dac", "xcodec")


@pytest.fixture(scope="module", params=SIZES)
def codec(request) -> ReasoningCodec:
    config = replace(CodecConfig.preset(request.param), encoders="random")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return ReasoningCodec(config, random_encoders(config)).eval()


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


def cpu_seconds(compute: Callable[[], object], *, warm: Callable[[], object] | None = None) -> float:
    """CPU time of one call, the process' own: other load on the machine adds little to it."""
    (warm or compute)()
    before = time.process_time()
    compute()
    return time.process_time() - before


def gpu_seconds(compute: Callable[[], object], *, warm: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    warm()
    torch.cuda.synchronize()
    before = time.perf_counter()
    compute()
    torch.cuda.synchronize()
    return time.perf_counter() - before


@contextmanager
def padded_whisper(codec: ReasoningCodec) -> Iterator[None]:
    codec.encoders.whisper.padded = True
    try:
        yield
    finally:
        codec.encoders.whisper.padded = False


def num_steps(codec: ReasoningCodec) -> int:
    return STEPS or (10 if codec.config.size == "debug" else 2)


def report(what: str, cpu_s: float, audio_s: float, beside: str, other_cpu_s: float) -> float:
    """Print one line, CPU time (on a GPU wall clock) for each second of audio; returns our time over the other's."""
    ratio = cpu_s / other_cpu_s
    print(
        f"{what}: {cpu_s / audio_s:.4f} s/s, {audio_s / cpu_s:.1f}x real time; "
        f"{beside} {other_cpu_s / audio_s:.4f} s/s; ratio {ratio:.3f}"
    )
    return ratio


@pytest.mark.parametrize("duration_s", SECONDS)
def test_encoding_costs_at_most_half_of_the_released_windows(codec, duration_s):
    clip, short = [a_waveform(duration_s)], [a_waveform(0.4)]
    work = EncodeWork()
    ours = cpu_seconds(lambda: codec.encode(clip, work=work), warm=lambda: codec.encode(short))
    theirs = cpu_seconds(lambda: codec.encode(clip, compat=True), warm=lambda: None)
    what = f"encode {codec.config.size} {duration_s:g} s"
    ratio = report(what, ours, duration_s, "released windows", theirs)
    if codec.config.size not in ("debug", "starter"):
        with padded_whisper(codec):
            padded = cpu_seconds(lambda: codec.encode(clip), warm=lambda: codec.encode(short))
        report(f"{what}, Whisper behind 30 s of padding", padded, duration_s, "released windows", theirs)
    assert work.ratio <= 1.05 or duration_s < 8
    assert ratio <= 0.5


def test_a_shard_of_clips_costs_at_most_half_of_the_released_windows_and_a_sixth_on_a_gpu(codec):
    """Clips of 1 to 30 s, uniform; the released tokenizer takes them one by one. Both in float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and codec.config.size not in ("debug", "starter"):
        pytest.skip("minutes on a CPU, where the lengths above say the same")
    lengths = np.random.default_rng(0).uniform(1, 30, NUM_SHARD_CLIPS[device])
    clips, short = [a_waveform(float(length)) for length in lengths], [a_waveform(0.4)]
    measure = cpu_seconds if device == "cpu" else gpu_seconds
    work = EncodeWork()
    codec.to(device)
    try:
        ours = measure(lambda: codec.encode(clips, work=work), warm=lambda: codec.encode(short))
        theirs = measure(
            lambda: [codec.encode([clip], compat=True) for clip in clips],
            warm=lambda: codec.encode(short, compat=True),
        )
    finally:
        codec.to("cpu")
    what = f"encode {codec.config.size}, {len(clips)} clips of 1 to 30 s on {device}, {work.ratio:.3f} of the audio"
    ratio = report(what, ours, float(sum(lengths)), "released windows", theirs)
    assert ratio <= (0.5 if device == "cpu" else 1 / 6)


def test_decoding_beside_the_released_windows(codec):
    steps = num_steps(codec)
    clip = a_waveform(CLIP_S)
    codes = codec.encode([clip])
    ours = cpu_seconds(lambda: codec.decode(codes, steps=steps), warm=lambda: codec.decode(codes, steps=1))
    theirs = cpu_seconds(lambda: codec.decode(codes, steps=steps, compat=True), warm=lambda: None)
    what = f"decode {codec.config.size} {CLIP_S:g} s, {steps} steps, guidance 1.5"
    assert report(what, ours, CLIP_S, "released windows", theirs) < 1
    alone = cpu_seconds(lambda: codec.decode(codes, steps=steps, guidance=1.0))
    assert report(f"decode {codec.config.size}, guidance 1.0", alone, CLIP_S, "guidance 1.5", ours) < 1


@pytest.mark.parametrize("name", OTHERS)
@torch.inference_mode()
def test_beside_another_codec(codec, name):
    other = _other(name)
    clip = a_waveform(CLIP_S)
    rate = other.config.sample_rate if name == "xcodec" else other.config.sampling_rate
    inputs = torch.from_numpy(np.ascontiguousarray(resample(clip, 24_000, rate)))[None, None]
    coded = other.encode(inputs)
    theirs_encode = cpu_seconds(lambda: other.encode(inputs))
    codes = coded.audio_codes
    scales = {"audio_scales": coded.audio_scales} if name == "encodec" else {}
    theirs_decode = cpu_seconds(
        lambda: other.decode(audio_codes=codes, **scales) if name == "dac" else other.decode(codes, **scales)
    )
    ours = codec.encode([clip])
    steps = num_steps(codec)
    size = codec.config.size
    report(f"encode {size} beside {name}", cpu_seconds(lambda: codec.encode([clip])), CLIP_S, name, theirs_encode)
    report(
        f"decode {size}, {steps} steps, beside {name}",
        cpu_seconds(lambda: codec.decode(ours, steps=steps)),
        CLIP_S,
        name,
        theirs_decode,
    )


def _other(name: str):
    """At the sizes its authors publish, which are transformers' defaults, with random weights."""
    classes = {
        "encodec": (transformers.EncodecConfig, transformers.EncodecModel),
        "mimi": (transformers.MimiConfig, transformers.MimiModel),
        "dac": (transformers.DacConfig, transformers.DacModel),
        "xcodec": (transformers.XcodecConfig, transformers.XcodecModel),
    }
    config, model = classes[name]
    torch.manual_seed(0)
    return model(config()).eval()
