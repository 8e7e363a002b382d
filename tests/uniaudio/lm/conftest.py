"""Golden tensors of the released architecture, and tiny models to test with."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.load import config_of, read_checkpoint, to_our_names

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def parity_folder() -> Path:
    """`UNIAUDIO_PARITY`, or `../shared/parity` next to the repository; skips the test when absent."""
    folder = Path(os.environ.get("UNIAUDIO_PARITY", REPOSITORY.parent / "shared" / "parity")) / "lm"
    if not folder.is_dir():
        pytest.skip(f"no golden tensors at {folder}; set UNIAUDIO_PARITY to the folder that holds lm/core_io.pt")
    return folder


@pytest.fixture(scope="session")
def golden(parity_folder: Path) -> dict[str, Any]:
    return torch.load(parity_folder / "core_io.pt", weights_only=True)


@pytest.fixture(scope="session")
def released_model(parity_folder: Path) -> Callable[[str, int], UniAudioLM]:
    """A tiny released checkpoint, by file name and head size, as our model."""

    def build(name: str, head_size: int) -> UniAudioLM:
        path = parity_folder / name
        state = read_checkpoint(path)
        config = config_of({key: tuple(t.shape) for key, t in state.items()}, path, head_size, head_size)
        with torch.device("meta"):
            model = UniAudioLM(config)
        model.load_state_dict(to_our_names(state, config, path), assign=True)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return model

    return build


@pytest.fixture(scope="session")
def tiny_config() -> LMConfig:
    """Every part of the model, grouped heads and rescaled rotary embedding included."""
    stack = StackConfig(num_layers=2, width=32, num_heads=4, num_kv_heads=2, head_size=8, mlp_width=48)
    return LMConfig(
        text_size=300,
        audio_size=60,
        backbone=stack,
        local_decoder=StackConfig(num_layers=2, width=16, num_heads=2, num_kv_heads=1, head_size=8, mlp_width=32),
        num_understanding_layers=2,
        num_generation_layers=1,
        rope=RopeConfig(factor=32.0),
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_config: LMConfig) -> UniAudioLM:
    """Weights large enough for positions and neighbours to matter."""
    model = UniAudioLM(tiny_config, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6.0)
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def make_row() -> Callable[..., SimpleNamespace]:
    """A random row: `make_row("tta.", seed)` has text where t, audio where a, padding where `.`; no batch axis."""

    def build(pattern: str, seed: int, text_size: int = 256, audio_size: int = 60) -> SimpleNamespace:
        generator = torch.Generator().manual_seed(seed)
        is_audio = torch.tensor([letter == "a" for letter in pattern])
        is_text = torch.tensor([letter == "t" for letter in pattern])
        ids = torch.randint(0, audio_size, (len(pattern), 9), generator=generator)
        ids[:, 8] = torch.randint(0, text_size, (len(pattern),), generator=generator)
        return SimpleNamespace(ids=ids, is_audio=is_audio, is_text=is_text)

    return build
