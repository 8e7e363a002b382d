"""What is said in a clip, as far as it may be trained on."""

from collections.abc import Mapping
from typing import Any

from uniaudio_schemas.annotated import Annotated

TRAIN = "train"


def words_of(clip: Annotated) -> str:
    """What is said: a script goes before what a recognizer heard, which counts in training alone, and only where nothing speaks
    against it; held out nothing but a given text is a reference."""
    if clip.domain != "speech":
        return ""
    return _words(clip.given_text, clip.transcript, clip.split, clip.rejections)


def words_of_row(row: Mapping[str, Any]) -> str:
    """The same, of a row of `annotated` as a dictionary."""
    if row["domain"] != "speech":
        return ""
    return _words(row["given_text"], row["transcript"], row["split"], row["rejections"])


def _words(given: str | None, heard: str | None, split: str, rejections: list[str]) -> str:
    accepted = heard if split == TRAIN and not rejections else None
    return (given or "").strip() or (accepted or "").strip()


def letters_of(words: str) -> str:
    """For comparing: no case, no punctuation, no spaces."""
    return "".join(letter for letter in words.casefold() if letter.isalnum())
