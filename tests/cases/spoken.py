"""Six utterances, of which the corpora of all formats are made, and the table of those corpora.

CORPORA["kaldi"].write(folder)  ->  Given(num_clips=6, texts={"good morning ann", …}, speakers={"ann", …}, splits={"train": 4, …})

Two speakers are in training, one each is held out for validation and for test. What a format cannot say (a text alone names no speaker)
is absent from `Given`; a card says that such a folder is of speech.
"""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000
_TONE = 2_400
"""Samples of a tone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    name: str
    speaker: str
    text: str
    split: str
    seconds: float
    take: int

    @property
    def samples(self) -> np.ndarray:
        """`[N]` float32: five tones that change together every 150 ms, others in every take."""
        random = np.random.default_rng([self.take, *self.name.encode()])
        num_samples = round(self.seconds * RATE)
        hertz_KN = np.repeat(random.uniform(150, 3_500, (5, num_samples // _TONE + 1)), _TONE, axis=1)[:, :num_samples]
        tones_KN = np.sin(2 * np.pi * np.cumsum(hertz_KN / RATE, axis=1))
        return (0.08 * tones_KN.sum(axis=0) + 0.003 * random.standard_normal(num_samples)).astype(np.float32)

    def write(self, path: Path, **how: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, self.samples, RATE, **how)

    def encoded(self, kind: str) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, self.samples, RATE, format=kind)
        return file.getvalue()


TEXTS = {
    "ann": ("good morning to all of you", "the train leaves at nine"),
    "bob": ("we went down to the river", "nobody knew the answer"),
    "cleo": ("she sells bread and butter",),
    "dan": ("winter came early that year",),
}
_SPLITS = {"ann": "train", "bob": "train", "cleo": "val", "dan": "test"}
Spoken = tuple[Utterance, ...]


def utterances(take: int) -> Spoken:
    """The utterances; each take of them sounds different."""
    return tuple(
        Utterance(
            name=f"{speaker}-{number}", speaker=speaker, text=text, split=_SPLITS[speaker],
            seconds=1.2 + 0.1 * index + 0.3 * number, take=take,
        )
        for index, (speaker, texts) in enumerate(TEXTS.items())
        for number, text in enumerate(texts)
    )  # fmt: skip


def documents(said: Spoken) -> list[str]:
    return [f"{one.text.capitalize()}, says {one.speaker} in number {one.take}. " * 12 for one in said]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the folder says."""

    num_clips: int = 6
    texts: frozenset[str] = frozenset(text for texts in TEXTS.values() for text in texts)
    speakers: frozenset[str] = frozenset()
    splits: dict[str, int] = field(default_factory=dict)
    is_text: bool = False


SPEAKERS = frozenset(TEXTS)
ALL = Given(speakers=SPEAKERS, splits={"train": 4, "val": 1, "test": 1})
TEXT_ALONE = Given()
DOCUMENTS = Given(texts=frozenset(), is_text=True)


LayOut = Callable[[Path, Spoken], Given]


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    name: str
    lay_out: LayOut
    """Writes the folder."""

    def write(self, source: Path, take: int = 0) -> Given:
        """Into `source/<name>`, with a card beside it."""
        (source / "corpora").mkdir(parents=True, exist_ok=True)
        given = self.lay_out(source / self.name, utterances(take))
        if not given.is_text:
            (source / "corpora" / f"{self.name}.toml").write_text('domain = "speech"\nlanguage = "en"\n')
        return given


CORPORA: dict[str, Corpus] = {}


def corpus(lay_out: LayOut) -> LayOut:
    name = lay_out.__name__.strip("_")
    CORPORA[name] = Corpus(name=name, lay_out=lay_out)
    return lay_out


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_lines(path, (json.dumps(row) for row in rows))
