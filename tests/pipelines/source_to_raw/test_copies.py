"""Byte-equal files: one row, with what every copy says."""

import json
from typing import Any

import pytest
from uniaudio_pipelines.source_to_raw.clips import Copy, wanted
from uniaudio_pipelines.source_to_raw.formats.format import Label


def say(source: Any, path: str, **said: Any) -> None:
    folder, _, name = path.rpartition("/")
    source.text(f"{folder}/metadata.jsonl", json.dumps({"path": name, **said}))


def test_what_a_second_copy_says_is_in_the_row_of_the_first(source: Any) -> None:
    source.wav("dup_a/same.wav", "dup_b/same.wav", seed=1)
    say(
        source, "dup_b/same.wav", speaker="bob", given_text="call forwarding", licence="CC-BY-4.0", given_tags=["phone"]
    )
    made = source.ingest()
    row = made.row
    assert (row.path, row.corpus, row.also_paths) == ("dup_a/same.wav", "dup_a", ["dup_b/same.wav"])
    assert (row.speaker, row.given_text, row.licence, row.given_tags) == (
        "bob",
        "call forwarding",
        "CC-BY-4.0",
        ["phone"],
    )
    assert row.problems == [] and made.reasons() == {"dup_b/same.wav": "duplicate"}


def test_copies_that_contradict_are_a_problem_and_the_first_is_believed(source: Any) -> None:
    source.wav("a/x.wav", "b/x.wav", seed=1)
    say(source, "a/x.wav", speaker="ann", given_text="one  word", language="en")
    say(source, "b/x.wav", speaker="bob", given_text="one word", split="test")
    row = source.ingest().row
    assert (row.speaker, row.given_text, row.language, row.split) == ("ann", "one word", "en", "test")
    assert [one for one in row.problems if not one.startswith("cleaned")] == [
        "conflicting_metadata: speaker: ann / bob"
    ]


def test_a_copy_in_training_and_in_a_held_out_split_is_held_out(source: Any) -> None:
    source.wav("corp/train/x.wav", "corp/validation/y.wav", seed=1)
    source.wav("corp/train/z.wav")
    first, second = source.ingest().rows
    assert (first.path, first.split) == ("corp/train/x.wav", "val")
    assert first.problems == ["conflicting_metadata: split: train / val"]
    assert (second.path, second.split) == ("corp/train/z.wav", "train")


def test_the_first_copy_that_can_be_decoded_makes_the_row(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source.wav("twin/a.wav", "twin/b.wav", seed=1)
    say(source, "twin/a.wav", speaker="ann")
    from uniaudio_schemas.errors import DataError

    import uniaudio.audio.read as read

    real = read.probe

    def refuse_a(path: Any, **others: Any) -> Any:
        if str(path).endswith("a.wav"):
            raise DataError(f"{path}: cannot be read under this name.")
        return real(path, **others)

    # Contents decide which decoder reads a file, so that no real file fails under one name alone.
    monkeypatch.setattr(read, "probe", refuse_a)
    made = source.ingest()
    assert (made.row.path, made.row.also_paths, made.row.speaker) == ("twin/b.wav", ["twin/a.wav"], "ann")
    assert made.reasons() == {"twin/a.wav": "unreadable"}


def test_copies_that_nobody_can_decode_are_each_dropped_for_their_own_reason(source: Any) -> None:
    source.wav("a/good.wav")
    source.bytes("a/x.wav", b"RIFF nothing")
    source.bytes("b/x.mp3", b"RIFF nothing")
    made = source.ingest()
    assert made.reasons() == {"a/x.wav": "unreadable", "b/x.mp3": "unreadable"}


def test_equal_bytes_with_different_stretches_are_different_clips(source: Any) -> None:
    source.wav("a/x.wav", "b/x.wav", "c/x.wav", seconds=1.0, seed=1)
    say(source, "a/x.wav", start_s=0.0, end_s=0.4, given_text="a")
    say(source, "b/x.wav", start_s=0.5, end_s=0.9, given_text="b")
    assert [(row.path, row.given_text, row.first_sample) for row in source.ingest().rows] == [
        ("a/x.wav", "a", 0), ("a/x.wav", "b", 4_000)
    ]  # fmt: skip


def test_a_whole_copy_with_a_text_is_a_clip_beside_the_stretches_of_another() -> None:
    same = [
        Copy(path="a", corpus="a", labels=(Label(path="a", start_s=1.0, end_s=2.0),)),
        Copy(path="b", corpus="b", labels=(Label(path="b", given_text="all"),)),
        Copy(path="c", corpus="c"),
    ]
    found = wanted(same, 8_000, 1, 5.0)
    assert [(clip.first_sample, clip.end_sample, clip.said.get("given_text")) for clip in found] == [
        (0, None, "all"), (8_000, 16_000, None)
    ]  # fmt: skip
