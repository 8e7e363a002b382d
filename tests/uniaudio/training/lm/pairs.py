"""Pairs that a tiny model learns in seconds: what is chosen is made of some words, what is rejected of others."""

from hashlib import sha256

import numpy as np
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.training.lm.doubles import WORDS, _Builder

TASKS = ("preferred_asr", "preferred_tts")
GOOD, BAD = WORDS[:3], WORDS[3:]


def tiny_pair(task: str, split: str, number: int) -> Sequence:
    """Text that answers audio, or audio that answers text."""
    generator = np.random.default_rng([TASKS.index(task), split == "train", number])
    heard, good, bad = (
        " ".join(generator.choice(words, size=int(generator.integers(1, 4)))) for words in (WORDS, GOOD, BAD)
    )
    builder = _Builder()
    for answer, is_chosen in ((good, True), (bad, False)):
        if task == "preferred_asr":
            builder.add_text("hear: ", loss=False)
            builder.add_audio(heard, loss=False)
            builder.add_text(answer, loss=is_chosen)
        else:
            builder.add_text("say: " + heard, loss=False)
            builder.add_audio(answer, loss=is_chosen)
    row = builder.sequence("asr", split, f"{task}/{split}-{number}")
    row_id = sha256(f"{task}/{split}-{number}".encode()).hexdigest()[:32]
    return Sequence(
        sequence_id=row_id,
        task=task,
        mixture="preference",
        split=split,
        corpus="synthetic",
        segments=row.segments,
        audio_ids=row.audio_ids,
        text_ids=row.text_ids,
    )


def tiny_pairs(num_train: int = 12, num_held_out: int = 4) -> list[Sequence]:
    counts = {"train": num_train, "val": num_held_out}
    return [tiny_pair(task, split, n) for task in TASKS for split, count in counts.items() for n in range(count)]
