"""Arithmetic finds the parameters that the model has, without the model."""

from dataclasses import replace

import pytest
import torch

from uniaudio.lm.config import PRESETS
from uniaudio.lm.model import UniAudioLM
from uniaudio.stages.config import ALL_MODULES
from uniaudio.stages.table import STAGES, stage_config
from uniaudio.training.plan.shapes import parameters_of, reach_of
from uniaudio.training.plan.work import config_of


@pytest.mark.parametrize("size", PRESETS)
@pytest.mark.parametrize("has_experts", [True, False])
def test_parameters_of_each_module_are_those_of_the_model(size: str, has_experts: bool) -> None:
    config = config_of(size) if has_experts else config_of(size).without_experts()
    with torch.device("meta"):
        model = UniAudioLM(config)
    assert parameters_of(config) == {
        module: sum(one.numel() for name, one in model.named_parameters() if name.split(".")[0] == module)
        for module in ALL_MODULES
    }


def test_the_paper_has_4_86_billion() -> None:
    assert round(sum(parameters_of(config_of("paper_3b")).values()) / 1e9, 2) == 4.86


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_reach_what_they_do_in_the_model(stage: str) -> None:
    """Seen at the hidden states that each module gives: they ask for a gradient where it is reached."""
    trains, reach = stage_config(stage).trains, reach_of(stage_config(stage).trains)
    model = UniAudioLM(replace(config_of("debug"), text_size=300))
    asked: dict[str, bool] = {}
    for module in ALL_MODULES:
        child = model.get_submodule(module)
        child.requires_grad_(module in trains)
        child.register_forward_hook(lambda _one, _given, out, module=module: asked.update({module: out.requires_grad}))
    ids, is_audio = torch.zeros(1, 6, 9, dtype=torch.int64), torch.arange(6)[None] < 3
    hidden_BSD = model(ids, is_audio, ~is_audio)
    model.text_logits(hidden_BSD)
    model.audio_logits(hidden_BSD[0], torch.zeros(6, 8, dtype=torch.int64))
    # The trunk reads the audio table through `embedding_bag`, past the module; the depth decoder through the module.
    assert asked == {module: reach[module].is_reached for module in ALL_MODULES}
