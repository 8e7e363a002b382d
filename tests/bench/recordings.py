"""Recordings whose truth somebody wrote down: `UNIAUDIO_STARTER` is their folder, `metadata.csv` in it has one a row.

`path` below the folder, `domain`, and what is known of `language`, `text`, `speaker`, `voice_group` (speakers that one person plays),
`f0_median_hz` and `words_per_s`. The text of music may state tempo and key ("68 bpm C major").
"""

import csv
import os
import random
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, Clip
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity
from uniaudio_schemas.kinds.raw import Raw

from uniaudio.audio.read import read_audio
from uniaudio.audio.resample import resample
from uniaudio.text.normalization import spoken_words
from uniaudio.text.numerals import with_digits
from uniaudio.text.plausibility import longest_loop

MODELS = Path(os.environ.get("UNIAUDIO_MODELS", "data/models"))
LONGEST_S = 32.0
"""Of sound and music; speech is heard whole."""
Truth = dict[str, str]


def recordings(domain: str, number: int, *columns: str) -> list[Truth]:
    """At most `number` of a domain whose truth has `columns`, the same ones each time; skips the test without a folder."""
    path = Path(os.environ.get("UNIAUDIO_STARTER", "")) / "metadata.csv"
    if not os.environ.get("UNIAUDIO_STARTER") or not path.is_file():
        pytest.skip("UNIAUDIO_STARTER must be a folder of recordings with metadata.csv")
    with path.open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["domain"] == domain and all(row.get(name) for name in columns)
        ]
    return random.Random(domain).sample(sorted(rows, key=lambda row: row["path"]), min(number, len(rows)))


def clip_of(row: Truth) -> Clip:
    audio = read_audio(Path(os.environ["UNIAUDIO_STARTER"]) / row["path"])
    samples = audio.samples if row["domain"] == "speech" else audio.samples[:, : int(LONGEST_S * audio.sample_rate)]
    analysis = np.asarray(resample(samples.mean(axis=0), audio.sample_rate, ANALYSIS_RATE), np.float32).reshape(-1)
    raw = Raw(
        clip_id=row["path"], medium="audio", corpus="bench", path=row["path"], sha256="0", domain=row["domain"], licence="unknown",
        sample_rate=audio.sample_rate, num_samples=samples.shape[1], channels=len(samples),
    )  # fmt: skip
    return Clip(
        raw=raw,
        domain=row["domain"],
        samples=samples,
        analysis=analysis,
        speech_probabilities=VoiceActivity(MODELS, "cpu").probabilities(analysis),
        known={"language": row["language"]} if row.get("language") else {},
    )


def with_numbers(text: str) -> str:
    """A text to compare, in which "nineteen" is "19"."""
    return " ".join(with_digits(spoken_words(text)))


def loops(truth: str, transcript: str) -> bool:
    """Whether a quarter of the transcript, and four words, repeat what stands before them and the truth does not."""
    words = spoken_words(transcript)
    loop = longest_loop(words)
    return loop >= 4 and 4 * loop >= len(words) and loop > longest_loop(spoken_words(truth)) + 2
