"""What is not trained on: texts that a policy rejects, leaks, copies, too much of a machine's voice, more than a cap."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_instructions.caps import part_of_cap
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated, Fact
from uniaudio_schemas.store import Store

from tests.pipelines.annotated_to_instructions.corpus import ALL, a_clip, build, rows_of

JOB = AnnotatedToInstructions()


def texts(store: Store, manifest: object) -> set[str]:
    return {segment.text for row in rows_of(store, manifest) for segment in row.segments if segment.kind == "text"}  # type: ignore[arg-type]


def test_a_rejected_transcript_is_no_text_and_its_sound_stays(tmp_path: Path) -> None:
    clips = [
        a_clip("good", "speech", transcript="heard well"),
        a_clip("loop", "speech", transcript="again again again", rejections=["Repetition > 0.5", "too_fast"]),
        a_clip("script", "speech", transcript="hrd", given_text="given all the same", rejections=["repetition"]),
    ]
    store, manifest = build(tmp_path, clips)
    assert texts(store, manifest) == {"heard well", "given all the same"}
    assert manifest.dropped["rejected_repetition_0_5"] == 1
    assert "loop" in {clip for row in rows_of(store, manifest) for clip in row.clip_ids}


@pytest.mark.parametrize(("policy", "used"), [("drop", {"clean", "tested"}), ("keep", {"clean", "tested", "leak"})])
def test_a_training_clip_that_an_evaluation_set_holds_is_in_no_example(
    tmp_path: Path, policy: str, used: set[str]
) -> None:
    clips = [
        a_clip("clean", "sound", caption="a bell"),
        a_clip("leak", "sound", caption="a horn", leaks=["esc50"]),
        a_clip("tested", "sound", "test", caption="a dog", leaks=["esc50"]),
    ]
    store, manifest = build(tmp_path, clips, replace(JOB, leaks=policy))
    assert {clip for row in rows_of(store, manifest) if not row.recipes for clip in row.clip_ids} == used
    assert manifest.dropped.get("leak", 0) == (1 if policy == "drop" else 0)


@pytest.mark.parametrize(("policy", "left"), [("drop_held_out", "train"), ("drop_training", "val")])
def test_a_sound_on_both_sides_is_left_on_one(tmp_path: Path, policy: str, left: str) -> None:
    clips = [
        a_clip(split, "sound", split, caption="a bell", duplicate_cluster="bell", corpus=split)
        for split in ("train", "val")
    ]
    store, manifest = build(tmp_path, clips, replace(JOB, copies=policy, preference_share=0.0))
    assert {row.split for row in rows_of(store, manifest)} == {left}
    assert manifest.dropped == {"copy": 1}


def a_machine(name: str) -> Annotated:
    return a_clip(
        name, "speech", given_text=f"words of {name}", corpus="machine", facts=[Fact(name="synthetic", value="kokoro")]
    )


def test_a_machines_voice_is_a_bounded_share_of_what_is_learned_to_be_said(tmp_path: Path) -> None:
    people = [a_clip(f"p{number}", "speech", given_text=f"line {number}", corpus="people") for number in range(100)]
    clips = [*people, *(a_machine(f"m{number}") for number in range(300))]
    store, manifest = build(tmp_path, clips, replace(JOB, max_synthetic_share=0.2))
    rows = rows_of(store, manifest)
    said = Counter(row.corpus for row in rows if row.task == "tts")
    assert said["people"] == 100
    assert 12 <= said["machine"] <= 40, "a fifth of all"
    heard = Counter(row.corpus for row in rows if row.task == "asr")
    assert heard == {"people": 100, "machine": 300}, "it may be listened to"
    assert manifest.dropped["over_synthetic_share"] == 300 - said["machine"]


def test_without_people_a_machine_says_nothing_unless_the_job_says_so(tmp_path: Path) -> None:
    clips = [a_machine(f"m{number}") for number in range(5)]
    for share, expected in ((0.5, 0), (1.0, 5)):
        rows = rows_of(*build(tmp_path / str(share), clips, replace(JOB, max_synthetic_share=share)))
        assert sum(row.task == "tts" for row in rows) == expected


@pytest.fixture(scope="module")
def speakers() -> list[Annotated]:
    return [
        a_clip(f"s{number:03}", "speech", speaker=f"v{number % 3}", given_text=f"line {number}") for number in range(90)
    ]


@pytest.mark.parametrize("clips_per_unit", [4096, 16])
def test_no_task_has_more_examples_of_a_corpus_than_its_cap(
    tmp_path: Path, speakers: list[Annotated], clips_per_unit: int
) -> None:
    job = replace(ALL, max_examples_per_corpus=20, clips_per_unit=clips_per_unit)
    store, manifest = build(tmp_path, speakers, job)
    counts = Counter(row.task for row in rows_of(store, manifest))
    assert max(counts.values()) <= 20
    assert counts["asr"] >= 15
    assert manifest.dropped["over_cap"] > 0
    assert manifest.statistics["not_built/asr/over_cap"] == 90 - counts["asr"]


@pytest.mark.parametrize("clips_per_unit", [4096, 16])
def test_no_task_has_more_examples_of_a_speaker_than_its_cap(
    tmp_path: Path, speakers: list[Annotated], clips_per_unit: int
) -> None:
    job = replace(ALL, max_examples_per_speaker=10, clips_per_unit=clips_per_unit)
    store, manifest = build(tmp_path, speakers, job)
    voice = {clip.clip_id: clip.speaker for clip in speakers}
    rows = [row for row in rows_of(store, manifest) if row.task in ("asr", "tts", "prompt_tts", "audio_only")]
    counts = Counter(
        (row.task, voice[next(part.clip_id for part in row.segments if part.kind == "reconstruction")]) for row in rows
    )
    assert max(counts.values()) <= 10
    assert all(counts[("asr", f"v{number}")] >= 8 for number in range(3))


def test_the_parts_of_a_cap_add_up_to_it() -> None:
    assert [part_of_cap(10, 4, number) for number in range(4)] == [2, 3, 2, 3]
    assert sum(part_of_cap(3, 8, number) for number in range(8)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leaks": "maybe"}, "`leaks` must be drop or keep, but is 'maybe'"),
        ({"copies": "both"}, "`copies` must be drop_held_out or drop_training"),
        ({"max_examples_per_speaker": -1}, "`max_examples_per_speaker` must be 0 or more, but is -1"),
        ({"clips_per_unit": 0}, "`clips_per_unit` must be 1 or more, but is 0"),
        ({"max_synthetic_share": 1.5}, "`max_synthetic_share` must lie in 0 … 1, but is 1.5"),
    ],
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(JOB, **changes).plan(Store(tmp_path))  # type: ignore[arg-type]
