"""What a training run must not be given: each is an error before the first step, and a clip is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.errors import UniaudioError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import PHASES, codec_phase
from uniaudio.testing import a_waveform, tiny_codec
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import identity_of, train_codec
from uniaudio.training.processes import Processes
from uniaudio.training.run import Listeners

pytest.importorskip("transformers")


@pytest.fixture(scope="module", autouse=True)
def _imports_take_seconds_which_are_no_tests() -> None:
    tiny_codec()


GOOD = TrainingClip(samples=a_waveform(0.5), text="hello", facts=ClipFacts(transcript="hello"))


def clip_with(value: float) -> TrainingClip:
    samples = GOOD.samples.copy()
    samples[100] = value
    return TrainingClip(samples=samples, text="hello", clip_id="5f1c")


def error_of(phases: list[CodecPhase], clips: list[TrainingClip], held_out: list[TrainingClip]) -> str:
    """Nothing may be trained: the codec is shared."""
    with pytest.raises(UniaudioError) as found:
        train_codec(tiny_codec(), phases, clips, held_out)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("name", PHASES)
def test_a_clip_that_is_no_audio_is_named_in_every_phase(name: str) -> None:
    phases = [codec_phase(before) for before in (["reasoning"] if name == "grpo" else []) + [name]]
    message = "Clip 2 of `clips` (5f1c) must be finite, but holds NaN or infinity."
    assert error_of(phases, [GOOD, GOOD, clip_with(float("nan"))], [GOOD]) == message
    message = "Clip 1 of `held_out` (5f1c) must be finite, but holds NaN or infinity."
    assert error_of(phases, [GOOD], [GOOD, clip_with(float("inf"))]) == message


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "Clip 0 of `clips` must hold audio, but is empty."),
        (np.zeros((2, 9_600), np.float32), "Clip 0 of `clips` must be audio [N], but has shape [2, 9600]."),
        (np.zeros((1, 9_600), np.float32), "Clip 0 of `clips` must be audio [N], but has shape [1, 9600]."),
        (np.zeros(9_600, np.int16), "Clip 0 of `clips` must be floating point in -1..1, but is int16."),
        (None, "Clip 0 of `clips` must be floating point in -1..1, but is object."),
    ],
)
def test_samples_of_another_kind_are_an_error_that_names_the_clip(samples: np.ndarray, message: str) -> None:
    assert error_of([codec_phase("scalar")], [TrainingClip(samples=samples)], [GOOD]) == message


def test_a_set_without_clips_is_named() -> None:
    for sets, name in ((([], [GOOD]), "clips"), (([GOOD], []), "held_out")):
        message = f"codec training: `{name}` must hold at least one clip, but is empty."
        assert error_of([codec_phase("scalar")], *sets) == message


def test_a_set_without_texts_is_named_where_a_phase_needs_them() -> None:
    silent = TrainingClip(samples=GOOD.samples)
    for sets, name in ((([silent], [GOOD]), "clips"), (([GOOD], [silent]), "held_out")):
        assert error_of([codec_phase("reasoning")], *sets).endswith(f"but `{name}` has none.")


@pytest.mark.parametrize(
    ("trains", "wrong"),
    [(("nope",), "'nope'"), (("scalar", "flow.nope"), "'flow.nope'"), (("",), "''"), ((), "nothing")],
)
def test_a_phase_that_trains_what_the_codec_lacks_is_an_error_before_any_phase(
    trains: tuple[str, ...], wrong: str
) -> None:
    phases = [codec_phase("scalar"), replace(codec_phase("reconstruction"), trains=trains)]
    message = f"`trains` of phase `reconstruction` must be modules or parameters of the codec, but {wrong} is none."
    assert error_of(phases, [GOOD], [GOOD]) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("max_gradient_norm", 0.0),
        ("num_steps", 2.5),
        ("num_clips", 0),
        ("log_every", float("nan")),
    ],
)
def test_a_number_of_a_phase_that_cannot_be_is_an_error_that_names_it(name: str, value: float) -> None:
    with pytest.raises(UniaudioError, match=f"`{name}` must be"):
        replace(codec_phase("scalar"), **{name: value})


@pytest.mark.parametrize("name", ["max_rollbacks", "spike_ratio"])
def test_a_phase_that_would_meet_the_same_data_again_goes_back_to_no_checkpoint(name: str) -> None:
    with pytest.raises(UniaudioError, match="must be 0 for a codec"):
        replace(codec_phase("scalar"), **{name: 2})


def test_more_ranks_than_crops_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "current", lambda: Processes(rank=1, world_size=3))
    message = "`num_clips` of phase `scalar` must be at least the number of ranks (3), but is 2."
    assert error_of([replace(codec_phase("scalar"), num_clips=2)], [GOOD], [GOOD]) == message


def test_a_run_goes_on_with_no_codec_of_another_config_though_its_tensors_fit(tmp_path: Path) -> None:
    config = CodecConfig.preset("debug")
    phase = replace(codec_phase("decoder"), num_steps=2, checkpoint_every=1, num_clips=1, crop_samples=9_600)
    folder = tmp_path / "checkpoint"

    def keep_the_first(state, save) -> None:
        if state.step == 1:
            save(folder)

    train_codec(
        ReasoningCodec.create(config), [phase], [GOOD], [GOOD], listeners=Listeners(on_checkpoint=keep_the_first)
    )
    scaled = ReasoningCodec.create(replace(config, flow=replace(config.flow, latent_scale=4.0)))
    with pytest.raises(UniaudioError, match=r"`resume_from` must be a checkpoint of this model, but .* another config"):
        train_codec(scaled, [phase], [GOOD], [GOOD], resume_from=folder)


@pytest.mark.parametrize(
    "other",
    [
        replace(GOOD, samples=GOOD.samples + np.float32(1e-6)),
        replace(GOOD, text="other words"),
        replace(GOOD, facts=replace(GOOD.facts, domain="music")),
    ],
    ids=["samples", "text", "facts"],
)
def test_a_run_on_other_clips_is_another_run(other: TrainingClip) -> None:
    phases = [codec_phase("scalar")]
    identity = identity_of(phases, [GOOD, GOOD], [GOOD])
    assert identity == identity_of(phases, [replace(GOOD, samples=GOOD.samples.copy(), clip_id="named")] * 2, [GOOD])
    assert len({identity, identity_of(phases, [GOOD, other], [GOOD]), identity_of(phases, [GOOD, GOOD], [other])}) == 3
    assert identity_of(phases, [GOOD], [GOOD, GOOD]) != identity
