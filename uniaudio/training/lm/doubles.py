"""Small stand-ins for tests and examples: a language model, and sequences that it can learn from in seconds. Public
through `uniaudio.testing`.

The audio of a synthetic sequence is a few frames that spell its text (code = byte, the same in all streams), so
every task is learnable.
"""

from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from uniaudio_schemas.kinds.sequences import Sequence, SequenceSegment

from uniaudio.lm.config import LMConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary

WORDS = ("la", "mi", "so", "fa", "re", "do")
TASKS = ("text_only", "audio_only", "asr", "tts", "auditory_sentences")


def tiny_vocabulary() -> Vocabulary:
    """Bytes, 64 reasoning and 128 reconstruction codes."""
    return Vocabulary()


def tiny_lm(vocabulary: Vocabulary | None = None, seed: int = 0) -> UniAudioLM:
    """A language model of about 100,000 parameters, with every part of the large ones."""
    sizes = vocabulary or tiny_vocabulary()
    config = LMConfig(
        text_size=sizes.text_size,
        audio_size=sizes.audio_size,
        num_codebooks=sizes.num_codebooks,
        vocabulary_fingerprint=sizes.fingerprint,
        backbone=StackConfig(num_layers=2, width=32, num_heads=2, num_kv_heads=1, head_size=16, mlp_width=64),
        local_decoder=StackConfig(num_layers=1, width=16, num_heads=2, num_kv_heads=1, head_size=8, mlp_width=32),
        num_understanding_layers=1,
        num_generation_layers=1,
    )
    return UniAudioLM(config, seed=seed)


@dataclass
class _Builder:
    """Collects the segments of one sequence."""

    segments: list[SequenceSegment] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    audio: list[list[int]] = field(default_factory=list)

    def add_text(self, text: str, *, loss: bool) -> None:
        ids = list(text.encode())
        self.segments.append(SequenceSegment(kind="text", start=len(self.text), length=len(ids), loss=loss))
        self.text += ids

    def add_audio(self, text: str, *, loss: bool) -> None:
        frames = [[byte % 64] * 8 for byte in text.encode()]
        self.segments.append(SequenceSegment(kind="audio", start=len(self.audio), length=len(frames), loss=loss))
        self.audio += frames

    def sequence(self, task: str, split: str, name: str) -> Sequence:
        return Sequence(
            sequence_id=sha256(f"{task}/{name}".encode()).hexdigest()[:32],
            task=task,
            mixture=task,
            split=split,
            corpus="synthetic",
            segments=self.segments,
            audio_ids=np.asarray(self.audio, dtype=np.int16).reshape(-1, 8),
            text_ids=np.asarray(self.text, dtype=np.int32),
            clip_ids=[],
        )


def tiny_sequence(task: str, split: str, number: int, seed: int = 0) -> Sequence:
    """One synthetic sequence of `task`, one of `TASKS`."""
    generator = np.random.default_rng([seed, TASKS.index(task), number])
    text = " ".join(generator.choice(WORDS, size=int(generator.integers(2, 6))))
    builder = _Builder()
    if task == "text_only":
        builder.add_text(text, loss=True)
    elif task == "audio_only":
        builder.add_audio(text, loss=True)
    elif task == "asr":
        builder.add_text("hear: ", loss=False)
        builder.add_audio(text, loss=False)
        builder.add_text(text, loss=True)
    elif task == "tts":
        builder.add_text("say: " + text, loss=False)
        builder.add_audio(text, loss=True)
    else:
        for word in text.split():
            builder.add_text(word, loss=True)
            builder.add_audio(word, loss=True)
    return builder.sequence(task, split, f"{split}-{number}")


def tiny_sequences(num_train: int = 12, num_held_out: int = 3, seed: int = 0) -> list[Sequence]:
    """`num_train` training and `num_held_out` held-out sequences of every task in `TASKS`."""
    counts = {"train": num_train, "val": num_held_out}
    return [
        tiny_sequence(task, split, n, seed) for task in TASKS for split, count in counts.items() for n in range(count)
    ]
