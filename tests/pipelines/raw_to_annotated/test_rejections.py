"""Which transcripts of a row are not trained on."""

from dataclasses import replace

import pytest
from uniaudio_pipelines.raw_to_annotated.corpus_worker import rejections
from uniaudio_schemas.kinds.cuts import Annotation, Cut
from uniaudio_schemas.testing import example_rows

from uniaudio.text.plausibility import TranscriptPolicy


def row(text: str, **columns: object) -> Cut:
    (example,) = example_rows("cuts")
    sure = Annotation(value="transcript", annotator="transcript", version="1", confidence=0.9)
    return replace(example, **{"transcript": text, "words": [], "annotations": [sure], **columns})  # type: ignore[no-any-return]


def test_a_plausible_transcript_is_used() -> None:
    assert rejections(row("let us go"), TranscriptPolicy()) == []
    assert rejections(row(""), TranscriptPolicy()) == []
    assert rejections(row("let us go", unsaid_s=0.1, speech_fraction=1.0), TranscriptPolicy()) == []
    assert rejections(row("let us go", unsaid_s=0.0, speech_fraction=0.0), TranscriptPolicy()) == []


@pytest.mark.parametrize(("text", "columns", "reason"), [
    ("ho " * 60, {}, "repetition"),
    ("let us go", {"num_empty_words": 3}, "empty_words"),
    ("let us go", {"no_speech_probability": 0.9}, "no_speech"),
    ("let us go", {"second_wer": 0.9}, "recognizers_disagree"),
    ("let us go", {"unsaid_s": 0.4, "speech_fraction": 0.5, "num_samples": 64_000, "sample_rate": 16_000}, "words_missing"),
    ("let us go", {"language_probability": 0.05}, "language_unsure"),
])  # fmt: skip
def test_each_measure_of_a_row_can_reject_it(text: str, columns: dict[str, object], reason: str) -> None:
    assert reason in rejections(row(text, **columns), TranscriptPolicy())


@pytest.mark.parametrize(("annotator", "expected"), [("source", []), ("transcript", ["language_unsure"])])
def test_a_language_that_the_source_names_needs_nobody_sure_of_it(annotator: str, expected: list[str]) -> None:
    notes = [
        Annotation(value="transcript", annotator="transcript", version="1", confidence=0.9),
        Annotation(value="language", annotator=annotator, version="1", confidence=1.0),
    ]
    found = rejections(row("let us go", language_probability=0.05, annotations=notes), TranscriptPolicy())
    assert found == expected


def test_a_transcript_that_the_recognizer_doubts_is_rejected() -> None:
    doubted = [Annotation(value="transcript", annotator="transcript", version="1", confidence=0.2)]
    assert rejections(row("let us go", annotations=doubted), TranscriptPolicy()) == ["low_confidence"]
