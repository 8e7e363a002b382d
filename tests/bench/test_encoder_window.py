"""How much silence behind a clip Whisper's encoder needs: word errors, loops and cost, with 3 s, as built, and with all 30 s.

    UNIAUDIO_STARTER=FOLDER UNIAUDIO_MODELS=data/models pytest -m bench -s tests/bench/test_encoder_window.py

See `recordings` for the folder. `UNIAUDIO_BENCH_CLIPS` (300) with text are drawn, as many of each length as there are. "As built"
is up to the next 10 s, and 30 s where Whisper doubts what it heard.
"""

import os
import time

import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import recognizer
from uniaudio_pipelines.raw_to_annotated.annotators.recognizer import Recognizer
from uniaudio_pipelines.raw_to_annotated.models import WHISPER_FOLDER

from tests.bench.recordings import MODELS, Truth, clip_of, loops, recordings, with_numbers
from uniaudio.metrics.wer import word_error_rate

pytestmark = [pytest.mark.bench, pytest.mark.timeout(14_400)]
NUM_CLIPS = int(os.environ.get("UNIAUDIO_BENCH_CLIPS", "300"))
LENGTHS_S = (1, 2, 3, 4, 6, 8, 10, 30)
WINDOWS = {
    "3 s": lambda num_frames: min(num_frames + 300, 3000),
    "as built": recognizer._short_window,
    "30 s": lambda num_frames: 3000,
}


def of_all_lengths() -> list[Truth]:
    waiting: list[list[Truth]] = [[] for _ in LENGTHS_S]
    for row in recordings("speech", 10**9, "text", "language", "seconds"):
        if LENGTHS_S[0] <= float(row["seconds"]) < LENGTHS_S[-1]:
            waiting[sum(float(row["seconds"]) >= length for length in LENGTHS_S)].append(row)
    chosen: list[Truth] = []
    while len(chosen) < NUM_CLIPS and any(waiting):
        chosen += [rows.pop() for rows in waiting if rows]
    return chosen[:NUM_CLIPS]


def test_a_shortened_window_costs_less_and_hears_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [(row, clip_of(row)) for row in of_all_lengths()]
    ear = Recognizer(MODELS, WHISPER_FOLDER, "cpu", "transcript")
    ear.recognize(clips[0][1].analysis, 16_000, clips[0][0]["language"])  # compiles
    cost, pairs = {}, {}
    for name, window in WINDOWS.items():
        monkeypatch.setattr(recognizer, "_short_window", window)
        before = time.process_time()
        heard = [ear.recognize(clip.analysis, 16_000, row["language"]).text for row, clip in clips]
        cost[name] = time.process_time() - before
        pairs[name] = [(row["language"], row["text"], text) for (row, _), text in zip(clips, heard, strict=True)]
    languages = sorted({row["language"] for row, _ in clips})
    print(
        f"\n{'window':10} {'clips':>5} {'CPU s':>7} {'loops':>6}",
        *(f"{f'WER {language}':>7}" for language in languages),
    )
    for name, found in pairs.items():
        rates = [
            word_error_rate((with_numbers(text), with_numbers(said)) for one, text, said in found if one == language)
            for language in languages
        ]
        num_loops = sum(loops(text, said) for _, text, said in found)
        print(f"{name:10} {len(found):5d} {cost[name]:7.1f} {num_loops:6d}", *(f"{rate:7.3f}" for rate in rates))
    assert cost["as built"] < cost["30 s"]
