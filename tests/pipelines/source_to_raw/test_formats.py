"""Corpora as people have them: audio with its text, speaker, split and facts, and no label file taken for a document."""

import gzip
import json
from typing import Any

import numpy as np
import pytest
from uniaudio_schemas.kinds.raw import Fact

from tests.pipelines.source_to_raw.conftest import ramp, wav


def facts(row: Any) -> dict[str, str]:
    return {fact.name: fact.value for fact in row.facts}


def names(rows: list[Any]) -> list[str]:
    return [row.path for row in rows]


def librispeech(source: Any, prefix: str) -> None:
    folder = f"{prefix}dev-clean/8000/1200"
    source.wav(
        f"{folder}/8000-1200-0000.wav",
        f"{folder}/8000-1200-0001.wav",
        f"{prefix}train-clean-100/19/198/19-198-0000.wav",
    )
    source.text(
        f"{folder}/8000-1200.trans.txt", "8000-1200-0000 I'M SORRY", "8000-1200-0001 HAS LEFT", "8000-1200-0002 GONE"
    )
    source.text(f"{prefix}train-clean-100/19/198/19-198.trans.txt", "19-198-0000 NORTHANGER ABBEY")
    source.text(f"{prefix}SPEAKERS.TXT", ";ID |SEX| SUBSET", "8000 | F | dev-clean | 8.0 | Reader A")
    for name in ("README", "CHAPTERS", "LICENSE", "BOOKS"):
        source.text(f"{prefix}{name}.TXT", "about the corpus")


@pytest.mark.parametrize(("prefix", "corpus"), [("LibriSpeech/", "LibriSpeech"), ("", "librispeech")])
def test_librispeech(source: Any, prefix: str, corpus: str) -> None:
    librispeech(source, prefix)
    made = source.ingest()
    first, _, third = made.rows
    assert (first.given_text, first.speaker, first.recording, first.split) == ("I'M SORRY", "8000", "8000-1200", "val")
    assert (first.corpus, first.domain, facts(first)["gender"]) == (corpus, "speech", "F")
    assert (third.given_text, third.split) == ("NORTHANGER ABBEY", "train")
    assert {row.medium for row in made.rows} == {"audio"}
    assert made.reasons() == {f"{prefix}dev-clean/8000/1200/8000-1200-0002.flac": "missing"}


def test_a_subset_of_librispeech_alone_has_its_split_from_its_own_name(source: Any) -> None:
    source.wav("test-clean/61/70968/61-70968-0000.wav")
    source.text("test-clean/61/70968/61-70968.trans.txt", "61-70968-0000 HE BEGAN")
    assert source.ingest().row.split == "test"


@pytest.mark.parametrize("prefix", ["LJSpeech-1.1/", ""])
def test_ljspeech(source: Any, prefix: str) -> None:
    source.wav(f"{prefix}wavs/LJ001-0001.wav", f"{prefix}wavs/LJ001-0002.wav")
    source.text(
        f"{prefix}metadata.csv",
        'LJ001-0001|Printed in "1455|Printed in "fourteen',
        "LJ001-0002|as is",
        "LJ001-0003|gone|gone",
    )
    source.text(f"{prefix}README", "about")
    made = source.ingest()
    first, second = made.rows
    assert (first.given_text, facts(first)["written_text"]) == ('Printed in "fourteen', 'Printed in "1455')
    assert (first.recording, second.given_text) == ("LJ001", "as is")
    assert made.reasons() == {f"{prefix}wavs/LJ001-0003.wav": "missing"}


def test_vctk(source: Any) -> None:
    source.wav("VCTK/wav48_silence_trimmed/p225/p225_001_mic1.wav", "VCTK/wav48_silence_trimmed/p225/p225_001_mic2.wav")
    source.text("VCTK/txt/p225/p225_001.txt", "Please call Stella.")
    source.text("VCTK/txt/p225/p225_002.txt", "Ask her.")
    source.text(
        "VCTK/speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS",
        "p225  23  F    English    Southern  England",
    )
    made = source.ingest()
    assert [(row.given_text, row.speaker, row.recording) for row in made.rows] == [
        ("Please call Stella.", "p225", "p225_001")
    ] * 2
    assert facts(made.rows[1]) == {
        "microphone": "mic2", "age": "23", "gender": "F", "accent": "English", "utterance": "p225_001"
    }  # fmt: skip
    assert made.reasons() == {"VCTK/txt/p225/p225_002.txt": "missing"}


@pytest.mark.parametrize("prefix", ["cv-corpus/en/", ""])
def test_common_voice(source: Any, prefix: str) -> None:
    source.wav(*(f"{prefix}clips/c{number}.wav" for number in range(5)))
    head = "client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tgender\tlocale"

    def rows(*said: tuple[int, str]) -> list[str]:
        return [head, *(f"id{number}\tc{number}.wav\t{number}\t{text}\t2\ttwenties\t\ten-US" for number, text in said)]

    source.text(f"{prefix}train.tsv", *rows((0, '"Unbalanced quote, she said.'), (1, "plain\u2028text")))
    source.text(f"{prefix}test.tsv", *rows((2, "for the test")))
    source.text(
        f"{prefix}validated.tsv", *rows((0, '"Unbalanced quote, she said.'), (3, "validated only"), (9, "gone"))
    )
    source.text(f"{prefix}invalidated.tsv", *rows((4, "not what is said")))
    source.text(f"{prefix}clip_durations.tsv", "clip\tduration[ms]")
    made = source.ingest()
    assert [(row.given_text, row.speaker, row.split, row.language) for row in made.rows] == [
        ('"Unbalanced quote, she said.', "id0", "train", "en"),
        ("plain text", "id1", "train", "en"),
        ("for the test", "id2", "test", "en"),
        ("validated only", "id3", None, "en"),
        (None, "id4", None, "en"),
    ]
    assert facts(made.rows[0]) == {"sentence_id": "0", "up_votes": "2", "age": "twenties"}
    assert facts(made.rows[4])["rejected_sentence"] == "not what is said"
    assert made.reasons() == {f"{prefix}clips/c9.wav": "missing"}


def test_nemo_manifests_with_numbers_for_speakers_and_splits_from_their_names(source: Any) -> None:
    source.wav("corp/audio/a.wav", "corp/audio/b.wav", seconds=1.0)
    row = {
        "audio_filepath": str(source.root / "corp/audio/a.wav"),
        "duration": 1.0,
        "text": "hello",
        "speaker": 17,
        "gender": "f",
    }
    source.text("corp/train_manifest.json", "[" + json.dumps(row) + "]")
    source.text(
        "corp/dev_manifest.jsonl",
        json.dumps({"audio_filepath": "audio/b.wav", "offset": 0.5, "duration": 0.25, "text": "b"}),
    )
    first, second = source.ingest().rows
    assert (first.given_text, first.speaker, first.split) == ("hello", "17", "train")
    assert facts(first) == {"gender": "f", "duration_s": "1"}
    assert (second.first_sample, second.num_samples, second.split) == (4_000, 2_000, "val")


@pytest.mark.parametrize("prefix", ["corp/", ""])
def test_audiofolders_in_split_folders(source: Any, prefix: str) -> None:
    for split in ("train", "validation", "test"):
        source.wav(f"{prefix}{split}/sub/a.wav")
        source.text(
            f"{prefix}{split}/metadata.jsonl", json.dumps({"file_name": "sub/a.wav", "transcription": split, "age": 7})
        )
    made = source.ingest()
    assert {(row.given_text, row.split) for row in made.rows} == {
        ("train", "train"),
        ("validation", "val"),
        ("test", "test"),
    }
    assert facts(made.rows[0]) == {"age": "7"} and made.dropped == []


def test_a_table_of_sounds_has_tags_and_captions(source: Any) -> None:
    source.wav("ESC-50/audio/1-100032-A-0.wav", "clotho/development/Distorted AM Radio noise.wav")
    source.text(
        "ESC-50/meta/esc50.csv", "filename,fold,target,category", "1-100032-A-0.wav,1,0,dog", "gone.wav,1,1,cat"
    )
    source.text(
        "clotho/clotho_captions.csv",
        "file_name,caption_1,caption_2",
        'Distorted AM Radio noise.wav,"A muddled noise, loud",Static',
    )
    made = source.ingest()
    sound, radio = made.rows
    assert (sound.given_tags, facts(sound)) == (["dog"], {"fold": "1", "target": "0"})
    assert radio.given_captions == ["A muddled noise, loud", "Static"]
    assert made.reasons() == {"ESC-50/meta/gone.wav": "missing"}


def test_a_filelist_without_header_is_understood_by_what_stands_in_it(source: Any) -> None:
    source.wav("tts/wavs/a.wav", "tts/wavs/b.wav")
    source.text("tts/filelist.txt", "wavs/a.wav|3|Hello to everybody.", "wavs/b.wav|3|It is late now.")
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["Hello to everybody.", "It is late now."]
    assert [(row.speaker, facts(row)) for row in made.rows] == [("3", {}), ("3", {})]


def test_a_quote_that_is_never_closed_costs_no_other_row(source: Any) -> None:
    source.wav("corp/a.wav", "corp/b.wav", "corp/c.wav")
    source.bytes(
        "corp/list.csv",
        b'\xef\xbb\xbfpath,text\r\na.wav,"never closed\r\nb.wav,"two\r\nlines, ""quoted"""\r\nc.wav,5" wide, he said\r\n',
    )
    made = source.ingest()
    texts = {row.path[-5]: row.given_text for row in made.rows}
    assert texts["b"] == 'two lines, "quoted"'
    assert texts["a"] in ('"never closed', "never closed")


def test_names_are_compared_as_nfc_both_ways(source: Any) -> None:
    composed, apart = "Gr\u00fc\u00dfe.wav", "Gru\u0308\u00dfe.wav"
    source.wav(f"a/{apart}", f"b/{composed}")
    source.text("a/metadata.jsonl", json.dumps({"path": composed, "given_text": "one"}))
    source.text("b/list.csv", "file,text", f"{apart},two")
    made = source.ingest()
    assert {row.given_text for row in made.rows} == {"one", "two"} and made.dropped == []
    assert names(made.rows) == [f"a/{apart}", f"b/{composed}"]


def test_sidecars_of_every_kind(source: Any) -> None:
    source.wav(*(f"s/{kind}.wav" for kind in ("txt", "lab", "htk", "json", "ctm")), "s/vtt.wav", seconds=2.0)
    source.wav("s/wav/deep.wav")
    source.bytes("s/txt.txt", "\ufeffGood\r\nevening.".encode())
    source.text("s/lab.lab", "plain words")
    source.text("s/htk.lab", "0 5000000 sil", "5000000 10000000 hello", "10000000 20000000 there")
    source.text("s/json.json", json.dumps({"text": "from json", "speaker_id": 5, "emotion": "glad"}))
    source.text("s/ctm.ctm", "ctm 1 0.25 0.5 YES 0.9", "ctm 1 1.0 0.5 NO 0.8")
    source.text(
        "s/vtt.vtt", "WEBVTT", "", "00:00.500 --> 00:01.000", "<v Ann>Good day", "", "00:01.000 --> 00:01.500", "Bye"
    )
    source.text("s/txt/deep.txt", "in another folder")
    source.text("s/README.txt", "about these")
    made = source.ingest()
    rows = {row.path[2:]: row for row in made.rows if row.path != "s/vtt.wav"}
    assert {path: row.given_text for path, row in rows.items()} == {
        "txt.wav": "Good evening.", "lab.wav": "plain words", "htk.wav": "hello there", "json.wav": "from json", "ctm.wav": "YES NO",
        "wav/deep.wav": "in another folder",
    }  # fmt: skip
    assert [(one.word, one.first_sample, one.num_samples) for one in rows["htk.wav"].given_words] == [
        ("hello", 4_000, 4_000), ("there", 8_000, 8_000)
    ]  # fmt: skip
    assert (rows["json.wav"].speaker, facts(rows["json.wav"])) == ("5", {"emotion": "glad"})
    assert [one.first_sample for one in rows["ctm.wav"].given_words] == [2_000, 8_000]
    cues = [row for row in made.rows if row.path == "s/vtt.wav"]
    assert [(row.given_text, row.speaker, row.first_sample, row.num_samples) for row in cues] == [
        ("Good day", "Ann", 4_000, 4_000), ("Bye", None, 8_000, 4_000)
    ]  # fmt: skip
    assert made.reasons() == {"s/README.txt": "beside_audio"}


def test_textgrids_long_and_short_say_the_same(source: Any) -> None:
    source.wav("g/long.wav", "g/short.wav", seconds=2.0)
    long = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 2", "tiers? <exists>", "size = 1", "item []:",
        "    item [1]:", '        class = "IntervalTier"', '        name = "utterances"', "        xmin = 0", "        xmax = 2",
        "        intervals: size = 2", "        intervals [1]:", "            xmin = 0", "            xmax = 0.5",
        '            text = ""', "        intervals [2]:", "            xmin = 0.5", "            xmax = 1.75",
        '            text = "she said ""no"" [3] times"',
    ]  # fmt: skip
    source.text("g/long.TextGrid", *long)
    short = [
        "0",
        "2",
        "<exists>",
        "1",
        '"IntervalTier"',
        '"utterances"',
        "0",
        "2",
        "2",
        "0",
        "0.5",
        '""',
        "0.5",
        "1.75",
    ]
    source.text("g/short.TextGrid", *long[:2], "", *short, '"she said ""no"" [3] times"')
    first, second = source.ingest().rows
    assert (first.given_text, first.first_sample, first.num_samples) == ('she said "no" [3] times', 4_000, 10_000)
    assert (second.given_text, second.first_sample, second.num_samples) == ('she said "no" [3] times', 4_000, 10_000)


def test_json_lines_of_texts_are_documents_only_where_there_is_no_audio(source: Any) -> None:
    lines = [
        json.dumps({"text": f"Document\u2028{number}", "url": f"u{number}", "language": "en"}) for number in range(3)
    ]
    source.text("web/shard.jsonl", *lines, "broken")
    source.wav("speech/a.wav")
    source.text("speech/texts.jsonl", *lines)
    made = source.ingest()
    texts = [row for row in made.rows if row.medium == "text"]
    assert sorted(row.text for row in texts) == ["Document\u20280", "Document\u20281", "Document\u20282"]
    assert facts(texts[0]) == {"url": "u0"} and texts[0].language == "en"
    assert made.reasons() == {"web/shard.jsonl": "bad_line", "speech/texts.jsonl": "unsupported"}


def test_our_own_metadata_says_splits_facts_and_captions(source: Any) -> None:
    source.wav("corp/a.wav")
    said = {"path": "a.wav", "split": "test", "facts": {"gender": "female"}, "given_captions": ["A bell.", "It rings."]}
    source.text("corp/metadata.jsonl", json.dumps(said))
    row = source.ingest().row
    assert (row.split, row.facts, row.given_captions) == (
        "test",
        [Fact(name="gender", value="female")],
        ["A bell.", "It rings."],
    )


def test_json_of_several_shapes_is_a_table(source: Any) -> None:
    said = {name: {"audio": f"{name}.wav", "text": f"words of {name}"} for name in "abcdefg"}
    source.wav(*(f"{shape}/{name}.wav" for shape in ("lines", "one", "list", "object", "inside") for name in "ab"))
    source.text("lines/train.json", json.dumps(said["a"]), json.dumps(said["b"]))
    source.text("one/train.json", json.dumps(said["a"]))
    source.text("list/train.json", json.dumps([said["a"], said["b"]]))
    source.text("object/train.json", json.dumps({"first": said["a"], "second": said["b"]}))
    source.text("inside/train.json", json.dumps({"version": 1, "data": [said["a"], said["b"]]}, indent=1))
    made = source.ingest()
    assert {row.path: row.given_text for row in made.rows} == {
        f"{shape}/{name}.wav": None if (shape, name) == ("one", "b") else f"words of {name}"
        for shape in ("lines", "one", "list", "object", "inside")
        for name in "ab"
    }
    assert made.dropped == []


def test_file_lists_of_speech_synthesis_name_speakers(source: Any) -> None:
    names = [f"{speaker}_{number}" for speaker in ("ann", "bob") for number in (1, 2)]
    source.wav(*(f"{corpus}/wavs/{name}.wav" for corpus in ("piper", "vits", "style") for name in names))
    source.text("piper/metadata.csv", *(f"{name}|{name[:3]}|the text of {name}" for name in names))
    source.text("vits/train.txt", *(f"DUMMY/wavs/{name}.wav|{name[:3]}|the text of {name}" for name in names))
    source.text("style/list.txt", *(f"wavs/{name}.wav|the text of {name}|{name[:3]}" for name in names))
    made = source.ingest()
    assert {(row.path, row.speaker, row.given_text) for row in made.rows} == {
        (f"{corpus}/wavs/{name}.wav", name[:3], f"the text of {name}")
        for corpus in ("piper", "vits", "style")
        for name in names
    }
    assert [row.facts for row in made.rows] == [[]] * 12


def test_the_names_of_ljspeechs_columns_are_no_file(source: Any) -> None:
    source.wav("lj/wavs/a.wav", "lj/wavs/b.wav", "id/wavs/id.wav")
    source.text("lj/metadata.csv", "id|text|normalized", "a|In 1455|in fourteen", "b|5 men|five men")
    source.text("id/metadata.csv", "id|a file called so")
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["a file called so", "in fourteen", "five men"]
    assert made.dropped == []


def test_lists_that_begin_with_names_are_transcripts_or_splits(source: Any) -> None:
    source.wav("cn/wav/S1/BAC1.wav", "cn/wav/S1/BAC2.wav", "words/yes/1.wav", "words/no/2.wav", "words/no/3.wav")
    source.text("cn/transcript/aishell.txt", "BAC1  而 对\u3000楼市", "BAC2 成交 抑制")
    source.text("words/validation_list.txt", "yes/1.wav")
    source.text("words/testing_list.txt", "no/2.wav")
    source.wav("bells/bell.wav", "bells/gong.wav")
    source.text("bells/ABOUT.txt", "bell and gong are", "two instruments", "of bronze", "and tin")
    source.text("bells/notes.txt", "Some notes", "bell rings", "gong rings")
    made = source.ingest()
    assert {row.path: (row.given_text, row.split) for row in made.rows} == {
        "cn/wav/S1/BAC1.wav": ("而 对 楼市", None), "cn/wav/S1/BAC2.wav": ("成交 抑制", None),
        "words/yes/1.wav": (None, "val"), "words/no/2.wav": (None, "test"), "words/no/3.wav": (None, "train"),
        "bells/bell.wav": (None, None), "bells/gong.wav": (None, None),
    }  # fmt: skip
    assert made.reasons() == {"bells/ABOUT.txt": "beside_audio", "bells/notes.txt": "beside_audio"}
    assert {tuple(row.facts) for row in made.rows} == {()}


def test_a_text_spelled_out_in_phones_is_not_the_text(source: Any) -> None:
    source.wav("f/audio/1.wav", "f/audio/2.wav")
    source.text(
        "f/train.tsv",
        "7\t1.wav\tA dog, here.\ta dog here\ta | d o g | h e r e",
        "8\t2.wav\tSo it is.\tso it is\ts o | i t",
    )
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["A dog, here.", "So it is."]


def test_tables_of_other_encodings_are_read_where_something_says_which(source: Any) -> None:
    rows = "file;text\r\na.wav;Grüße aus Köln\r\nb.wav;schöne Straße\r\n"
    for corpus in ("utf16", "card", "nothing", "wrong"):
        source.wav(f"{corpus}/a.wav", f"{corpus}/b.wav", f"{corpus}/c.wav")
    for corpus in ("card", "wrong"):
        source.bytes(f"{corpus}/c.txt", "eine Größe".encode("cp1252"))
    source.bytes("utf16/list.csv", rows.encode("utf-16"))
    source.bytes("card/list.csv", f"sep=;\r\n{rows}".encode("cp1252"))
    source.bytes("nothing/list.csv", rows.encode("cp1252"))
    source.bytes("wrong/list.csv", b"file;text\na.wav;one line\nb.wav;\x81\xff\n")
    source.text("corpora/card.toml", 'encoding = "cp1252"')
    source.text("corpora/wrong.toml", 'encoding = "ascii"')
    made = source.ingest()
    said = {row.path: row.given_text for row in made.rows}
    for corpus in ("utf16", "card"):
        assert (said[f"{corpus}/a.wav"], said[f"{corpus}/b.wav"]) == ("Grüße aus Köln", "schöne Straße")
    assert (said["nothing/a.wav"], said["card/c.wav"], said["wrong/c.wav"]) == (None, "eine Größe", None)
    assert made.reasons() == {
        "nothing/list.csv": "not_utf8", "wrong/list.csv": "wrong_encoding", "wrong/c.txt": "wrong_encoding"
    }  # fmt: skip
    (why,) = [row["detail"] for row in made.dropped if row["row_id"] == "nothing/list.csv"]
    assert "line 2" in why and "`encoding` of the corpus card" in why


def test_a_kaldi_corpus_in_archives_is_ingested_with_its_samples(source: Any) -> None:
    sounds = {key: ramp(0.25, seed=seed) for seed, key in enumerate(("utt1", "utt2"))}
    data, lines = b"", []
    for key, samples in sounds.items():
        lines.append(f"{key} mine/raw/wav.ark:{len(data) + len(key) + 1}")
        data += f"{key} ".encode() + wav(samples)
    source.bytes("mine/raw/wav.ark", data)
    source.text("mine/test/wav.scp", *lines)
    source.text("mine/test/text", "utt1 FIRST", "utt2 SECOND")
    made = source.ingest()
    assert {row.path: (row.given_text, row.split) for row in made.rows} == {
        "mine/raw/wav.ark/utt1": ("FIRST", "test"), "mine/raw/wav.ark/utt2": ("SECOND", "test"),
    }  # fmt: skip
    for row, samples in zip(made.rows, sounds.values(), strict=True):
        assert np.array_equal(made.samples(row), samples)
    assert not made.dropped


@pytest.mark.parametrize("name", ["train_manifest.jsonl", "train.json", "train.csv"])
def test_manifests_in_gzip_say_what_they_say_without(source: Any, name: str) -> None:
    rows = [("a.wav", "hello there", "anna"), ("b.wav", "good evening", "bert")]
    if name.endswith(".csv"):
        lines = ["file,text,speaker", *(",".join(row) for row in rows)]
    else:
        lines = [json.dumps(dict(zip(("audio_filepath", "text", "speaker"), row, strict=True))) for row in rows]
    source.wav(*(f"{folder}/{row[0]}" for folder in ("plain", "packed") for row in rows))
    source.text(f"plain/{name}", *lines)
    source.bytes(f"packed/{name}.gz", gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    made = source.ingest()
    said = [(row.path.partition("/")[2], row.given_text, row.speaker, row.split) for row in made.rows]
    assert (
        said[:2] == said[2:] == [("a.wav", "hello there", "anna", "train"), ("b.wav", "good evening", "bert", "train")]
    )
    assert not made.dropped


@pytest.mark.parametrize(
    "lines",
    [
        ("0.250000\t1.250000\thello there", "\\\t200.0\t3000.0", "1.500000\t2.500000\tgood bye"),
        ("[00:00.250 --> 00:01.250]  hello there", "[00:01.500 --> 00:02.500]  good bye"),
    ],
)
def test_lines_with_times_beside_a_sound_are_stretches_of_it(source: Any, lines: tuple[str, ...]) -> None:
    source.wav("a/talk.wav", "a/plain.wav", seconds=3.0)
    source.text("a/talk.txt", *lines)
    source.text("a/plain.txt", "0.25 is a quarter,", lines[0])
    made = source.ingest()
    cuts = [(row.given_text, row.first_sample, row.num_samples) for row in made.rows if row.path == "a/talk.wav"]
    assert cuts == [("hello there", 2_000, 8_000), ("good bye", 12_000, 8_000)]
    (plain,) = [row for row in made.rows if row.path == "a/plain.wav"]
    assert plain.given_text is not None and plain.given_text.startswith("0.25 is a quarter, ")


def test_labels_of_no_length_are_told(source: Any) -> None:
    source.wav("a/talk.wav", seconds=3.0)
    source.text("a/talk.txt", "0.5\t1.5\tone", "2.0\t2.0\tclick")
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["one"] and "bad_times" in made.reasons().values()


def test_first_and_last_sample_are_no_words_of_timit(source: Any) -> None:
    source.wav("t/SA1.WAV", "t/SA2.WAV", seconds=2.0)
    source.text("t/SA1.TXT", "0 16000 She had your dark suit.")
    source.text("t/SA2.TXT", "0 10 20 counting")
    texts = {row.path: row.given_text for row in source.ingest().rows}
    assert texts == {"t/SA1.WAV": "She had your dark suit.", "t/SA2.WAV": "0 10 20 counting"}


@pytest.mark.parametrize("column", ["slice_file_name", "youtube_id"])
def test_times_of_what_a_file_was_cut_from_do_not_cut_it_again(source: Any, column: str) -> None:
    source.wav("u/audio/7061-6-0-0.wav", "u/audio/100032-3-0-0.wav", seconds=1.0)
    suffix = ".wav" if column == "slice_file_name" else ""
    source.text(
        "u/list.csv", f"{column},start,end,class", f"7061-6-0-0{suffix},10.5,11.5,gun_shot",
        f"100032-3-0-0{suffix},0.0,0.317551,dog_bark",
    )  # fmt: skip
    made = source.ingest()
    assert made.dropped == [] and [(row.first_sample, row.num_samples) for row in made.rows] == [(0, 8_000)] * 2
    assert {row.given_tags[0] for row in made.rows} == {"gun_shot", "dog_bark"}
    assert facts(made.rows[1])["start"] == "10.5"


@pytest.mark.parametrize("separator", [":", " "])
def test_texts_without_blanks_are_texts(source: Any, separator: str) -> None:
    source.wav("j/wav/BASIC5000_0001.wav", "j/wav/BASIC5000_0002.wav")
    first, second = "水をマレーシアから買わなくてはならない。", "時刻:三時に終了しました。"
    source.text("j/transcript_utf8.txt", f"BASIC5000_0001{separator}{first}", f"BASIC5000_0002{separator}{second}")
    made = source.ingest()
    assert [row.given_text for row in made.rows] == [first, second] and made.dropped == []
