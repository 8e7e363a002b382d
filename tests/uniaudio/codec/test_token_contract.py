"""The token contract: hidden states, and so codes, are a function of a clip's audio alone, bit for bit."""

import copy
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

from uniaudio.audio.frames import UNIT
from uniaudio.codec.encoding import EncodeWork, _encode_in_batches, batch_size, encode_clips, encode_windows
from uniaudio.codec.windows import check_clip, clip_windows
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")
REPOSITORY = Path(__file__).parents[3]
WORKER = Path(__file__).parent / "encode_worker.py"
LENGTHS = (1, 1_200, 9_599, 9_600, 9_601, 14_000, 24_000, 40_000)


def some_clips(num_clips: int) -> list[np.ndarray]:
    clips = [a_waveform(2.0, frequency=90.0 + 37 * index, seed=index) for index in range(num_clips)]
    return [clip[: LENGTHS[index % len(LENGTHS)]] for index, clip in enumerate(clips)]


@pytest.fixture(scope="module")
def alone() -> dict[int, list[str]]:
    """Hash of everything that encoding gives for each of 32 clips, encoded one by one."""
    codec = tiny_codec()
    return {index: hashes(codec, [clip])[0] for index, clip in enumerate(some_clips(32))}


def hashes(codec, clips: list[np.ndarray], sample_rate: int = 24_000) -> list[list[str]]:
    checked = [check_clip(clip, index) for index, clip in enumerate(clips)]
    encoded = encode_clips(codec, checked, sample_rate=sample_rate, keep_hidden=True)
    return [[hashlib.sha256(part.numpy().tobytes()).hexdigest() for part in clip] for clip in encoded]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(order=st.permutations(range(32)), size=st.sampled_from([1, 2, 7, 32]), threads=st.sampled_from([1, 2]))
def test_codec_hidden_states_do_not_depend_on_neighbors_order_batch_or_threads(alone, order, size, threads):
    codec, clips = tiny_codec(), some_clips(32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for first in range(0, 32, size):
            chosen = order[first : first + size]
            assert hashes(codec, [clips[index] for index in chosen]) == [alone[index] for index in chosen]
    finally:
        torch.set_num_threads(before)


def test_codec_hidden_states_do_not_depend_on_a_neighbor():
    codec, clips = tiny_codec(), some_clips(4)[1:]
    together = hashes(codec, clips[::-1])[::-1]
    assert together == [hashes(codec, [clip])[0] for clip in clips]
    assert len({tuple(clip) for clip in together}) == 3


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    cuts=st.lists(st.integers(1, 29_999), max_size=5),
    sample_rate=st.sampled_from([24_000, 44_100, 8_000]),
    offset=st.integers(0, 3),
)
def test_codec_codes_do_not_depend_on_the_blocks_audio_comes_in(cuts, sample_rate, offset):
    codec = copy.copy(tiny_codec())
    codec.config = replace(codec.config, encode_window_samples=2 * UNIT)
    buffer = np.zeros(30_000 + offset, np.float32)
    buffer[offset:] = np.resize(a_waveform(2.0), 30_000)  # another alignment in memory
    whole = codec.encode([buffer[offset:]], sample_rate=sample_rate)[0]
    edges = [0, *sorted(set(cuts)), 30_000]
    blocks = (buffer[offset + first : offset + last] for first, last in zip(edges, edges[1:], strict=False))
    streamed = codec.encode_blocks(blocks, sample_rate)
    assert streamed.num_samples == whole.num_samples
    assert np.array_equal(streamed.reasoning, whole.reasoning)
    assert np.array_equal(streamed.reconstruction, whole.reconstruction)


def test_codec_what_the_process_has_set_does_not_change_codes():
    codec, clips = tiny_codec(), some_clips(7)[5:]
    quiet = hashes(codec, clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert hashes(codec, clips) == quiet
    with sdpa_kernel(SDPBackend.MATH):
        assert hashes(codec, clips) == quiet
    before = torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled
    try:
        torch.set_float32_matmul_precision("medium")
        torch.backends.mkldnn.enabled = False
        assert hashes(codec, clips) == quiet
        assert torch.get_float32_matmul_precision() == "medium" and not torch.backends.mkldnn.enabled
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.mkldnn.enabled = before[1]


def test_codec_encoding_leaves_every_part_in_the_mode_it_was_in():
    codec = copy.deepcopy(tiny_codec())
    codec.flow.train()
    before = {name: part.training for name, part in codec.named_modules()}
    codec.encode([a_waveform(0.1)])
    assert {name: part.training for name, part in codec.named_modules()} == before
    assert codec.flow.training and not codec.training


def test_codec_batches_of_a_gpu_give_every_window_its_own_codes_back():
    """On a CPU, where rows of another batch shape may differ in their last bits: codes, and hardly any of them."""
    codec = copy.copy(tiny_codec())
    codec.config = replace(codec.config, encode_window_samples=2 * UNIT, gpu_batch_samples=6 * UNIT)
    clips = [check_clip(clip, 0) for clip in some_clips(7)[3:]]
    windows = [
        ((index, number), window)
        for index, clip in enumerate(clips)
        for number, window in enumerate(clip_windows(clip, 24_000, 2 * UNIT))
    ]
    work = EncodeWork()
    with torch.inference_mode():
        one_by_one = dict(encode_windows(codec, windows, EncodeWork()))
        batched = dict(_encode_in_batches(codec, windows, work))
    assert batched.keys() == one_by_one.keys()
    assert work.num_encoded % (6 * UNIT) == 0
    for place, encoded in batched.items():
        expected = one_by_one[place]
        assert encoded.reasoning_codes.shape == expected.reasoning_codes.shape
        assert torch.allclose(encoded.reconstruction_hidden, expected.reconstruction_hidden, atol=1e-4)


def uniform_lengths(num_clips: int) -> list[int]:
    """Samples of clips of 1 to 30 s, uniform."""
    return [round(length) for length in np.random.default_rng(0).uniform(24_000, 720_000, num_clips)]


def test_codec_encoding_wastes_at_most_a_twentieth_on_a_cpu_and_fifteen_percent_on_a_gpu():
    config = tiny_codec().config
    lengths = uniform_lengths(1_000)
    padded = [sum(len(window) for window in clip_windows(torch.zeros(1, n), 24_000, 720_000)) for n in lengths[:100]]
    assert max(more - n for more, n in zip(padded, lengths[:100], strict=True)) < UNIT
    assert sum(padded) <= 1.05 * sum(lengths[:100])
    buckets = [-(-n // UNIT) * UNIT for n in lengths]
    batches = {n: -(-buckets.count(n) // batch_size(n, config.gpu_batch_samples)) for n in set(buckets)}
    on_a_gpu = sum(count * batch_size(n, config.gpu_batch_samples) * n for n, count in batches.items())
    assert on_a_gpu <= 1.15 * sum(lengths)


def test_codec_the_counter_counts_what_goes_through_the_encoders_and_whisper_hears_the_real_length():
    codec = tiny_codec()
    heard: list[int] = []
    mel_frames: list[int] = []
    hooks = [
        codec.encoders.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].numel())),
        codec.encoders.whisper.model.conv1.register_forward_pre_hook(
            lambda _, inputs: mel_frames.append(inputs[0].shape[-1])
        ),
    ]
    work = EncodeWork()
    try:
        codec.encode([a_waveform(0.5), a_waveform(1.3)], work=work)
    finally:
        for hook in hooks:
            hook.remove()
    assert work.num_encoded == sum(heard) == 2 * UNIT + 4 * UNIT
    assert work.num_given == 12_000 + 31_200
    assert work.ratio == pytest.approx(57_600 / 43_200)
    assert mel_frames == [80, 160]  # 100 Hz


@pytest.mark.slow
def test_codec_two_processes_give_the_same_hidden_states(tmp_path):
    """Two workers share the clips, each in another order; a third run does all of them."""
    np.savez(tmp_path / "clips.npz", *some_clips(16))
    shares = {"all": range(16), "even": range(14, -1, -2), "odd": range(1, 16, 2)}
    runs = {
        name: subprocess.Popen(
            [sys.executable, str(WORKER), str(tmp_path / "clips.npz"), *map(str, share)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, share in shares.items()
    }
    found = {name: dict(line.split() for line in run.communicate()[0].splitlines()) for name, run in runs.items()}
    assert all(run.returncode == 0 for run in runs.values())
    assert len(found["all"]) == 16
    assert {**found["even"], **found["odd"]} == found["all"]


@pytest.mark.slow
@pytest.mark.timeout(5_400)
def test_codec_a_million_codes_of_real_audio_do_not_differ_between_batches_and_workers():
    """`UNIAUDIO_SOURCE` (or the demo's `data/source`) holds the audio, `UNIAUDIO_CODEC` the codec (an untrained one of debug
    size if not); two processes encode it, alone and in mixed batches."""
    source = Path(os.environ.get("UNIAUDIO_SOURCE") or REPOSITORY / "data" / "source")
    if not source.is_dir():
        pytest.skip(f"no audio in {source}: run the demo once, or set UNIAUDIO_SOURCE to a folder of audio")
    model = ["--model", codec] if (codec := os.environ.get("UNIAUDIO_CODEC")) else []
    commands = [
        [sys.executable, str(WORKER), "--folder", str(source), *model, "--mode", mode] for mode in ("alone", "mixed")
    ]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    alone, mixed = (dict(line.rsplit(" ", 1) for line in run.communicate()[0].splitlines()) for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    print(f"{alone['codes']} codes of {alone['clips']} clips of {alone['files']} files, {alone['seconds']} s")
    assert int(alone["codes"]) >= 1_000_000, "the folder must hold at least a quarter of an hour of audio"
    assert {name for name in alone if alone[name] != mixed.get(name)} == set()
    assert len(alone) == len(mixed) == int(alone["clips"]) + 4


MEASURE = """
import resource, sys
import numpy as np
from uniaudio.testing import a_waveform, tiny_codec
block = np.stack([np.resize(a_waveform(10.0), 441_000)] * 2)
codes = tiny_codec().encode_blocks((block for _ in range(int(sys.argv[1]))), 44_100)
print(codes.num_samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_codec_the_memory_of_encoding_two_hours_is_that_of_twenty_minutes():
    """In processes of their own, in KiB at most; half a minute of samples has 6 MiB, two hours of them 1.3 GiB. Which holes
    the allocator leaves between windows decides the highest point of the first minutes."""
    found = {}
    for num_blocks in (120, 720):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(num_blocks)], capture_output=True, text=True, check=True
        )
        num_samples, found[num_blocks] = map(int, done.stdout.split())
        assert num_samples == num_blocks * 240_000
    print(f"{found[120] // 1024} MiB for twenty minutes, {found[720] // 1024} MiB for two hours")
    assert found[720] - found[120] < 64 * 1024
