"""The table of tasks: complete, pure, and with prompts in the languages it needs."""

import re
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.instructions import Instruction, Recipe
from uniaudio_schemas.kinds.record import from_table, to_table

from uniaudio.metrics.table import find_metric
from uniaudio.tasks import TASKS
from uniaudio.tasks.conversation import ASKED
from uniaudio.tasks.prompts import LANGUAGES, choose_prompt
from uniaudio.tasks.task import Task, audio, repeated, text

AUTHORS = {
    "text_only": "*T",
    "audio_only": "*R *S",
    "ASR Yue_ASR D_ASR": "P R S *transcription:T",
    "lyric_recognition": "P R S *lyric:T",
    "audio_caption music_caption": "P R S *caption:T",
    "TTS Yue_TTS": "P transcription:T *R *S",
    "TTA TTM": "P caption:T *R *S",
    "LTS": "P lyric:T *R *S",
    "InstructTTS": "P caption:T transcription:T *R *S",
    "prompt_instruct_tts": "P A caption:T transcription:T *R *S",
    "reason_to_semantic": "P R *S",
    "semantic_to_reason": "P S *R",
    "semantic_copy": "P R S *S",
    "reason_copy": "P R S *R",
    "speech_edit": "P T R S *R *S",
    "speech_denoise speech_s2s": "P R S *R *S",
    "speech_ss music_ss": "P R S *R *S *R *S",
    "speech_s2t": "P R S *T",
    "audio_understanding": "P T R S *T",
}
"""The table of the specification of the language model, 4.2: P prompt, R S codes, A audio prompt, T text, * with loss."""
NEVER_REGISTERED = {"speech_sound_generation", "pretraining_prompt_song_generation"}
CHINESE = re.compile("[\u4e00-\u9fff]")
RECIPE = Recipe(clip_id="mixed", operation="mix", parents=["a", "b"], parameters="{}", seed=0, num_samples=9600)


def fill(task: Task, num_repeats: int | None = None) -> Instruction:
    slots = task.slots(num_repeats or task.num_repeats[0])
    texts = {slot.name: f"words of {slot.name}" for slot in slots if slot.is_text}
    clips = {slot.name: f"clip of {slot.name}" for slot in slots if not slot.is_text}
    return task.instruction(texts=texts, clips=clips, corpus="c", split="train")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_filled_task_is_its_order_behind_its_prompt(task: Task) -> None:
    row = fill(task)
    segments = row.segments[1:] if task.has_prompt else row.segments
    assert [segment.kind for segment in segments] == [slot.kind for slot in task.slots(task.num_repeats[0])]
    assert not row.segments[0].loss or not task.has_prompt
    (again,) = from_table(to_table([row], Instruction), Instruction)
    assert again == row


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.has_prompt], ids=lambda task: task.name)
def test_a_task_has_five_english_prompts_and_no_wording_twice(task: Task) -> None:
    wordings = [wording for found in task.prompts.values() for wording in found]
    assert len(task.prompts["en"]) >= 5
    assert len(set(wordings)) == len(wordings)
    assert not any(CHINESE.search(wording) for wording in task.prompts["en"])


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.has_prompt], ids=lambda task: task.name)
def test_a_task_has_five_chinese_prompts(task: Task) -> None:
    assert len(task.prompts["zh"]) >= 5
    assert all(CHINESE.search(wording) for wording in task.prompts["zh"])


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_is_judged_by_metrics_that_exist(task: Task) -> None:
    assert task.metrics
    assert all(callable(find_metric(name)) for name in task.metrics)


def test_the_26_formats_of_the_authors_have_their_order() -> None:
    kinds = {"reasoning": "R", "reconstruction": "S", "text": "T", "audio_prompt": "A"}
    found = {
        task.authors_name: " ".join(
            ("P " if task.has_prompt and slot is task.order[0] else "")
            + ("*" if slot.loss else "")
            + (f"{slot.wrapper}:" if slot.wrapper else "")
            + kinds[slot.kind]
            for slot in task.order
        )
        for task in TASKS.values()
        if task.authors_name
    }
    for names, order in AUTHORS.items():
        assert {name: found.get(name) for name in names.split()} == dict.fromkeys(names.split(), order)
    assert sum(len(names.split()) for names in AUTHORS) == 26


def test_every_file_of_prompts_belongs_to_a_task_or_a_turn() -> None:
    found = {file.name for file in files("uniaudio.tasks.prompts").iterdir() if file.name.endswith(".txt")}
    tasks = {f"{task.name}.txt" for task in TASKS.values() if task.has_prompt}
    assert found == tasks | {f"turn_{kind}.txt" for kind in ASKED}


def test_the_formats_that_the_authors_never_registered_are_there() -> None:
    assert {task.authors_name for task in TASKS.values()} >= NEVER_REGISTERED


def test_names_are_words_and_authors_names_are_unique() -> None:
    authors = [task.authors_name for task in TASKS.values() if task.authors_name]
    assert len(set(authors)) == len(authors)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in TASKS)


@given(st.integers(0, 2**32), st.text(max_size=20))
def test_equal_arguments_give_equal_rows(seed: int, words: str) -> None:
    def build() -> Instruction:
        return TASKS["tts"].instruction(
            texts={"transcript": words}, clips={"audio": "x"}, corpus="c", split="train", seed=seed
        )

    assert build() == build()


def test_the_seed_decides_the_wording_alone() -> None:
    rows = [
        TASKS["asr"].instruction(texts={"transcript": "hi"}, clips={"audio": "x"}, corpus="c", split="train", seed=seed)
        for seed in range(40)
    ]
    assert {row.segments[0].text for row in rows} == set(TASKS["asr"].prompts["en"])
    assert all(row.segments[1:] == rows[0].segments[1:] for row in rows)


def test_two_clips_with_the_same_words_are_two_examples() -> None:
    common = {"corpus": "c", "split": "train"}
    rows = [TASKS["asr"].instruction(texts={"transcript": "hi"}, clips={"audio": clip}, **common) for clip in "xy"]
    assert rows[0].instruction_id != rows[1].instruction_id


def test_lineage_holds_each_clip_once_and_the_parents_of_recipes() -> None:
    row = TASKS["speech_separation"].instruction(
        clips={"mixture": RECIPE, "first_source": "a", "second_source": "b"}, corpus="c", split="train"
    )
    assert row.recipes == [RECIPE]
    assert row.clip_ids == ["mixed", "a", "b"]


def test_every_language_of_the_wordings_can_be_asked_for() -> None:
    assert {language for task in TASKS.values() for language in task.prompts} <= set(LANGUAGES)


def test_the_language_chooses_the_prompt_and_cantonese_reads_chinese() -> None:
    prompts = {"en": ("go",), "zh": ("走",)}
    assert choose_prompt(prompts, "zh", "00") == "走"
    assert choose_prompt(prompts, "yue", "00") == "走"
    assert choose_prompt(prompts, "fr", "00") == "go"


@pytest.mark.parametrize("texts", [{}, {"transcript": "hi", "caption": "no"}], ids=["missing", "unknown"])
def test_a_text_that_is_missing_or_unknown_is_named(texts: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="`texts` of task asr must hold transcript"):
        TASKS["asr"].instruction(texts=texts, clips={"audio": "x"}, corpus="c", split="train")


def test_a_repeating_part_is_numbered_and_bounded() -> None:
    task = TASKS["voice_conversion"]
    names = [slot.name for slot in task.slots(2)]
    assert names[::2] == [
        "example_source_1", "example_target_1", "example_source_2", "example_target_2", "source", "target",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="must lie in 1 … 3, but is 4"):
        fill(task, 4)


def test_a_prompt_at_inference_ends_where_the_answer_begins() -> None:
    segments = TASKS["instruct_tts"].prompt_segments(texts={"style": "slow", "transcript": "hi"})
    assert [segment.wrapper for segment in segments] == ["", "caption", "transcription"]
    assert not any(segment.loss for segment in segments)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.has_prompt], ids=lambda task: task.name)
def test_a_prompt_at_inference_begins_like_the_training_example(task: Task) -> None:
    row = fill(task)
    slots = task.slots(task.num_repeats[0])
    texts = {slot.name: f"words of {slot.name}" for slot in slots if slot.is_text}
    clips = {slot.name: f"clip of {slot.name}" for slot in slots if not slot.is_text}
    condition = task.prompt_segments(texts=texts, clips=clips)
    assert condition[1:] == row.segments[1 : len(condition)]
    assert row.segments[len(condition)].loss


def test_a_task_without_a_target_is_refused() -> None:
    with pytest.raises(UsageError, match="must hold a segment with loss"):
        Task(name="nothing", order=audio("audio"))


def test_a_task_without_prompts_says_where_they_belong() -> None:
    task = replace(TASKS["asr"], name="new_task")
    with pytest.raises(UsageError, match=r"new_task\.txt"):
        fill(task)


def test_a_description_is_one_line() -> None:
    assert TASKS["asr"].describe() == "prompt, audio -> transcript"
    task = Task(name="x", order=repeated(*audio("audio", loss=True), text("words", loss=True)), has_prompt=False)
    assert task.describe() == "nothing -> audio 1 …, words 1 …"
