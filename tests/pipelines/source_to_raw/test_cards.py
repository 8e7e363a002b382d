"""Cards say what a corpus's files cannot."""

import json
from typing import Any

import pytest
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store


@pytest.mark.parametrize("card", ["corpora/corp.toml", "corp/corpus.toml"])
def test_a_card_gives_what_no_file_says_and_maps_columns(source: Any, card: str) -> None:
    source.wav("corp/a.wav", "corp/b.wav", "corp/c.wav")
    source.text("corp/list.csv", "wav,words,raw,who,house,lic", "a.wav,one,ONE,7,h1,CC0-1.0", "b.wav,two,TWO,8,h2,")
    source.text(
        card, 'licence = "CC-BY-4.0"', 'language = "en"', 'domain = "speech"', 'split_group = "house"',
        "[columns]", 'given_text = "raw"', 'speaker = "who"', 'licence = "lic"',
    )  # fmt: skip
    first, second, third = source.ingest().rows
    assert (first.given_text, first.speaker, first.split_group, first.licence) == ("ONE", "7", "h1", "CC0-1.0")
    assert (second.given_text, second.licence, second.language, second.domain) == ("TWO", "CC-BY-4.0", "en", "speech")
    assert (third.licence, third.given_text) == ("CC-BY-4.0", None)


def test_splits_are_mapped_or_left_out_as_the_card_says(source: Any) -> None:
    for corpus in ("mapped", "ignored", "plain"):
        for folder in ("train", "heldout", "test"):
            source.wav(f"{corpus}/{folder}/a.wav")
    source.text("corpora/mapped.toml", "[splits]", 'heldout = "val"', 'test = "ignore"')
    source.text("corpora/ignored.toml", 'splits = "ignore"')
    source.text("ignored/metadata.jsonl", json.dumps({"path": "test/a.wav", "split": "test"}))
    found = {row.path: row.split for row in source.ingest().rows}
    assert found == {
        "ignored/heldout/a.wav": None, "ignored/test/a.wav": None, "ignored/train/a.wav": None,
        "mapped/heldout/a.wav": "val", "mapped/test/a.wav": None, "mapped/train/a.wav": "train",
        "plain/heldout/a.wav": None, "plain/test/a.wav": "test", "plain/train/a.wav": "train",
    }  # fmt: skip


def test_a_folder_called_test_alone_is_no_split(source: Any) -> None:
    source.wav("corp/test/a.wav", "corp/other/b.wav")
    assert {row.split for row in source.ingest().rows} == {None}


def test_transcripts_are_cleaned_as_the_card_says_and_the_original_is_kept(source: Any) -> None:
    for corpus in ("clean", "as_is", "noise"):
        source.wav(f"{corpus}/a.wav")
        text = "[NOISE]" if corpus == "noise" else "Well, [laughter] I don&#39;t"
        source.text(f"{corpus}/metadata.jsonl", json.dumps({"path": "a.wav", "given_text": text}))
    source.text("corpora/as_is.toml", 'cleaning = "none"')
    as_is, clean, noise = source.ingest().rows
    assert (clean.given_text, clean.original_text) == ("Well, I don't", "Well, [laughter] I don&#39;t")
    assert clean.problems == ["cleaned_text: entity 1, event 1"]
    assert (as_is.given_text, as_is.original_text, as_is.problems) == ("Well, [laughter] I don&#39;t", None, [])
    assert (noise.given_text, noise.original_text) == (None, "[NOISE]")


def test_channels_are_kept_chosen_or_split(source: Any) -> None:
    for corpus in ("mean", "left", "right", "split"):
        source.wav(f"{corpus}/a.wav", channels=2)
        source.text(f"{corpus}/metadata.jsonl", json.dumps({"path": "a.wav", "given_text": "both", "language": "en"}))
    for corpus in ("left", "right", "split"):
        source.text(f"corpora/{corpus}.toml", f'channels = "{corpus}"')
    made = source.ingest()
    found = [(row.corpus, row.source_channel, row.channels, row.given_text) for row in made.rows]
    assert found == [
        ("left", 0, 1, "both"), ("mean", None, 2, "both"), ("right", 1, 1, "both"), ("split", 0, 1, None), ("split", 1, 1, None)
    ]  # fmt: skip
    for row in made.rows:
        wanted = source.made[row.path]
        wanted = wanted if row.source_channel is None else wanted[[row.source_channel]]
        assert (made.samples(row) == wanted).all()
    assert made.rows[3].original_text == "both" and made.rows[3].problems[0].startswith("text_of_all_channels")


def test_text_beside_audio_is_a_document_where_the_card_or_the_metadata_says_so(source: Any) -> None:
    for corpus in ("asked", "named", "silent"):
        source.wav(f"{corpus}/a.wav")
        source.text(f"{corpus}/story.txt", f"A story of {corpus}.")
    source.text("corpora/asked.toml", "documents = true")
    source.text("named/metadata.jsonl", json.dumps({"path": "story.txt", "given_title": "Story"}))
    made = source.ingest()
    assert [row.path for row in made.rows if row.medium == "text"] == ["asked/story.txt", "named/story.txt"]
    assert made.reasons() == {"silent/story.txt": "beside_audio"}


def test_a_card_in_the_source_folder_makes_it_one_corpus(source: Any) -> None:
    source.wav("disc1/a.wav", "disc2/b.wav")
    source.text("corpus.toml", 'name = "my-talks"', 'licence = "CC0-1.0"')
    assert {(row.corpus, row.licence) for row in source.ingest().rows} == {("my-talks", "CC0-1.0")}


def test_only_the_cards_format_is_read(source: Any) -> None:
    source.wav("corp/a.wav")
    source.text("corp/a.txt", "from the sidecar")
    source.text("corp/list.csv", "path,text", "a.wav,from the table")
    source.text("corpora/corp.toml", 'format = "sidecars"')
    made = source.ingest()
    assert made.row.given_text == "from the sidecar"
    assert made.reasons() == {"corp/list.csv": "unsupported"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("licence = 3", r"corpora/x\.toml: `licence` must be a string that is not empty, but is 3\."),
        ('colour = "red"', r"corpora/x\.toml: must have keys of .*, but has colour\."),
        (
            'domain = "noise"',
            r"corpora/x\.toml: `domain` must be speech or sound or music or text or unknown, but is 'noise'\.",
        ),
        ("[columns]\ntext = 'a'", r"corpora/x\.toml: `columns` must have keys of path, .*, but has text\."),
        (
            "[columns]\ngiven_text = 3",
            r"corpora/x\.toml: `columns\.given_text` must be the name of a column, but is 3\.",
        ),
        (
            "[splits]\ndev = 'valid'",
            r"corpora/x\.toml: `splits\.dev` must be train or val or test or ignore, but is 'valid'\.",
        ),
        ("follow_links = 1", r"corpora/x\.toml: `follow_links` must be true or false, but is 1\."),
        ("channels = 'both'", r"corpora/x\.toml: `channels` must be mean or left or right or split, but is 'both'\."),
        ("encoding = 'hex'", r"corpora/x\.toml: `encoding` must be an encoding that Python knows, .*, but is 'hex'\."),
        ("licence = ", r"corpora/x\.toml: must be a TOML file, but is none: "),
        ("format = 'tape'", r"card of x: `format` must be one of metadata, .*, but is 'tape'\."),
    ],
)
def test_a_wrong_card_is_refused_with_its_file_and_key(source: Any, text: str, message: str) -> None:
    source.text("x/a.txt", "text")
    source.text("corpora/x.toml", text)
    with pytest.raises(UsageError, match=message):
        source.job().plan(Store(source.store))


def test_a_card_without_a_corpus_is_told(source: Any) -> None:
    source.text("books/a.txt", "text")
    source.text("corpora/boks.toml", 'licence = "CC0-1.0"')
    made = source.ingest()
    assert made.reasons() == {"corpora/boks.toml": "missing"}
