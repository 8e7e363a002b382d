"""A tiny model that knows every task, as a folder, and a replica of it."""

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Limits, Service
from uniaudio_pipelines.checkpoint_to_service.sound_formats import wav

from uniaudio.run.folder import Parts, save_parts
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.testing import a_waveform, tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer


def write_model(folder: Path, seed: int = 0) -> Path:
    """An untrained model of the debug size."""
    codec, tokenizer = tiny_codec(), ByteTokenizer()
    vocabulary = Vocabulary.build(
        tokenizer, codec.config.reasoning_codebook_size, codec.config.reconstruction_codebook_size
    )
    parts = Parts(
        model=tiny_lm(vocabulary, seed).eval(),
        vocabulary=vocabulary,
        tokenizer=tokenizer,
        tasks=frozenset(TASKS),
        codec_fingerprint=codec.fingerprint,
        load_codec=tiny_codec,
    )
    save_parts(parts, folder)
    return folder


def samples_of(data: bytes) -> np.ndarray:
    """`[N]` int16 of a WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    root = tmp_path_factory.mktemp("service")
    voices = root / "voices"
    voices.mkdir()
    (voices / "anna.wav").write_bytes(wav(a_waveform(0.8, frequency=180.0)))
    limits = Limits(upload_bytes=400_000, input_s=4.0, answer_s=2.0, answer_text=24, prompt_text=200)
    return Service(model=str(write_model(root / "tiny")), voices=str(voices), num_rows=4, reload_s=0.2, limits=limits)


@pytest.fixture(scope="session")
def replica(service: Service) -> Iterator[Replica]:
    made = Replica(service)
    yield made
    made.close()


@pytest.fixture(scope="session")
def clip() -> bytes:
    """0.8 seconds as a WAV file."""
    return wav(a_waveform(0.8))
