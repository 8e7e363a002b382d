"""What a training job plans, from manifests alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_flows.history import lineage_lines
from uniaudio_pipelines.jobs import job_from_json, job_to_json
from uniaudio_pipelines.ray_training.run_folder import steps_on_ranks
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.find import Found
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from tests.pipelines.sequences_to_checkpoint.conftest import put_sequences
from uniaudio.stages.config import StageConfig
from uniaudio.stages.sizes import LENGTHS

MakeStore = Callable[[str], Store]
JOB = SequencesToCheckpoint()


def publish(store: Store, due: DueStage, statistics: dict[str, float] | None = None) -> Manifest:
    """A version for `due` whose row holds no weights."""
    name = due.stage.name
    row = Checkpoint(
        checkpoint_id=due.plan.plan_id,
        stage=name,
        size="debug",
        step=1,
        parent=None,
        weights="",
        config="{}",
        vocabulary_fingerprint="v",
        codec_fingerprint="c",
        sequences=due.sequences.content_id,
        data_position=1,
        seed=0,
    )
    with store.writer(due.plan, owner="test", ref=name) as writer:
        writer.put_shard(name, [row], statistics=statistics)
        return writer.publish()


def test_without_sequences_the_job_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`sequences` has no version .* build-sequences/local"):
        JOB.plan(Store(tmp_path))


def test_the_same_codes_of_another_codec_train_another_checkpoint(tmp_path: Path) -> None:
    one, other = (put_sequences(tmp_path / codec, codec=codec) for codec in ("one", "other"))
    assert one.content_id == other.content_id
    assert JOB.plan(Store(tmp_path / "one")).plan_id != JOB.plan(Store(tmp_path / "other")).plan_id


def test_a_stage_without_a_training_example_is_left_out(tmp_path: Path) -> None:
    sequences = put_sequences(tmp_path / "audio", without="text_only")
    assert JOB.learnable(sequences) == tuple(name for name in JOB.stages if name != "text_warmup")
    with pytest.raises(UsageError, match="text_warmup: the sequences hold no training example"):
        replace(JOB, stages=("text_warmup",)).plan(Store(tmp_path / "audio"))


def test_the_plan_is_that_of_the_first_stage_that_is_due(store_with_sequences: MakeStore) -> None:
    store = store_with_sequences("store")
    names = []
    for _ in JOB.stages:
        *_, due = JOB.chain(store)
        assert JOB.plan(store).plan_id == due.plan.plan_id
        names.append(due.stage.name)
        publish(store, due)
    assert names == list(JOB.stages)
    # Nothing is due: the plan is the last stage's, whose version is there.
    assert store.version("checkpoint", JOB.plan(store).plan_id) is not None


def test_a_stage_starts_from_the_version_this_job_made_and_not_from_a_later_one(
    store_with_sequences: MakeStore,
) -> None:
    store = store_with_sequences("store")
    (due,) = JOB.chain(store)
    made = publish(store, due)
    (other,) = replace(JOB, seed=1).chain(store)
    publish(store, other)
    *_, second = JOB.chain(store)
    assert second.parent is not None and second.parent.plan_id == made.plan_id
    assert second.plan.parents["checkpoint"] == made.content_id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"num_steps": 7},
        {"size": "starter"},
        {"learning_rate": 1e-3},
        {"precision": "bfloat16"},
        {"context": 512},
        {"deterministic": False},
    ],
)
def test_what_changes_the_weights_changes_the_plan(store_with_sequences: MakeStore, change: dict) -> None:
    store = store_with_sequences("store")
    assert replace(JOB, **change).plan(store).plan_id != JOB.plan(store).plan_id


def test_a_version_says_how_many_steps_were_done_on_how_many_ranks(store_with_sequences: MakeStore) -> None:
    store = store_with_sequences("store")
    statistics = steps_on_ranks({"steps_by_world_size": {"4": 10, "2": 5}})
    manifest = publish(store, next(JOB.chain(store)), {"num_steps": 15.0, **statistics})
    answer = way_back(store, Found(manifest=manifest))
    assert answer["steps_on_ranks"] == {"2": 5, "4": 10}
    assert "5 steps on 2 rank(s), 10 steps on 4 rank(s)" in lineage_lines(answer)[0]


@pytest.mark.parametrize(
    "change",
    [{"keep_last": 5}, {"keep_every": 3}, {"keep_best": 1}, {"hold_out_every": 10}, {"max_failures": -1}],
    ids=lambda one: next(iter(one)),
)
def test_what_is_kept_held_out_and_tried_again_changes_no_plan(store_with_sequences: MakeStore, change: dict) -> None:
    store = store_with_sequences("store")
    assert replace(JOB, **change).plan(store).plan_id == JOB.plan(store).plan_id


def test_each_training_checkpoint_has_a_held_out_loss_where_the_best_is_asked_for() -> None:
    stage = JOB.stage("stage3")
    assert JOB.held_out_steps(stage) == stage.num_steps
    assert replace(JOB, keep_best=1).held_out_steps(stage) == stage.checkpoint_every
    assert replace(JOB, keep_best=1, hold_out_every=7).held_out_steps(stage) == 7


@pytest.mark.parametrize("change", [{"num_workers": 4}, {"num_workers": 4, "min_workers": 2}, {"shard_over": 1}])
def test_workers_change_no_plan(store_with_sequences: MakeStore, change: dict) -> None:
    store = store_with_sequences("store")
    assert replace(JOB, **change).plan(store).plan_id == JOB.plan(store).plan_id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shard_over": 2}, "divide `num_workers`"),
        ({"num_workers": 4, "shard_over": 3}, "divide `num_workers`"),
        ({"num_workers": 4, "shard_over": -1}, "divide `num_workers`"),
        ({"num_workers": 4, "shard_over": 2, "min_workers": 2}, "0 or 1 where `min_workers`"),
        ({"num_workers": 2, "min_workers": 3}, "`min_workers` must lie"),
    ],
)
def test_workers_that_cannot_train_together_are_refused(
    store_with_sequences: MakeStore, fields: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        replace(JOB, **fields).plan(store_with_sequences("store"))


def test_the_ref_does_not_change_the_plan(store_with_sequences: MakeStore) -> None:
    store = store_with_sequences("store")
    assert replace(JOB, ref="candidate").plan(store).plan_id == JOB.plan(store).plan_id


def test_a_later_stage_alone_needs_the_stage_before(store_with_sequences: MakeStore) -> None:
    with pytest.raises(UsageError, match="behind `stage1` yet"):
        replace(JOB, stages=("stage2",)).plan(store_with_sequences("store"))


def test_a_stage_of_another_size_than_its_parent_is_refused(store_with_sequences: MakeStore) -> None:
    store = store_with_sequences("store")
    (due,) = JOB.chain(store)
    publish(store, due)
    assert replace(JOB, stages=("stage1",)).plan(store).parents["checkpoint"]
    with pytest.raises(UsageError, match=r"`size` must be debug, .* but is starter"):
        replace(JOB, stages=("stage1",), size="starter").plan(store)


@pytest.mark.parametrize("stages", [(), ("stage2", "stage1"), ("stage5", "stage4"), ("stage9",)])
def test_stages_out_of_order_are_refused(store_with_sequences: MakeStore, stages: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="in this order"):
        replace(JOB, stages=stages).plan(store_with_sequences("store"))


def test_a_job_survives_its_json() -> None:
    job = replace(JOB, stages=("stage1", "stage2"), seed=3)
    assert job_from_json(SequencesToCheckpoint, job_to_json(job)) == job


def test_a_stage_survives_the_way_to_a_worker_and_into_a_manifest() -> None:
    from dataclasses import asdict

    for name in JOB.stages:
        for values in (asdict(JOB.stage(name)), json.loads(json.dumps(asdict(JOB.stage(name))))):
            assert StageConfig.from_dict(values) == JOB.stage(name)


def test_planning_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, uniaudio_pipelines.sequences_to_checkpoint.job as _;"
        "sys.exit(bool({'torch', 'ray', 'prefect', 'polars'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_a_stage_draws_from_the_mixture_that_the_job_names(store_with_sequences: MakeStore) -> None:
    job = replace(JOB, mixtures={"stage3": {"asr": 3.0, "tts": 1.0}}, text_weight=2.0)
    stage = job.stage("stage3")
    assert [(group, stage.mixture[0].weight_of(group)) for group in ("asr", "tts", "text_only")] == [
        ("asr", 3.0),
        ("tts", 1.0),
        ("text_only", 0.0),
    ]
    assert stage.text_weight == 2.0
    assert job.stage("stage1").mixture == JOB.stage("stage1").mixture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixtures": {"stage9": {"asr": 1.0}}}, "`mixtures` must name stages"),
        ({"mixtures": {"stage3": {"asr": -1.0}}}, "`mixtures` of stage3 must be shares of 0 or more"),
        ({"mixtures": {"stage3": {"asr": 0.0}}}, "not all 0"),
        ({"stage_steps": {"stage9": 1}}, "`stage_steps` must name stages"),
        ({"stage_steps": {"stage3": 0}}, "`stage_steps` of stage3 must be 1 or more"),
        ({"device": "cuda", "num_gpus": 0.5, "num_workers": 2}, "`num_gpus` must be a whole number"),
        ({"max_failures": -2}, "`max_failures` must be -1 or more, but is -2"),
        ({"spike_ratio": 0.5}, "`spike_ratio` must be 0 or more than 1"),
        ({"num_workers": 2, "min_workers": 3}, "`min_workers` must lie in 0 … `num_workers`"),
    ],
)
def test_what_a_stage_cannot_be_told_is_named(store_with_sequences: MakeStore, change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(JOB, **change).plan(store_with_sequences("store"))


def test_the_paper_distils_in_stage_one_unless_a_job_says_otherwise() -> None:
    paper = SequencesToCheckpoint(size="paper_3b")
    assert paper.stage("stage1").distillation_weight > 0
    assert replace(paper, distillation_weight=0.0).stage("stage1").distillation_weight == 0
    assert replace(JOB, distillation_weight=0.5).stage("stage1").distillation_weight == 0.5
    assert replace(JOB, distillation_weight=0.5).stage("stage3").distillation_weight == 0


def test_deterministic_kernels_are_the_size_s_choice_unless_a_job_makes_it() -> None:
    chosen = {size: replace(JOB, size=size).stage("stage3").deterministic for size in LENGTHS}
    assert chosen == {"debug": True, "starter": True, "paper_1b": False, "paper_3b": False}
    assert not replace(JOB, deterministic=False).stage("stage3").deterministic
    assert replace(JOB, size="paper_3b", deterministic=True).stage("stage3").deterministic


def test_the_stage_after_the_papers_is_trained_only_where_it_is_named() -> None:
    assert JOB.stages == ("text_warmup", "stage1", "stage2", "stage3", "stage4")
    assert replace(JOB, stages=("stage4", "stage5")).stage("stage5").name == "stage5"


def test_instruction_tuning_is_left_out_where_there_is_no_conversation(tmp_path: Path) -> None:
    """Though it rehearses other tasks, which are there."""
    sequences = put_sequences(tmp_path / "store")
    job = replace(JOB, stages=("stage4", "stage5"))
    assert job.learnable(sequences) == ("stage4",)
    assert "no training example" in job.left_out(sequences)["stage5"]
