"""A language that is heard is told only where the ear is sure of it."""

from dataclasses import replace

import pytest
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.languages import without_guesses
from uniaudio_schemas.kinds.cuts import Annotation, Cut
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.testing import example_rows


def told(
    by: str, probability: float | None, seconds: float, speech_fraction: float | None = 1.0, domain: str = "speech"
) -> tuple[str | None, list[str]]:
    """The language that is left of a row, and what the row has notes on."""
    (example,) = example_rows("cuts")
    notes = [Annotation(value=value, annotator=by, version="1", confidence=0.9) for value in ("language", "transcript")]
    row = replace(
        example, domain=domain, language="cs", language_probability=probability, num_samples=round(seconds * 16_000), sample_rate=16_000,
        speech_fraction=speech_fraction, annotations=notes,
    )  # fmt: skip
    language, annotations = without_guesses(to_table([row], Cut), RawToAnnotated())
    return language.to_pylist()[0], [note["value"] for note in annotations.to_pylist()[0]]


@pytest.mark.parametrize(
    ("by", "probability", "seconds", "speech_fraction", "expected"),
    [
        ("transcript", 0.95, 3.0, 1.0, "cs"),
        ("transcript", 0.95, 3.0, None, "cs"),
        ("transcript", None, 3.0, 1.0, "cs"),
        ("transcript", 0.7, 3.0, 1.0, None),
        ("transcript", 0.95, 1.9, 1.0, None),
        ("transcript", 0.95, 3.0, 0.5, None),
        ("source", 0.1, 0.5, 1.0, "cs"),
    ],
)
def test_a_guess_is_left_open_and_what_the_source_says_is_not(
    by: str, probability: float | None, seconds: float, speech_fraction: float | None, expected: str | None
) -> None:
    notes = ["language", "transcript"] if expected else ["transcript"]
    assert told(by, probability, seconds, speech_fraction) == (expected, notes)


def test_the_language_of_a_text_is_not_heard() -> None:
    assert told("language", 0.1, 0.5, domain="text")[0] == "cs"


def test_rows_beside_a_guess_stay_as_they_are() -> None:
    (example,) = example_rows("cuts")
    notes = [Annotation(value="language", annotator="transcript", version="1", confidence=0.5)]
    heard = replace(
        example, domain="speech", language="cs", num_samples=64_000, sample_rate=16_000, speech_fraction=1.0
    )
    rows = [
        replace(heard, clip_id=f"{place:032x}", language_probability=probability, annotations=notes)
        for place, probability in enumerate((0.9, 0.5, 0.9))
    ]
    language, annotations = without_guesses(to_table(rows, Cut), RawToAnnotated())
    assert language.to_pylist() == ["cs", None, "cs"]
    assert [len(found) for found in annotations.to_pylist()] == [1, 0, 1]
