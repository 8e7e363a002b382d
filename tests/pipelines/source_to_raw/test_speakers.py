"""Who speaks, where only folders say so."""

from typing import Any

import pytest


def speakers(source: Any) -> dict[str, str | None]:
    return {row.path: row.speaker for row in source.ingest().rows}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("p225/p225_001.wav", "p225/p225_002.wav", "p226/p226_001.wav"), ("p225", "p225", "p226")),
        (("F01/F01-a.wav", "M02/M02.wav"), ("F01", "M02")),
        (("wav/speaker_7/a.wav", "wav/speaker_12/a.wav"), ("speaker_7", "speaker_12")),
        (("id10270/5r0dWxy17C8/00001.wav", "id10271/1gtz-CUIygI/00001.wav"), ("id10270", "id10271")),
        # Classes of sounds, albums, chapters and takes are no speakers.
        (("dog/dog_1.wav", "cat/cat_1.wav"), (None, None)),
        (("p225/a.wav", "p226/a.wav"), (None, None)),
        (("p225/p2251.wav", "p226/p2261.wav"), (None, None)),
        (("cd1/cd1_01.wav", "ab2/ab2_01.wav"), (None, None)),
        (("voice_packs/a.wav", "speaker data/a.wav"), (None, None)),
        (("speaker A/a.wav", "speaker B/a.wav"), ("speaker A", "speaker B")),
        (("spk_1/a.wav", "noises/a.wav"), (None, None)),
        (("spk_1/a.wav", "b.wav"), (None, None)),
        (("spk_1/a.wav", "spk_1/b.wav"), (None, None)),
    ],
)
def test_folders_are_speakers_only_where_all_their_names_say_so(
    source: Any, paths: tuple[str, ...], expected: tuple[str | None, ...]
) -> None:
    source.wav(*(f"mine/{path}" for path in paths))
    assert speakers(source) == {f"mine/{path}": who for path, who in zip(paths, expected, strict=True)}


def test_a_source_of_speakers_is_one_corpus_with_the_splits_of_its_folders(source: Any) -> None:
    source.wav("train/spk1/a.wav", "train/spk2/a.wav", "test/spk3/a.wav")
    rows = source.ingest().rows
    assert [(row.corpus, row.split, row.speaker) for row in rows] == [
        ("files", "test", "spk3"), ("files", "train", "spk1"), ("files", "train", "spk2"),
    ]  # fmt: skip


def test_speakers_beside_each_other_are_one_corpus(source: Any) -> None:
    source.wav("p225/p225_001.wav", "p226/p226_001.wav")
    assert [(row.corpus, row.speaker) for row in source.ingest().rows] == [("files", "p225"), ("files", "p226")]


def test_a_card_says_that_folders_are_speakers_or_that_they_are_not(source: Any) -> None:
    source.wav("told/anna/1.wav", "told/anna/day two/2.wav", "told/bert/1.wav", "not/spk1/a.wav", "not/spk2/a.wav")
    source.text("corpora/told.toml", 'speakers = "folders"')
    source.text("corpora/not.toml", 'speakers = "none"')
    assert speakers(source) == {
        "told/anna/1.wav": "anna", "told/anna/day two/2.wav": "anna", "told/bert/1.wav": "bert",
        "not/spk1/a.wav": None, "not/spk2/a.wav": None,
    }  # fmt: skip


def test_what_a_label_says_is_believed_before_the_folder(source: Any) -> None:
    source.wav("mine/spk1/a.wav", "mine/spk2/a.wav")
    source.text("mine/metadata.jsonl", '{"path": "spk1/a.wav", "speaker": "guest"}')
    made = source.ingest()
    assert {row.path: row.speaker for row in made.rows} == {"mine/spk1/a.wav": "guest", "mine/spk2/a.wav": "spk2"}
    assert not made.dropped


def test_a_survey_counts_and_names_the_speakers_of_folders(source: Any) -> None:
    from uniaudio_pipelines.source_to_raw.survey import survey

    source.wav("mine/spk1/a.wav", "mine/spk1/b.wav", "mine/spk2/a.wav")
    (found,) = survey(str(source.root))
    assert found.num_with_speaker == 3 and found.formats == ("folders of 2 speakers (spk1, spk2)",)
