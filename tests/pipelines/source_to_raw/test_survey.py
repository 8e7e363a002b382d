"""The dry run says what ingesting would find, and makes nothing."""

import json
import tomllib
from typing import Any

from uniaudio_pipelines.source_to_raw import survey as surveys
from uniaudio_pipelines.source_to_raw.survey import survey


def test_a_corpus_is_told_by_format_clips_hours_labels_splits_and_problems(source: Any) -> None:
    source.wav("cv/clips/a.wav", "cv/clips/b.wav", "cv/clips/c.wav", seconds=1.5)
    head = "client_id\tpath\tsentence"
    source.text("cv/train.tsv", head, "ann\ta.wav\thello", *(f"ann\tgone{number}.wav\tx" for number in range(5)))
    source.text("cv/test.tsv", head, "\tb.wav\tthere")
    source.bytes("cv/clips/broken.wav", b"no sound")
    source.text("books/a.txt", "a page")
    books, cv = survey(str(source.root))
    assert (books.num_documents, books.num_clips, books.formats) == (1, 0, ())
    assert cv.formats == ("Common Voice: train.tsv, test.tsv",)
    assert (cv.num_clips, cv.num_with_text, cv.num_with_speaker, cv.splits) == (4, 2, 1, {"test": 1, "train": 1})
    assert (round(cv.seconds, 6), cv.num_probed, cv.num_files) == (4.5, 3, 4)
    assert cv.problems["missing"][0] == 5 and len(cv.problems["missing"][1]) == 3
    assert cv.problems["unreadable"][1][0].startswith("cv/clips/broken.wav: ")
    assert not source.store.exists()


def test_stretches_are_clips_and_their_recordings_are_none(source: Any) -> None:
    source.wav("talks/a.wav", "talks/b.wav", seconds=3.0)
    source.text(
        "talks/a.srt", "1", "00:00:00,500 --> 00:00:01,000", "one", "", "2", "00:00:02,500 --> 00:00:09,000", "two"
    )
    source.text("talks/metadata.jsonl", json.dumps({"path": "a.wav", "speaker": "ann"}))
    (found,) = survey(str(source.root))
    assert (found.num_clips, found.num_with_text, found.num_with_speaker, found.num_files) == (3, 2, 2, 2)


def test_hours_of_many_files_are_estimated_from_some(source: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(surveys, "MAX_PROBED", 5)
    source.wav(*(f"corp/{number}.wav" for number in range(20)), seconds=0.5)
    (found,) = survey(str(source.root))
    assert (found.num_probed, round(found.seconds, 6)) == (5, 10.0)


def test_a_raw_stream_is_as_long_as_its_samples(source: Any) -> None:
    source.bytes("prompts/a.g722", bytes(4_000))
    (found,) = survey(str(source.root))
    assert (found.problems, found.num_probed, found.seconds) == ({}, 1, 0.5)


def test_the_card_that_is_shown_is_one_and_changes_nothing(source: Any) -> None:
    source.wav("corp/a.wav")
    source.text("corp/list.csv", "wav,spoken words,who,house", "a.wav,hello to you,7,h1")
    source.text("corpora/other.toml", "")
    (found,) = survey(str(source.root))
    assert tomllib.loads(found.card)["columns"] == {"path": "wav", "given_text": "spoken words"}
    before = source.ingest().row
    source.text("corpora/corp.toml", found.card)
    after = source.ingest().row
    assert (after.given_text, after.facts, after.clip_id) == (before.given_text, before.facts, before.clip_id)
