"""From annotated clips to examples: the right ones, inside one split, the same whatever the shards."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.store import Store

from tests.pipelines.annotated_to_instructions.corpus import (
    ALL,
    FEW_SHOT,
    RATE,
    SHARES,
    a_clip,
    a_corpus,
    a_rich_corpus,
    build,
    rows_of,
    write,
)
from uniaudio.stages.config import OTHERS
from uniaudio.stages.table import ALL_STAGES
from uniaudio.tasks import TASKS


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Instruction]:
    return rows_of(*build(tmp_path_factory.mktemp("built"), a_corpus()))


def test_every_task_is_built_where_the_annotations_allow(tmp_path: Path) -> None:
    rows = rows_of(*build(tmp_path, a_rich_corpus()))
    assert {row.task for row in rows} == set(TASKS)
    for name, stage in ALL_STAGES.items():
        named = {group for phase in stage("debug").mixture for group, _ in phase.weights} - {OTHERS}
        assert named <= {row.mixture for row in rows if row.split == "train"}, name


def test_a_script_goes_before_what_a_recognizer_heard(built: list[Instruction]) -> None:
    texts = [segment.text for row in built if row.task == "asr" for segment in row.segments if segment.loss]
    assert "line 0" in texts
    assert "heard" not in texts


def test_what_a_recognizer_heard_is_trained_on_and_never_held_out(tmp_path: Path) -> None:
    clips = [a_clip(split, "speech", split, speaker="ann", transcript="heard") for split in ("train", "val", "test")]
    store, manifest = build(tmp_path, clips)
    with_words = [row for row in rows_of(store, manifest) if any(part.text == "heard" for part in row.segments)]
    assert {row.task for row in with_words} >= {"asr", "tts"}
    assert {row.split for row in with_words} == {"train"}
    assert manifest.dropped["no_given_text"] == 2


def test_a_held_out_copy_of_a_training_clip_is_in_no_example(tmp_path: Path) -> None:
    clips = [
        a_clip("original", "sound", corpus="a", caption="a bell", duplicate_cluster="bell"),
        a_clip("copy", "sound", "val", corpus="b", caption="a bell", duplicate_cluster="bell"),
        a_clip("other", "sound", "val", corpus="b", caption="a horn", duplicate_cluster="horn"),
        a_clip("unknown", "sound", "test", corpus="b", caption="a drum"),
    ]
    store, manifest = build(tmp_path, clips)
    used = {clip for row in rows_of(store, manifest) for clip in row.clip_ids}
    assert used >= {"original", "other", "unknown"}
    assert "copy" not in used
    assert manifest.dropped["copy"] == 1


def test_the_clips_of_an_example_share_its_split(built: list[Instruction]) -> None:
    splits = {clip.clip_id: clip.split for clip in a_corpus()}
    for row in built:
        known = {splits[clip] for clip in row.clip_ids if clip in splits}
        assert known == {row.split}, row


def test_the_speakers_of_a_mixture_differ(built: list[Instruction]) -> None:
    speakers = {clip.clip_id: clip.speaker for clip in a_corpus()}
    rows = [row for row in built if row.task == "speech_separation"]
    assert {row.split for row in rows} == {"train", "val"}
    for row in rows:
        (recipe,) = row.recipes
        assert len({speakers[parent] for parent in recipe.parents}) == 2
        targets = [segment.clip_id for segment in row.segments if segment.loss and segment.kind == "reasoning"]
        assert sorted(targets) == sorted(recipe.parents)


def test_real_stems_are_mixed_and_separated(built: list[Instruction]) -> None:
    (row,) = [row for row in built if row.task == "music_separation"]
    assert row.recipes[0].parents == ["band", "guitar"]
    assert row.recipes[0].num_samples == 10 * RATE


def test_a_mixture_is_one_clip_for_all_examples_that_use_it(built: list[Instruction]) -> None:
    by_task = {task: {recipe.clip_id for row in built if row.task == task for recipe in row.recipes} for task in TASKS}
    assert by_task["sentence_mixture"] == by_task["speech_separation"] | by_task["music_separation"]


def test_adjacent_cuts_of_a_recording_are_a_sentence(built: list[Instruction]) -> None:
    assert ["cut0", "cut1", "cut2"] in [row.clip_ids for row in built if row.task == "sentence_consecutive"]


def test_sentences_and_few_shot_examples_are_one_mixture_group(built: list[Instruction]) -> None:
    sentences = [row for row in built if row.task.startswith("sentence_") or row.task in FEW_SHOT]
    assert {row.mixture for row in sentences} == {"auditory_sentences"}
    pairs = [row for row in built if row.task.startswith("preferred_")]
    assert {row.mixture for row in pairs} == {"preference"}
    assert all(row.mixture == row.task for row in built if row not in (*sentences, *pairs))


def test_how_clips_are_cut_into_shards_changes_nothing(tmp_path: Path) -> None:
    contents = {shards: build(tmp_path / str(shards), a_corpus(), shards=shards)[1].content_id for shards in (1, 3)}
    assert contents[1] == contents[3]


def test_two_clips_with_the_same_text_are_two_examples(tmp_path: Path) -> None:
    clips = [a_clip(name, "text", text="The same.") for name in "ab"]
    rows = rows_of(*build(tmp_path, clips))
    assert sorted(row.clip_ids for row in rows) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (a_clip("x", "speech", speaker="ann"), "no_text"),
        (a_clip("x", "text", text="  "), "no_text"),
        (a_clip("x", "music"), "no_caption"),
        (a_clip("x", "sound", num_samples=0, caption="a bell"), "no_audio"),
        (a_clip("x", "speech", given_text="hi", mos=1.0), "low_mos"),
        (a_clip("x", "speech", given_text="hi", speaker="ann"), "no_partner"),
        (a_clip("x", "sound", caption="a bell", num_samples=90 * RATE), "too_long"),
    ],
    ids=["speech", "text", "music", "silent", "bad", "alone", "long"],
)
def test_what_could_not_be_built_is_named(tmp_path: Path, clip: Annotated, reason: str) -> None:
    store, manifest = build(tmp_path, [clip], replace(ALL, min_mos=2.0))
    dropped = store.dropped(manifest)
    assert reason in manifest.dropped
    assert clip.clip_id in dropped["row_id"].to_pylist()


def test_stems_of_unequal_length_are_named_and_not_mixed(tmp_path: Path) -> None:
    clips = [
        a_clip(part, "music", part_of="song", part=part, num_samples=size)
        for part, size in (("a", RATE), ("b", 2 * RATE))
    ]
    store, manifest = build(tmp_path, clips)
    assert manifest.dropped["unequal_parts"] == 1
    assert not any(row.task == "music_separation" for row in rows_of(store, manifest))


def test_shares_of_zero_build_no_derived_clip_but_stems(tmp_path: Path) -> None:
    job = AnnotatedToInstructions(**dict.fromkeys(SHARES, 0.0))
    rows = rows_of(*build(tmp_path, a_corpus(), job))
    assert {recipe.operation for row in rows for recipe in row.recipes} == {"mix"}
    assert Counter(row.task for row in rows)["speech_separation"] == 0


def test_a_share_outside_its_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`denoise_share` must lie in 0 … 1, but is 2"):
        AnnotatedToInstructions(denoise_share=2.0).plan(Store(tmp_path))


def test_a_missing_parent_names_the_flow_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="annotate-corpus"):
        AnnotatedToInstructions().plan(Store(tmp_path))


def test_a_worker_reads_what_was_planned_though_latest_has_moved(tmp_path: Path) -> None:
    store, planned = build(tmp_path, a_corpus())
    plan = ALL.plan(store)
    write(store, a_corpus()[:1])
    result = InstructionWorker(str(tmp_path), ALL, plan).process("c-00000")
    assert len(result.rows) == planned.num_rows
