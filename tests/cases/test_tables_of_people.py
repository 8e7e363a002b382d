"""Tables as people and their programs write them: each row finds its sound, and says what it said."""

import gzip
import json
from typing import Any

from uniaudio_pipelines.source_to_raw.survey import survey
from uniaudio_schemas.errors import DataError


def texts(rows: list[Any]) -> dict[str, str | None]:
    return {row.path: row.given_text for row in rows}


def test_paths_of_other_machines_find_their_sounds(source: Any) -> None:
    source.wav(
        "win/Wavs/A.wav",
        "win/Wavs/sub/B.WAV",
        "disk/wav/1.wav",
        "disk/wav/2.wav",
        "case/AUDIO/Utt_001.WAV",
        "beside/A.WAV",
    )
    source.wav("url/clips/a b.wav", "url/clips/b.wav", "url/clips/c.wav", "same/x/A.wav", "same/x/a.wav")
    source.text("win/l.csv", "path,text", r"wavs\a.wav,hello you", r"C:\Users\x\win\Wavs\sub\b.wav,bye you")
    source.text("disk/l.txt", r"D:\corpus\wav\1.wav|hello to you all", r"D:\corpus\wav\2.wav|bye to you all")
    source.text("case/l.csv", "file,text", "audio/utt_001.wav,hello you")
    source.text("beside/a.txt", "said beside")
    source.text(
        "url/l.csv", "audio,text", "https://storage.example.com/bucket/clips/a%20b.wav?sig=1,hello you", "gs://bucket/clips/b.wav,bye you",
        "s3://elsewhere/deep/c.wav,only its name is left",
    )  # fmt: skip
    # Two that differ by case alone are two.
    source.text("same/l.csv", "path,text", "x/A.wav,large", "x/a.wav,small")
    made = source.ingest()
    assert texts(made.rows) == {
        "win/Wavs/A.wav": "hello you", "win/Wavs/sub/B.WAV": "bye you", "disk/wav/1.wav": "hello to you all",
        "disk/wav/2.wav": "bye to you all", "case/AUDIO/Utt_001.WAV": "hello you", "beside/A.WAV": "said beside",
        "url/clips/a b.wav": "hello you", "url/clips/b.wav": "bye you", "url/clips/c.wav": "only its name is left",
        "same/x/A.wav": "large", "same/x/a.wav": "small",
    }  # fmt: skip
    assert made.dropped == []


def test_tables_of_every_office_are_read(source: Any) -> None:
    source.wav(
        *(f"{name}/{sound}.wav" for name in ("office", "mac", "note", "quoted", "null") for sound in "abc"), seconds=4.0
    )
    source.text(
        "office/l.csv", "Datei;Text;Sprecher;start;end", "a.wav;hallo, du da;anna;0,5;1,5", "b.wav;tschüss;bert;1,0;2,5"
    )
    source.bytes("mac/l.csv", b"file,text\ra.wav,hello you\rb.wav,bye you\r")
    source.text("note/l.csv", "# made by me", "# on monday", "file,text", "a.wav,hello you", "b.wav,bye you")
    source.text(
        "quoted/l.tsv", "path\ttext", 'a.wav\t"Hello, ""you"", said she"', '"b.wav"\t"Hello," she said', 'c.wav\t"never closed'
    )  # fmt: skip
    source.text(
        "null/l.csv", "path,text,speaker,label", "a.wav,nan,x,0", "b.wav,NULL,nan,1", "c.wav,null und nichtig,y,2"
    )
    source.bytes("null/labels.xlsx", b"PK\x03\x04")
    made = source.ingest()
    rows = {row.path: row for row in made.rows}
    office = rows["office/a.wav"]
    assert (office.given_text, office.speaker, office.first_sample, office.num_samples) == (
        "hallo, du da",
        "anna",
        4_000,
        8_000,
    )
    assert [rows[f"{name}/{sound}.wav"].given_text for name in ("mac", "note") for sound in "ab"] == [
        "hello you",
        "bye you",
    ] * 2
    assert [rows[f"quoted/{sound}.wav"].given_text for sound in "abc"] == [
        'Hello, "you", said she',
        '"Hello," she said',
        '"never closed',
    ]
    assert [rows[f"null/{sound}.wav"].given_text for sound in "abc"] == [None, None, "null und nichtig"]
    assert not any(row.given_tags for row in made.rows), "numbers of classes are no tags"
    (problem,) = made.dropped
    assert (problem["row_id"], problem["reason"]) == ("null/labels.xlsx", "unsupported") and "CSV" in problem["detail"]


def test_events_begin_at_their_onset_and_a_translation_is_not_what_is_said(source: Any) -> None:
    source.wav("desed/audio/a.wav", "desed/audio/b.wav", "st/a.wav", seconds=4.0)
    source.text(
        "desed/metadata/a.tsv", "filename\tonset\toffset\tevent_label", "a.wav\t0.5\t1.5\tDog", "b.wav\t1\t2\tSpeech"
    )
    source.text("st/l.csv", "file,source,translated_text", "a.wav,hello you there,hallo du da")
    made = source.ingest()
    assert [(row.first_sample, row.num_samples, row.given_tags, row.given_text) for row in made.rows] == [
        (4_000, 8_000, ["Dog"], None), (8_000, 8_000, ["Speech"], None), (0, 32_000, [], None),
    ]  # fmt: skip


def test_names_are_made_of_columns_and_are_those_of_the_tables_split(source: Any) -> None:
    source.wav("meld/train/dia0_utt0.wav", "meld/train/dia0_utt1.wav", "meld/dev/dia0_utt0.wav", "own/b1_0007.wav")
    source.wav(
        "vgg/train/---g-f_I2yQ_000001.wav",
        "as/--4gqARaEJE_0.000_10.000.wav",
        "split/train/0.wav",
        "split/test/0.wav",
        seconds=4.0,
    )
    columns = "Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime"
    times = '"00:16:16,059","00:16:21,731"'
    source.text(
        "meld/train_sent_emo.csv", columns, f"1,I was,Chandler,joy,0,0,{times}", f"2,You must.,Joey,fear,0,1,{times}"
    )
    source.text("meld/dev_sent_emo.csv", columns, f"1,Oh my God,Phoebe,sadness,0,0,{times}")
    source.text("vgg/vggsound.csv", "zzzzzzzzzzz,5,dog barking,test", "---g-f_I2yQ,1,people marching,train")
    source.text(
        "as/eval_segments.csv", "# Segments csv created", "# num_ytids=1, num_segs=1", "# YTID, start_seconds, end_seconds, positive_labels",
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"',
    )  # fmt: skip
    source.text("own/l.csv", "book,line,text", "b1,7,the seventh line")
    source.text("corpora/own.toml", "[columns]", 'path = "{book}_{line:04}"')
    for split in ("train", "test"):
        source.text(f"split/{split}.csv", "file,text", f"0.wav,of {split}")
    made = source.ingest()
    assert {row.path: (row.given_text, row.speaker, row.split) for row in made.rows} == {
        "meld/train/dia0_utt0.wav": ("I was", "Chandler", "train"), "meld/train/dia0_utt1.wav": ("You must.", "Joey", "train"),
        "meld/dev/dia0_utt0.wav": ("Oh my God", "Phoebe", "val"), "own/b1_0007.wav": ("the seventh line", None, None),
        "vgg/train/---g-f_I2yQ_000001.wav": (None, None, "train"), "as/--4gqARaEJE_0.000_10.000.wav": (None, None, "test"),
        "split/train/0.wav": ("of train", None, "train"), "split/test/0.wav": ("of test", None, "test"),
    }  # fmt: skip
    rows = {row.corpus: row for row in made.rows}
    assert rows["vgg"].given_tags == ["people marching"] and rows["as"].given_tags == []
    assert ("positive_labels", "/m/068hy,/m/07q6cd_") in {(fact.name, fact.value) for fact in rows["as"].facts}
    assert made.reasons() == {"vgg/zzzzzzzzzzz": "missing"}


def test_json_of_any_depth_with_its_splits(source: Any) -> None:
    source.wav(
        "deep/a.wav",
        "deep/b.wav",
        "texts/a.wav",
        "texts/b.wav",
        "people/audio/x.wav",
        "people/audio/y.wav",
        "one/a.wav",
    )
    deep = {
        split: [{"audio": {"file": {"path": f"{name}.wav"}}, "annotation": {"transcript": {"text": f"{name} says it"}}}]
        for split, name in (("train", "a"), ("test", "b"))
    }
    source.text("deep/d.json", json.dumps({"info": {"v": 1}, "data": deep}))
    source.text("texts/d.json", json.dumps({"a": "hello to you", "b": "bye to you"}))
    training = {"duration_ms": [500, 500], "label": ["words of one", "words of two"], "name": ["x.wav", "y.wav"]}
    source.text(
        "people/train.json", *(json.dumps({"identifier": name, "training_data": training}) for name in ("gov1", "gov2"))
    )
    source.text(
        "one/m.json", json.dumps({"audio": {"path": "a.wav", "meta": {"rate": 8_000}}, "text": "one object alone"})
    )
    made = source.ingest()
    assert {row.path: (row.given_text, row.split) for row in made.rows} == {
        "deep/a.wav": ("a says it", "train"), "deep/b.wav": ("b says it", "test"), "texts/a.wav": ("hello to you", None),
        "texts/b.wav": ("bye to you", None), "people/audio/x.wav": ("words of one", "train"),
        "people/audio/y.wav": ("words of two", "train"), "one/a.wav": ("one object alone", None),
    }  # fmt: skip


def test_tasks_of_label_studio_are_regions_with_their_words(source: Any) -> None:
    source.wav("full/b.wav", "full/whole.wav", "full/tags.wav", "min/a.wav", "seg/a.wav", seconds=4.0)
    place = {"start": 0.5, "end": 1.5, "channel": 0}
    result = [
        {"id": "r1", "from_name": "labels", "type": "labels", "value": {**place, "labels": ["Speaker 1"]}},
        {"id": "r1", "from_name": "transcription", "type": "textarea", "value": {**place, "text": ["hello to you"]}},
        {"id": "q", "from_name": "mood", "type": "choices", "value": {"choices": ["glad"]}},
    ]
    whole = [{"id": "t", "from_name": "transcription", "type": "textarea", "value": {"text": ["whole text here"]}}]
    tags = [
        {"id": "r", "from_name": "labels", "type": "labels", "value": {"start": 1.0, "end": 2.0, "labels": ["Dog"]}}
    ]
    tasks = [
        {"id": 1, "data": {"audio": "/data/upload/1/9f1c2a3b-b.wav"},
         "annotations": [{"was_cancelled": True, "result": whole}, {"result": result}]},
        {"id": 2, "data": {"audio": "whole.wav"}, "annotations": [{"result": whole}]},
        {"id": 3, "data": {"audio": "/data/local-files/?d=full/tags.wav"}, "annotations": [{"result": tags}]},
    ]  # fmt: skip
    source.text("full/project-1.json", json.dumps(tasks))
    source.text(
        "min/min.json", json.dumps([{"id": 1, "audio": "/data/upload/1/9f1c2a3b-a.wav", "transcription": "hello min"}])
    )
    source.text(
        "seg/min.json",
        json.dumps([{"id": 1, "audio": "a.wav", "label": [{**place, "labels": ["Speech"]}], "transcription": "hi"}]),
    )
    made = source.ingest()
    assert [(row.path, row.first_sample, row.num_samples, row.given_text, row.given_tags) for row in made.rows] == [
        ("full/b.wav", 4_000, 8_000, "hello to you", []), ("full/tags.wav", 8_000, 8_000, None, ["Dog"]),
        ("full/whole.wav", 0, 32_000, "whole text here", []), ("min/a.wav", 0, 32_000, "hello min", []),
        ("seg/a.wav", 4_000, 8_000, "hi", []),
    ]  # fmt: skip
    assert made.dropped == []


def test_lists_in_yaml_say_what_they_say_in_json(source: Any) -> None:
    source.wav("must/data/train/wav/ted_1.wav", "must/en-de/x.wav", "list/a.wav", "map/a.wav", seconds=6.0)
    item = "- {{duration: 1.5, offset: {}, rW: 10, speaker_id: spk.1, wav: ted_1.wav}}"
    source.text("must/data/train/txt/train.yaml", item.format(0.5), item.format(3.0), "- {broken")
    source.text("must/data/train/txt/train.en", "Hello there.", "Good bye now.")
    source.text("must/data/train/txt/train.de", "Hallo da.", "Auf Wiedersehen.")
    source.text("list/meta.yaml", "- file: a.wav", "  text: hello you")
    source.text("map/meta.yml", "a.wav:", "  text: bye you", "  speaker: ann")
    made = source.ingest()
    rows = [row for row in made.rows if "x.wav" not in row.path]
    assert [(row.given_text, row.speaker, row.split, row.language, row.first_sample) for row in rows] == [
        ("hello you", None, None, None, 0), ("bye you", "ann", None, None, 0), ("Hello there.", "spk.1", "train", "en", 4_000),
        ("Good bye now.", "spk.1", "train", "en", 24_000),
    ]  # fmt: skip
    assert ("translation_de", "Auf Wiedersehen.") in {(fact.name, fact.value) for fact in rows[-1].facts}
    assert made.reasons() == {"must/data/train/txt/train.yaml": "bad_line"}


def test_text_corpora_are_read_packed_and_in_tables(source: Any) -> None:
    lines = "".join(json.dumps({"text": f"document number {number}"}) + "\n" for number in range(3)).encode()
    source.bytes("gz/a.jsonl.gz", gzip.compress(lines))
    source.bytes("short/a.jsonl.gz", gzip.compress(lines * 200)[:-30])
    source.bytes("whole/tale.txt.gz", gzip.compress(b"Once upon a time."))
    source.text("csv/t.csv", "id,text", '1,"A long text, of', 'two lines"', "2,Another text")
    source.text("json/t.json", json.dumps([{"text": "first of json"}, {"text": "second of json"}, {"none": 1}]))
    source.text("tsv/t.tsv", "id\tbody", "1\tbody of a tsv")
    made = source.ingest()
    held = {row.path.split("/")[0]: [] for row in made.rows}
    for row in made.rows:
        held[row.path.split("/")[0]].append(row.text)
    assert sorted(held["gz"]) == [f"document number {number}" for number in range(3)]
    assert held["whole"] == ["Once upon a time."] and held["tsv"] == ["body of a tsv"]
    assert sorted(held["csv"]) == ["A long text, of\ntwo lines", "Another text"]
    assert sorted(held["json"]) == ["first of json", "second of json"]
    reasons = {(row["row_id"], row["reason"]) for row in made.dropped}
    assert {("short/a.jsonl.gz", "cut_short"), ("json/t.json", "bad_line")} <= reasons


def test_tables_that_are_meant_to_break_a_survey_are_problems(source: Any, monkeypatch: Any) -> None:
    from uniaudio_pipelines.source_to_raw.formats import text_rows

    junk = bytes(range(256)) * 64
    ends = ("csv", "tsv", "jsonl", "json", "yaml", "mlf", "list")
    for end in ends:
        source.wav(f"{end}/sound.wav")
        source.bytes(f"{end}/labels.{end}", junk)
    source.wav("laughs/a.wav", "deep/a.wav", "ok/a.wav")
    source.text("laughs/l.yaml", "a: &a [x, x]", "b: &b [*a, *a]", "c: [*b, *b]")
    source.text("deep/l.yaml", "[" * 5_000)
    source.text("ok/l.yaml", "- {file: a.wav, text: good words}")
    source.bytes("junk/a.jsonl.gz", b"\x1f\x8b" + junk)
    source.bytes("junk/a.csv", junk)
    source.bytes("junk/b.txt.zst", junk)
    monkeypatch.setattr(text_rows, "_FREE", 1 << 20)
    # A bomb of blanks, and one of empty lines.
    source.bytes("blank/a.jsonl.gz", gzip.compress(json.dumps({"text": "a"}).encode() + b"\n" + b" " * (1 << 24)))
    source.bytes("zero/a.jsonl.gz", gzip.compress(json.dumps({"text": "a"}).encode() + b"\n" * (1 << 24)))
    by_name = {one.name: one for one in survey(str(source.root))}
    assert by_name["ok"].num_with_text == 1
    assert "cut_short" in by_name["zero"].problems and "cut_short" in by_name["blank"].problems
    for name in ("laughs", "deep", "yaml"):
        assert by_name[name].num_with_text == 0 and by_name[name].problems, name


def test_a_document_that_is_not_there_is_told(tmp_path: Any) -> None:
    import pytest
    from uniaudio_pipelines.source_to_raw.formats.documents import Documents

    (tmp_path / "t.csv").write_text("text\none\ntwo\nthree\n")
    documents = Documents()
    assert [documents.open_audio(tmp_path / "t.csv", place) for place in ("3", "1", "2")] == [b"three", b"one", b"two"]
    with pytest.raises(DataError, match="must be an object with a text"):
        documents.open_audio(tmp_path / "t.csv", "9")
