"""How many codes differ between numerics: what the token contract does not promise, measured on real audio.

    UNIAUDIO_SOURCE=data/source UNIAUDIO_CODEC=model/codec pytest -m bench -s tests/bench/test_codec_numerics.py

Against one CPU thread in float32: two threads, another batch shape, bfloat16 by autocast, and a GPU where one is there.
Without `UNIAUDIO_CODEC` an untrained codec of debug size, whose codes say little of a trained one's.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import audio_suffixes, read_audio
from uniaudio.audio.resample import resample
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.encoders.frozen import Features
from uniaudio.codec.encoding import Encoded, EncodeWork, encode_batch, encode_windows, eval_mode, settled_numerics
from uniaudio.codec.windows import check_clip, clip_windows
from uniaudio.testing import tiny_codec

pytest.importorskip("transformers")
pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]

SECONDS = float(os.environ.get("UNIAUDIO_BENCH_AUDIO_S", "600"))
MAX_CLIP_S = 10.0
BATCH = 4


@pytest.fixture(scope="module")
def codec() -> ReasoningCodec:
    folder = os.environ.get("UNIAUDIO_CODEC")
    return ReasoningCodec.load(folder) if folder else tiny_codec()


@pytest.fixture(scope="module")
def windows() -> list[torch.Tensor]:
    """The starts of files, an equal share of each corpus (folder), until there are `SECONDS` of audio."""
    source = Path(os.environ.get("UNIAUDIO_SOURCE") or "data/source")
    if not source.is_dir():
        pytest.skip(f"no audio in {source}: run the demo once, or set UNIAUDIO_SOURCE to a folder of audio")
    found: list[torch.Tensor] = []
    for path in _by_turns(source):
        try:
            audio = read_audio(path)
        except DataError:  # an empty recording among the real ones
            continue
        mono = audio.samples.mean(axis=0)[: int(MAX_CLIP_S * audio.sample_rate)]
        clip = check_clip(np.ascontiguousarray(resample(mono, audio.sample_rate, SAMPLE_RATE)), 0)
        found += clip_windows(clip, SAMPLE_RATE, 720_000)
        if sum(map(len, found)) >= SECONDS * SAMPLE_RATE:
            break
    return found


@pytest.fixture(scope="module")
def expected(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    """In the numerics of the contract."""
    with torch.inference_mode(), settled_numerics(codec):
        return _in_order(codec, windows)


def test_codes_in_other_numerics(
    codec: ReasoningCodec, windows: list[torch.Tensor], expected: list[Encoded], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        for name, compute in NUMERICS.items():
            report(name, expected, compute(codec, windows))


def test_codes_on_a_gpu(
    codec: ReasoningCodec, windows: list[torch.Tensor], expected: list[Encoded], capsys: pytest.CaptureFixture[str]
) -> None:
    """The GPU against the CPU, and against itself in another order, where not one code may differ."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    moved = codec.to("cuda")
    with torch.inference_mode(), settled_numerics(moved):
        first = _in_order(moved, windows)
        again = _in_order(moved, windows[::-1])[::-1]
    with capsys.disabled():
        report("GPU, float32", expected, first)
        with _numerics(moved, autocast=True):
            report("GPU, bfloat16", expected, _in_order(moved, windows))
    codec.to("cpu")
    assert report("GPU, other order", first, again) == 0


def report(name: str, expected: list[Encoded], found: list[Encoded]) -> float:
    """Print the share of codes that differ, of all and level by level; returns that of all."""
    streams = [
        torch.cat([one[stream] != other[stream] for one, other in zip(expected, found, strict=True)])
        for stream in (0, 1)
    ]
    count = sum(differs.numel() for differs in streams)
    share = sum(int(differs.sum()) for differs in streams) / count
    told = "; ".join(
        f"{stream} by level {', '.join(f'{level:.2%}' for level in differs.double().mean(dim=0))}"
        for stream, differs in zip(("reasoning", "reconstruction"), streams, strict=True)
    )
    print(f"\n{name}: {share:.4%} of {count} codes differ; {told}")
    return share


def _in_order(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    numbered = (((index, 0), window) for index, window in enumerate(windows))
    found = {place[0]: Encoded(*encoded[:2]) for place, encoded in encode_windows(codec, numbered, EncodeWork())}
    return [found[index] for index in range(len(windows))]


@contextmanager
def _numerics(codec: ReasoningCodec, *, threads: int = 1, autocast: bool = False) -> Iterator[None]:
    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(eval_mode(codec))
        stack.enter_context(torch.autocast(codec.device.type, torch.bfloat16, enabled=autocast))
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _two_threads(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    with _numerics(codec, threads=2):
        return _in_order(codec, windows)


def _batched(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    """Every window as one row of `BATCH` equal ones."""
    with _numerics(codec):
        return [encode_batch(codec, window[None].repeat(BATCH, 1))[0] for window in windows]


def _bfloat16(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    with _numerics(codec, autocast=True):
        return _in_order(codec, windows)


class _RoundedEncoders(torch.nn.Module):
    """The frozen encoders in bfloat16 by autocast, where the rest of the codec is in float32."""

    def __init__(self, encoders: torch.nn.Module) -> None:
        super().__init__()
        self.encoders = encoders

    def forward(self, waveform_BN: torch.Tensor) -> Features:
        with torch.autocast(waveform_BN.device.type, torch.bfloat16):
            return Features(*(state.float() for state in self.encoders(waveform_BN)))


def _bfloat16_encoders(codec: ReasoningCodec, windows: list[torch.Tensor]) -> list[Encoded]:
    rounded = copy.copy(codec)
    rounded._modules = {**codec._modules, "encoders": _RoundedEncoders(codec.encoders)}
    with _numerics(rounded):
        return _in_order(rounded, windows)


NUMERICS = {
    "2 threads, float32": _two_threads,
    f"batches of {BATCH}, float32": _batched,
    "1 thread, encoders in bfloat16": _bfloat16_encoders,
    "1 thread, all in bfloat16": _bfloat16,
}


def _by_turns(source: Path) -> Iterator[Path]:
    """Files, one of each folder in turn."""
    folders = [
        sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio_suffixes())
        for folder in sorted([folder for folder in source.iterdir() if folder.is_dir()] or [source])
    ]
    for number in range(max(map(len, folders), default=0)):
        yield from (files[number] for files in folders if number < len(files))
