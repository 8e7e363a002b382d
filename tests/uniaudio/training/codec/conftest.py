"""Real audio for codec training: a few clips of speech and sound from the demo's source folder."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import read_audio
from uniaudio.audio.resample import resample_tensor
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import Features
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts

REPOSITORY = Path(__file__).parents[4]
CORPORA = ("queen", "opensfx")
NUM_EACH, NUM_MANY_EACH, MAX_S = 12, 40, 2.0


def source_folder() -> Path:
    data = Path(os.environ.get("UNIAUDIO_DATA") or REPOSITORY / "data")
    return Path(os.environ.get("UNIAUDIO_SOURCE") or data / "source")


def read_clip(folder: Path, row: dict[str, str]) -> TrainingClip:
    audio = read_audio(folder / row["path"])
    mono = torch.from_numpy(audio.samples.mean(axis=0))[None]
    samples = resample_tensor(mono, audio.sample_rate, SAMPLE_RATE)[0, : int(MAX_S * SAMPLE_RATE)].numpy()
    given, title = row.get("given_text", ""), row.get("given_title", "")
    facts = ClipFacts(domain=row["domain"], transcript=given, caption=title)
    return TrainingClip(samples=samples, text=given or title, facts=facts)


def read_clips(num_each: int) -> list[TrainingClip]:
    """Speech and sounds in turn; a file without samples is left out."""
    pytest.importorskip("soundfile")
    clips: list[list[TrainingClip]] = []
    for corpus in CORPORA:
        folder = source_folder() / corpus
        if not (folder / "metadata.jsonl").is_file():
            pytest.skip(f"no real audio in {folder}: run the demo once, or set UNIAUDIO_SOURCE to its source folder")
        clips.append([])
        for line in (folder / "metadata.jsonl").read_text().splitlines():
            with suppress(DataError):
                clips[-1].append(read_clip(folder, json.loads(line)))
            if len(clips[-1]) == num_each:
                break
    return [clip for pair in zip(*clips, strict=True) for clip in pair]


@pytest.fixture(scope="session")
def real_clips() -> list[TrainingClip]:
    """24 clips of at most 2 s, speech and sounds in turn."""
    return read_clips(NUM_EACH)


@pytest.fixture(scope="session")
def many_clips() -> list[TrainingClip]:
    """80 such clips, of which no more than their domain is known: what can be heard in minutes of training."""
    return [
        replace(clip, text=clip.facts.domain, facts=ClipFacts(domain=clip.facts.domain))
        for clip in read_clips(NUM_MANY_EACH)
    ]


@pytest.fixture(scope="session")
def train_clips(real_clips: list[TrainingClip]) -> list[TrainingClip]:
    return real_clips[6:]


@pytest.fixture(scope="session")
def held_out_clips(real_clips: list[TrainingClip]) -> list[TrainingClip]:
    return real_clips[:6]


@pytest.fixture(scope="session")
def new_codec() -> Callable[[], ReasoningCodec]:
    """Untrained codecs of the debug size."""
    pytest.importorskip("transformers")
    config = CodecConfig.preset("debug")
    ReasoningCodec.create(config).encoders(torch.zeros(1, 9_600))  # imports take seconds, which are no test's
    return lambda: ReasoningCodec.create(config)


@pytest.fixture(scope="session")
def short() -> Callable[..., CodecPhase]:
    """A phase in few steps of few crops."""

    def shorten(phase: CodecPhase, num_steps: int, **changes: object) -> CodecPhase:
        sizes = {"num_clips": 4, "crop_samples": 28_800, "num_held_out": 4, "log_every": num_steps}
        steps = {"num_steps": num_steps, "checkpoint_every": max(1, num_steps // 2), "num_unquantized_steps": 0}
        return replace(phase, **{**sizes, **steps, **changes})

    return shorten


@pytest.fixture
def new_deaf_codec(new_codec: Callable[[], ReasoningCodec]) -> Callable[[], ReasoningCodec]:
    """Codecs whose encoders say nothing."""

    def deafened() -> ReasoningCodec:
        codec = new_codec()
        codec.encoders.register_forward_hook(lambda *call: Features(*(torch.zeros_like(state) for state in call[-1])))
        return codec

    return deafened
