"""A tiny model that knows every task, as a folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uniaudio.run.clips import write_clip
from uniaudio.run.folder import Parts, save_parts
from uniaudio.run.model import UniAudio
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.testing import a_waveform, tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer


@pytest.fixture(scope="session")
def parts() -> Parts:
    codec = tiny_codec()
    sizes = codec.config.reasoning_codebook_size, codec.config.reconstruction_codebook_size
    vocabulary = Vocabulary.build(ByteTokenizer(), *sizes)
    return Parts(
        model=tiny_lm(vocabulary).eval().requires_grad_(False),
        vocabulary=vocabulary,
        tokenizer=ByteTokenizer(),
        tasks=frozenset(TASKS),
        codec_fingerprint=codec.fingerprint,
        load_codec=tiny_codec,
    )


@pytest.fixture(scope="session")
def model(parts: Parts) -> UniAudio:
    return UniAudio(parts)


@pytest.fixture(scope="session")
def model_folder(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on three tasks."""
    folder = tmp_path_factory.mktemp("model")
    save_parts(replace(parts, tasks=frozenset({"asr", "tts", "audio_caption"})), folder)
    return folder


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    return a_waveform(0.8)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of unequal length, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for number, duration_s in enumerate((0.4, 0.9, 0.6)):
        write_clip(folder / f"{number}.wav", a_waveform(duration_s, frequency=200.0 + 50 * number))
    (folder / "notes.txt").write_text("first text\n\nsecond text\n")
    return folder
