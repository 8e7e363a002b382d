from dataclasses import replace

import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.doubles import tiny_lm
from uniaudio.training.lm.freezing import freeze_all_but
from uniaudio.training.optim import ParameterGroup, learning_rate, make_optimizer


def test_frozen_modules_have_no_gradient_and_are_in_eval_mode() -> None:
    model = tiny_lm()
    learning = freeze_all_but(model, ("audio_embedding", "understanding_expert"))
    assert {name.split(".")[0] for name in learning} == {"audio_embedding", "understanding_expert"}
    assert [name for name, child in model.named_children() if child.training] == [
        "audio_embedding",
        "understanding_expert",
    ]
    assert all(parameter.requires_grad == (name in learning) for name, parameter in model.named_parameters())


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(UsageError, match="but has audio_out"):
        freeze_all_but(tiny_lm(), ("audio_out",))


def test_norms_are_not_decayed(stage: StageConfig) -> None:
    parameters = freeze_all_but(tiny_lm(), stage.trains)
    decayed, not_decayed = make_optimizer([ParameterGroup(parameters=parameters)], stage).param_groups
    assert decayed["weight_decay"] == stage.weight_decay and not_decayed["weight_decay"] == 0.0
    assert {id(p) for p in not_decayed["params"]} == {id(p) for name, p in parameters.items() if "norm" in name}


def test_the_rate_rises_for_three_percent_and_falls_to_zero(stage: StageConfig) -> None:
    long = replace(stage, num_steps=1000, learning_rate=1.0)
    rates = [learning_rate(step, long) for step in range(1001)]
    assert rates[:30] == pytest.approx([(step + 1) / 30 for step in range(30)])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)
