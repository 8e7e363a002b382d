"""Every task laid out as the authors' loader does. `pytest -k "parity and lm"` selects these tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.sequence.build import build_sequence, lay_out_segments
from uniaudio.sequence.condition_dropout import without_condition
from uniaudio.sequence.layout import Grid, grid_of, lay_out
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.tasks.task import Task

AUTHORS = {task.authors_name: task for task in TASKS.values() if task.authors_name}
SPLICED = (
    "ASR", "Yue_ASR", "D_ASR", "lyric_recognition", "audio_caption", "music_caption", "audio_only", "text_only", "TTS", "Yue_TTS", "TTA",
    "TTM", "LTS", "InstructTTS", "reason_to_semantic", "semantic_to_reason", "semantic_copy", "reason_copy", "speech_edit",
    "speech_denoise", "speech_ss", "music_ss", "speech_s2t", "speech_s2s", "audio_understanding", "prompt_instruct_tts",
)  # fmt: skip
PROMPTED = (
    "TTS", "LTS", "TTA", "TTM", "InstructTTS", "ASR", "audio_understanding", "speech_s2t", "speech_s2s", "speech_edit",
    "prompt_instruct_tts", "lyric_recognition", "audio_caption",
)  # fmt: skip
DROPPED_BY_THE_AUTHORS = {"TTS", "Yue_TTS", "PromptTTS", "InstructTTS", "TTM", "TTA", "LTS"}
SPECIALS = {
    "bos": 128000, "eos": 128001, "transcription_start": 128011, "transcription_end": 128012, "lyric_start": 128013, "lyric_end": 128014,
    "caption_start": 128015, "caption_end": 128016,
}  # fmt: skip
TWO_NEWLINES = 271


class Numbers:
    """Text is its own ids: `"20 21"` is [20, 21]."""

    num_ids = 128256
    specials = SPECIALS | {"pad": 128020}
    fingerprint = "numbers"

    def encode(self, text: str) -> list[int]:
        ids = [int(word) for word in text.split()]
        return [*ids, TWO_NEWLINES] if text.endswith("\n\n") else ids

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


@pytest.fixture(scope="module")
def collate(parity_folder: Path) -> dict[str, Any]:
    return torch.load(parity_folder / "collate.pt", weights_only=True)


@pytest.fixture(scope="module")
def vocabulary(collate: dict[str, Any]) -> Vocabulary:
    return Vocabulary.released(Numbers(), collate["special"])


def spelled(ids: torch.Tensor, first: int = 1, last: int = -1) -> str:
    return " ".join(map(str, ids[first:last].tolist()))


def as_words(task: Task, example: dict[str, Any]) -> tuple[dict[str, str], dict[str, str], dict[str, Tokens]]:
    """The authors' keys, which come in the order of our slots, as texts, clips and tokens."""
    keys = [key for key in example if key not in ("task", "loss_key")]
    slots = task.slots()
    assert len(keys) == len(slots)
    assert [slot.loss for slot in slots] == [key in example["loss_key"] for key in keys]
    texts: dict[str, str] = {}
    codes: dict[str, dict[str, np.ndarray]] = {}
    for slot, key in zip(slots, keys, strict=True):
        value = example[key]
        if slot.kind == "text":
            texts[slot.name] = spelled(value)
            continue
        kind = "reasoning" if slot.kind == "reasoning" else "reconstruction"
        is_transposed = slot.kind != "audio_prompt"
        codes.setdefault(slot.name, {})[kind] = (value.T if is_transposed else value).numpy().astype(np.int16)
    nothing = np.zeros((0, 8), np.int16)
    tokens = {
        name: Tokens(
            clip_id=name,
            num_samples=1,
            reasoning_codes=found.get("reasoning", nothing),
            reconstruction_codes=found.get("reconstruction", nothing),
        )
        for name, found in codes.items()
    }
    return texts, {name: name for name in codes}, tokens


def with_prompt(instruction: Instruction, prompt: str) -> Instruction:
    segments = [replace(part, text=prompt) if part.kind == "prompt" else part for part in instruction.segments]
    return replace(instruction, segments=segments)


def laid_out(name: str, collate: dict[str, Any], vocabulary: Vocabulary) -> Grid:
    task = AUTHORS[name]
    texts, clips, tokens = as_words(task, collate["examples"][name])
    instruction = task.instruction(texts=texts, clips=clips, corpus="golden", split="train")
    prompt = spelled(collate["prompts"][name][0], 1, -2)
    return grid_of(build_sequence(with_prompt(instruction, prompt), tokens, Numbers(), vocabulary))


def masks_of(grid: Grid, kept: np.ndarray) -> np.ndarray:
    """The authors' masks: 1 in the columns that a position uses, where `kept`."""
    mask = np.zeros((len(grid), 9), np.float32)
    mask[:, :8] = (grid.is_audio & kept)[:, None]
    mask[:, 8] = ~grid.is_audio & kept
    return mask


def test_parity_lm_every_format_of_the_dump_has_a_task(collate: dict[str, Any]) -> None:
    assert set(collate["examples"]) == set(SPLICED)
    assert set(SPLICED) <= set(AUTHORS)


@pytest.mark.parametrize("name", SPLICED)
def test_parity_lm_collate_of_every_task(name: str, collate: dict[str, Any], vocabulary: Vocabulary) -> None:
    grid, golden = laid_out(name, collate, vocabulary), collate["spliced"][name]["plain"]
    assert len(grid) == golden["length"]
    assert np.array_equal(grid.ids, golden["sequence"].numpy())
    assert np.array_equal(masks_of(grid, np.ones(len(grid), bool)), golden["mask"].numpy())
    assert np.array_equal(masks_of(grid, grid.loss), golden["loss_mask"].numpy())


@pytest.mark.parametrize("name", SPLICED)
def test_parity_lm_collate_without_condition(name: str, collate: dict[str, Any], vocabulary: Vocabulary) -> None:
    """Equal but for the one fix: the authors' reconstruction pads of a dropped condition lack their offset."""
    dropped = without_condition(laid_out(name, collate, vocabulary), vocabulary)
    golden = collate["spliced"][name]["cfg"]["sequence"].numpy().copy()
    wrong_pad = collate["special"]["semantic_pad_token"]
    is_wrong = (golden[:, :8] == wrong_pad) & (dropped.is_audio & ~dropped.loss)[:, None]
    golden[:, :8][is_wrong] += collate["special"]["audio_reason_card"]
    assert np.array_equal(dropped.ids, golden)


def test_parity_lm_the_tasks_that_drop_their_condition_are_the_authors() -> None:
    ours = {task.authors_name for task in TASKS.values() if task.drops_condition}
    assert ours & set(SPLICED) == DROPPED_BY_THE_AUTHORS & set(SPLICED)


def test_parity_lm_a_padded_batch_holds_the_same_examples(collate: dict[str, Any], vocabulary: Vocabulary) -> None:
    batch = collate["batch"]
    for row, name in enumerate(batch["ids"]):
        grid = laid_out(name, collate, vocabulary)
        length = int(batch["lengths"][row])
        found = batch["sequences"][row].numpy()
        kept = {grid.ids.tobytes(), without_condition(grid, vocabulary).ids.tobytes()}
        assert np.ascontiguousarray(found[:length]).tobytes() in kept
        assert (found[length:, :8] == vocabulary.reconstruction_pad).all()
        assert (found[length:, 8] == vocabulary.text_pad).all()
        assert np.array_equal(masks_of(grid, grid.loss), batch["loss_masks"][row, :length].numpy())


@pytest.mark.parametrize("name", PROMPTED)
def test_parity_lm_prompt_at_inference(name: str, parity_folder: Path, vocabulary: Vocabulary) -> None:
    """What the authors' generators feed before the answer."""
    golden = torch.load(parity_folder / "tasks_io.pt", weights_only=True)
    task = AUTHORS[name]
    slots = task.slots()
    names = {slot.name for slot in slots if slot.kind == "text"}
    texts = {word: spelled(golden["caption" if word in ("style",) else "text"]) for word in names}
    clips = {slot.name: slot.kind for slot in slots if slot.kind != "text" and not slot.loss}
    reasoning = golden["reason_8T"].T.numpy().astype(np.int16)
    reconstruction = golden["semantic_8T"].T.numpy().astype(np.int16)
    voice = golden["audio_prompt_T8"].numpy().astype(np.int16)
    tokens = {
        "reconstruction": Tokens(
            clip_id="a", num_samples=1, reasoning_codes=reasoning, reconstruction_codes=reconstruction
        ),
        "audio_prompt": Tokens(clip_id="b", num_samples=1, reasoning_codes=reasoning, reconstruction_codes=voice),
    }
    segments = task.prompt_segments(texts=texts, clips=clips)
    segments[0] = replace(segments[0], text=spelled(golden["prompt"], 1, -2))
    grid = lay_out(lay_out_segments(segments, tokens, Numbers(), vocabulary))
    log = golden["tasks"][name]["log"]
    expected = torch.cat([log["prefix_tokens"], log["calls"]["values"][0]["in_tokens"].long()], dim=1)[0].numpy()
    assert np.array_equal(grid.ids, expected)
