"""What the edge `annotated_to_codec` plans, and what it tells training of a clip."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.annotated_to_codec.clips import facts_of
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.jobs import hash_folder
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store import Store

from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import DEFAULT_PHASES, codec_phase


@pytest.fixture
def encoders(tmp_path: Path) -> Path:
    """A folder of models with Whisper alone, as the demo prepares it."""
    folder = tmp_path / "models"
    (folder / "whisper-base").mkdir(parents=True)
    (folder / "whisper-base" / "config.json").write_text("{}")
    return folder


def test_the_default_phases_are_the_three_of_the_demo_unchanged() -> None:
    assert DEFAULT_PHASES["debug"] == ("scalar", "reasoning", "reconstruction")
    assert AnnotatedToCodec().training_phases() == [codec_phase(name) for name in DEFAULT_PHASES["debug"]]
    assert codec_phase("scalar").adversarial.weight == 0


def test_where_grpo_follows_reasoning_learns_what_it_starts_from() -> None:
    reasoning, grpo = AnnotatedToCodec(phases=("reasoning", "grpo")).training_phases()
    assert reasoning.tasks == grpo.tasks and "analysis" in grpo.tasks


def test_fewer_steps_shorten_every_part_of_a_phase() -> None:
    steps = {"reasoning": 6, "grpo": 6}
    phases = AnnotatedToCodec(phases=("reasoning", "grpo"), num_steps=steps).training_phases()
    assert [phase.num_steps for phase in phases] == [6, 6]
    assert phases[0].num_unquantized_steps == 2 and phases[1].grpo.num_frozen_steps == 2
    scalar = codec_phase("scalar", "starter")
    steps = {"scalar": scalar.num_steps // 10}
    (short,) = AnnotatedToCodec(size="starter", phases=("scalar",), num_steps=steps).training_phases()
    assert short.adversarial.num_spectral_steps == scalar.adversarial.num_spectral_steps // 10


def test_only_the_phases_that_are_named_get_other_steps() -> None:
    scalar, reasoning, reconstruction = AnnotatedToCodec(num_steps={"reasoning": 7}).training_phases()
    assert (scalar, reconstruction) == (codec_phase("scalar"), codec_phase("reconstruction"))
    assert reasoning.num_steps == 7


def test_steps_of_a_phase_that_does_not_run_are_refused(encoders: Path) -> None:
    with pytest.raises(UsageError, match=r"`num_steps` must name phases of this run \(scalar, .*\), but names decoder"):
        AnnotatedToCodec(num_steps={"decoder": 7}).training_phases()
    assert AnnotatedToCodec(size="starter", encoders=str(encoders), num_steps={"decoder": 7}).training_phases()


def test_a_phase_learns_at_the_rate_that_it_is_given_and_at_no_other() -> None:
    _, reasoning, reconstruction = AnnotatedToCodec(learning_rate={"reasoning": 3e-4}).training_phases()
    assert reasoning.learning_rate == 3e-4 and reconstruction == codec_phase("reconstruction")
    with pytest.raises(
        UsageError, match=r"`learning_rate` must name phases of this run \(scalar, .*\), but names grpo"
    ):
        AnnotatedToCodec(learning_rate={"grpo": 3e-4}).training_phases()


def test_a_rate_that_is_none_is_refused(annotated_store: Store) -> None:
    with pytest.raises(UsageError, match="`learning_rate` of phase scalar must lie between 0 and 1, but is 3"):
        AnnotatedToCodec(learning_rate={"scalar": 3.0}).plan(annotated_store)


def test_starter_needs_whisper_alone(encoders: Path) -> None:
    phases = AnnotatedToCodec(size="starter", encoders=str(encoders)).training_phases()
    assert [phase.name for phase in phases] == ["scalar", "reasoning", "reconstruction", "decoder"]


def test_a_missing_encoder_is_named_with_where_to_get_it(encoders: Path, annotated_store: Store) -> None:
    def refused(**fields: Any) -> str:
        with pytest.raises(UsageError, match="`encoders` must be a folder") as caught:
            AnnotatedToCodec(size="starter", **fields).plan(annotated_store)
        return str(caught.value)

    assert "with whisper (" in refused() and "`uniaudio demo` prepares Whisper" in refused()
    assert AnnotatedToCodec(size="starter", encoders=str(encoders)).plan(annotated_store)


def test_encoders_are_part_of_the_plan_by_their_files_and_leave_that_of_debug_as_it_was(
    encoders: Path, annotated_store: Store, tmp_path: Path
) -> None:
    job = AnnotatedToCodec(size="starter", encoders=str(encoders))
    before = job.plan(annotated_store).plan_id
    moved = encoders.rename(tmp_path / "moved")
    assert replace(job, encoders=str(moved)).plan(annotated_store).plan_id == before
    (moved / "whisper-base" / "config.json").write_text('{"d_model": 1}')
    assert replace(job, encoders=str(moved)).plan(annotated_store).plan_id != before
    assert "encoders" not in AnnotatedToCodec().plan(annotated_store).parameters


def test_text_model_and_judge_reach_the_phases_that_use_them() -> None:
    job = AnnotatedToCodec(
        phases=("scalar", "reasoning", "grpo"), text_model="/llm", judge="http://judge/v1", judge_model="chat"
    )
    scalar, reasoning, grpo = job.training_phases()
    assert (scalar.text_model, reasoning.text_model, grpo.text_model) == ("", "/llm", "/llm")
    assert (grpo.grpo.judge, grpo.grpo.judge_model) == ("http://judge/v1", "chat")


def test_a_language_model_is_known_by_its_files_not_by_its_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    same = [hash_folder(str(tmp_path / name), "text_model") for name in ("one", "two")]
    (tmp_path / "two" / "config.json").write_text('{"hidden_size": 1}')
    assert same[0] == same[1] != hash_folder(str(tmp_path / "two"), "text_model")
    with pytest.raises(UsageError, match="`text_model` must be a local folder"):
        hash_folder(str(tmp_path / "three"), "text_model")


def test_given_words_come_before_recognized_ones_in_what_training_asks() -> None:
    row = Annotated(
        clip_id="a", raw_clip_id="a", corpus="c", path="p", domain="speech", licence="CC0", split="train",
        transcript="lets go", given_text="Let's go!", caption="a man speaks", instruments=["guitar"],
    )  # fmt: skip
    facts = facts_of(row)
    assert (facts.transcript, facts.caption, facts.tags) == ("Let's go!", "a man speaks", ("guitar",))
    assert facts_of(replace(row, given_text=None)).transcript == "lets go"


def test_the_precision_of_a_job_is_that_of_all_phases_and_part_of_what_they_are() -> None:
    names = ("scalar", "reconstruction")
    plain, half = AnnotatedToCodec(phases=names), AnnotatedToCodec(phases=names, precision="bfloat16")
    assert [phase.precision for phase in half.training_phases()] == ["bfloat16", "bfloat16"]
    assert [phase.precision for phase in plain.training_phases()] == [codec_phase(name).precision for name in names]
    assert [half._identity(phase) for phase in half.training_phases()] != [
        plain._identity(phase) for phase in plain.training_phases()
    ]


def test_passes_and_recomputation_of_a_job_are_those_of_all_phases_that_can_take_them(annotated_store: Store) -> None:
    names = ("encoders", "scalar", "reasoning")
    job = AnnotatedToCodec(phases=names, micro_clips=3, recompute="blocks")
    assert [phase.micro_clips for phase in job.training_phases()] == [0, 3, 3]
    assert [phase.recompute for phase in job.training_phases()] == ["blocks"] * 3
    jobs = (AnnotatedToCodec(phases=names), replace(job, micro_clips=0), replace(job, recompute=""), job)
    assert len({one.plan(annotated_store).plan_id for one in jobs}) == 4
    assert jobs[0].training_phases() == [codec_phase(name) for name in names]
    with pytest.raises(UsageError, match="`micro_clips` must be 0 or more, but is -1"):
        replace(job, micro_clips=-1).plan(annotated_store)
    with pytest.raises(UsageError, match="`recompute` must be none or blocks, but is 'selective'"):
        replace(job, recompute="selective").plan(annotated_store)


def test_crops_of_a_job_are_those_of_all_phases_and_part_of_the_plan(annotated_store: Store) -> None:
    names = ("scalar", "reasoning")
    job = AnnotatedToCodec(phases=names, num_clips=6, crop_s=30.0)
    assert [(phase.num_clips, phase.crop_samples) for phase in job.training_phases()] == [(6, 720_000)] * 2
    assert job.longest_clip_s() == 30.0, "clips are cut shorter than crops"
    jobs = (AnnotatedToCodec(phases=names), replace(job, crop_s=0.0), replace(job, num_clips=0), job)
    assert len({one.plan(annotated_store).plan_id for one in jobs}) == 4
    assert jobs[0].training_phases() == [codec_phase(name) for name in names]


def test_checkpoints_and_the_cache_are_no_part_of_the_plan_and_held_out_points_are(annotated_store: Store) -> None:
    plain = AnnotatedToCodec(phases=("scalar",))
    plan_id = plain.plan(annotated_store).plan_id
    often = replace(plain, checkpoint_every=3)
    assert [phase.checkpoint_every for phase in often.checkpointed_phases()] == [3]
    assert plain.checkpointed_phases() == plain.training_phases()
    assert often.plan(annotated_store).plan_id == plan_id
    assert replace(plain, audio_cache_gb=0.25).plan(annotated_store).plan_id == plan_id
    assert replace(plain, hold_out_every=7).plan(annotated_store).plan_id != plan_id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop_s": 1.0}, "`crop_s` must be a multiple of 0.4, but is 1.0"),
        ({"crop_s": -0.4}, "`crop_s` must be 0 or more"),
        ({"num_clips": -1}, "`num_clips` must be 0 or more"),
        ({"checkpoint_every": -1}, "`checkpoint_every` must be 0 or more"),
        ({"hold_out_every": -1}, "`hold_out_every` must be 0 or more"),
        ({"audio_cache_gb": 0.0}, "`audio_cache_gb` must be positive"),
        ({"num_clips": 1, "num_workers": 2}, "at most the crops of a step, 1 in phase"),
    ],
)
def test_numbers_that_cannot_be_are_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        AnnotatedToCodec(**fields).plan(Store(tmp_path))


def test_deterministic_kernels_are_the_phases_choice_unless_a_job_makes_it(annotated_store: Store) -> None:
    jobs = {
        chosen: AnnotatedToCodec(phases=("scalar", "reasoning"), deterministic=chosen) for chosen in (None, True, False)
    }
    assert {chosen: [phase.deterministic for phase in job.training_phases()] for chosen, job in jobs.items()} == {
        None: [True, True],
        True: [True, True],
        False: [False, False],
    }
    released = AnnotatedToCodec(size="released", phases=("scalar",))
    assert not released.training_phases()[0].deterministic
    plan_ids = {chosen: job.plan(annotated_store).plan_id for chosen, job in jobs.items()}
    assert plan_ids[None] == plan_ids[True] != plan_ids[False]


@pytest.mark.parametrize("change", [{"num_rollouts": 1}, {"num_inner_steps": 0}, {"num_inner_steps": 7}])
def test_answers_that_a_checkpoint_would_lose_are_refused(change: dict[str, int]) -> None:
    phase = codec_phase("grpo")
    with pytest.raises(UsageError, match="`num_rollouts` must be 2 or more"):
        CodecPhase(
            **{**{name: getattr(phase, name) for name in phase.to_dict()}, "grpo": replace(phase.grpo, **change)}
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_workers": 2, "min_workers": 3}, "`min_workers` must lie"),
        ({"min_workers": -1}, "`min_workers` must lie"),
        ({"num_workers": 100}, "at most the crops of a step, .* but is 100"),
    ],
)
def test_workers_that_cannot_train_together_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        AnnotatedToCodec(**fields).plan(Store(tmp_path))
