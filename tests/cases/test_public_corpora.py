"""Public corpora as they are downloaded: each said something that was lost."""

import json
from collections import Counter
from typing import Any

from uniaudio_pipelines.source_to_raw.survey import survey


def test_timit_has_the_same_names_in_many_folders(source: Any) -> None:
    for folder, text in (("TRAIN/DR1/FCJF0", "She had your suit."), ("TEST/DR2/MABC0", "He had his hat.")):
        source.wav(f"timit/{folder}/SA1.WAV")
        source.text(f"timit/{folder}/SA1.TXT", f"0 4000 {text}")
        source.text(f"timit/{folder}/SA1.WRD", "0 2000 had", "2000 4000 it")
    made = source.ingest()
    assert made.dropped == []
    assert {(row.given_text, row.speaker, row.split, len(row.given_words)) for row in made.rows} == {
        ("She had your suit.", "FCJF0", "train", 2),
        ("He had his hat.", "MABC0", "test", 2),
    }


def test_texts_lie_in_a_tree_like_that_of_the_sounds(source: Any) -> None:
    for speaker in ("anna", "bert"):
        for number in ("001", "002"):
            source.wav(f"c/part1/wav/{speaker}/{number}.wav")
            source.text(f"c/part1/txt/{speaker}/{number}.txt", f"{speaker} says {number}")
    # Another microphone heard the same words.
    source.wav("c/part1/array/bert/002.wav")
    made = source.ingest()
    texts = {row.path.removeprefix("c/part1/"): row.given_text for row in made.rows}
    assert texts["wav/anna/001.wav"] == "anna says 001" and texts["wav/anna/002.wav"] == "anna says 002"
    assert texts["wav/bert/002.wav"] == texts["array/bert/002.wav"] == "bert says 002" and made.dropped == []


def test_gigaspeech_says_what_is_said_in_segments_of_a_recording(source: Any) -> None:
    source.wav("giga/audio/POD1.wav", seconds=10.0)
    source.wav("giga/audio/POD2.wav", seconds=2.0)
    segments = [
        {
            "sid": "POD1_1",
            "speaker": "N/A",
            "begin_time": 0.5,
            "end_time": 4.0,
            "text_tn": "THEY'RE LEAVING <COMMA> NOW",
        },
        {"sid": "POD1_2", "speaker": "N/A", "begin_time": 5.0, "end_time": 9.0, "text_tn": "YES <PERIOD>"},
    ]
    recordings = [
        {"path": "audio/POD1.wav", "title": "a talk", "duration": 10.0, "text": "all of it", "segments": segments},
        {"path": "audio/POD2.wav", "title": "no talk", "duration": 2.0, "segments": []},
    ]
    source.text("giga/GigaSpeech.json", json.dumps({"language": "EN", "audios": recordings}))
    made = source.ingest()
    first, second, whole = made.rows
    assert [(row.first_sample, row.num_samples) for row in (first, second)] == [(4_000, 28_000), (40_000, 32_000)]
    assert (first.original_text, second.original_text) == ("THEY'RE LEAVING <COMMA> NOW", "YES <PERIOD>")
    assert first.speaker is None, "nobody is called N/A"
    assert (whole.path, whole.given_title) == ("giga/audio/POD2.wav", "no talk")


def test_lines_of_json_and_json_beside_a_sound_have_segments_too(source: Any) -> None:
    said = [{"start": 0.5, "end": 1.5, "text": "one"}, {"start": 2.0, "end": 3.0, "text": "two"}]
    source.wav("lines/a.wav", "beside/b.wav", "whole/c.wav", seconds=4.0)
    source.text("lines/all.jsonl", json.dumps({"audio": "a.wav", "utterances": said}))
    source.text("beside/b.json", json.dumps({"language": "en", "segments": said}))
    source.text("whole/c.json", json.dumps({"text": "one two", "segments": said}))
    made = source.ingest()
    assert [(row.path, row.first_sample, row.given_text) for row in made.rows] == [
        ("beside/b.wav", 4_000, "one"),
        ("beside/b.wav", 16_000, "two"),
        ("lines/a.wav", 4_000, "one"),
        ("lines/a.wav", 16_000, "two"),
        ("whole/c.wav", 0, "one two"),
    ]


def test_voxpopuli_calls_a_list_with_bars_tsv(source: Any) -> None:
    source.wav("vox/en/2009/2009-en_0.wav")
    source.text(
        "vox/en/asr_train.tsv",
        "id|raw_text|normalized_text|speaker_id|split|gender",
        "2009-en_0|Mr President.|mr president|m1|train|male",
    )
    row = source.ingest().row
    assert (row.given_text, row.speaker, row.split) == ("mr president", "m1", "train")
    assert ("raw_text", "Mr President.") in {(fact.name, fact.value) for fact in row.facts}


def test_clotho_trains_on_development_and_audiocaps_names_videos(source: Any) -> None:
    source.wav("clotho/development/a b.wav", "clotho/evaluation/rain.wav", "caps/train/Y-12ab.wav", "other/x.wav")
    columns = "file_name," + ",".join(f"caption_{number}" for number in range(1, 6))
    source.text("clotho/clotho_captions_development.csv", columns, "a b.wav,A dog,A dog barks,Barks,Dogs,Woof")
    source.text("clotho/clotho_captions_evaluation.csv", columns, "rain.wav,Rain,It rains,Drops,Water,Wet")
    source.text("caps/train.csv", "audiocap_id,youtube_id,start_time,caption", "1,-12ab,30,A man speaks")
    source.text("other/development.csv", "path,text", "x.wav,this one is not trained on")
    rows = {row.path: row for row in source.ingest().rows}
    assert {path: row.split for path, row in rows.items()} == {
        "clotho/development/a b.wav": "train", "clotho/evaluation/rain.wav": "test", "caps/train/Y-12ab.wav": "train",
        "other/x.wav": "val",
    }  # fmt: skip
    assert len(rows["clotho/evaluation/rain.wav"].given_captions) == 5
    assert rows["caps/train/Y-12ab.wav"].given_captions == ["A man speaks"]


def test_speech_commands_says_words_by_folders_and_trains_on_what_no_list_names(source: Any) -> None:
    source.wav(*(f"c/{word}/{who}_nohash_0.wav" for word in ("yes", "wow_ok") for who in ("0a", "0b")))
    source.wav("c/_background_noise_/white.wav")
    source.text("c/validation_list.txt", "yes/0b_nohash_0.wav")
    source.text("c/testing_list.txt", "wow_ok/0b_nohash_0.wav")
    source.text("corpora/c.toml", 'folders = "given_text"')
    rows = {row.path.removeprefix("c/"): (row.given_text, row.split) for row in source.ingest().rows}
    assert rows == {
        "yes/0a_nohash_0.wav": ("yes", "train"), "yes/0b_nohash_0.wav": ("yes", "val"), "wow_ok/0a_nohash_0.wav": ("wow ok", "train"),
        "wow_ok/0b_nohash_0.wav": ("wow ok", "test"), "_background_noise_/white.wav": (None, "train"),
    }  # fmt: skip


def test_folders_of_classes_are_asked_about_and_are_tags_where_the_card_says_so(source: Any) -> None:
    source.wav(*(f"gtzan/genres/{genre}/{genre}.0.wav" for genre in ("blues", "hip_hop")))
    (found,) = survey(str(source.root))
    assert found.formats == (
        "no labels, but 2 folders (blues, hip_hop): `folders` of the corpus card says what their names are",
    )
    source.text("corpora/gtzan.toml", 'folders = "given_tags"')
    assert sorted(row.given_tags for row in source.ingest().rows) == [["blues"], ["hip hop"]]


def test_names_of_speakers_stand_inside_names_of_clips(source: Any) -> None:
    source.wav("aishell/wav/train/S0002/BAC009S0002W0122.wav", "aishell/wav/dev/S0724/BAC009S0724W0121.wav")
    source.wav("ravdess/Actor_01/03-01.wav", "ravdess/Actor_02/03-02.wav")
    source.wav("tts/train-clean-100/103/1241/103_1_0.wav", "tts/dev-clean/84/121/84_1_0.wav")
    source.wav("none/S0002/S00021.wav", "none/S0003/S00031.wav")
    rows = source.ingest().rows
    assert Counter((row.corpus, row.speaker, row.split) for row in rows) == Counter([
        ("aishell", "S0002", "train"), ("aishell", "S0724", "val"), ("ravdess", "Actor_01", None), ("ravdess", "Actor_02", None),
        ("tts", "103", "train"), ("tts", "84", "val"), ("none", None, None), ("none", None, None),
    ])  # fmt: skip


def test_lyrics_have_times(source: Any) -> None:
    source.wav("songs/one.wav", seconds=10.0)
    source.text(
        "songs/one.lrc", "[ti:One]", "[00:01.00]First <00:01.50>line", "[00:04.50][00:08.00]Refrain", "[00:07.00]"
    )
    rows = source.ingest().rows
    assert [(row.first_sample, row.num_samples, row.given_text) for row in rows] == [
        (8_000, 28_000, "First line"),
        (36_000, 20_000, "Refrain"),
        (64_000, 16_000, "Refrain"),
    ]


def test_a_translation_is_not_what_is_said_nor_is_a_title(source: Any) -> None:
    source.wav("kss/1/1_0000.wav", "kss/1/1_0001.wav", "maestro/2004/M1.wav", "notes/n.wav")
    source.text(
        "kss/transcript.txt",
        "1/1_0000.wav|그는 괜찮은 척하려고 애쓰는 것 같았다.|3.5|He seemed to be pretending to be okay.",
        "1/1_0001.wav|그녀의 사랑을 얻기 위해 애썼지만 헛수고였다.|3.7|I tried to win her love, but in vain.",
    )
    columns = "canonical_composer,canonical_title,split,audio_filename"
    source.text("maestro/maestro.csv", columns, "Alban Berg,Sonata for Piano Op. 1,train,2004/M1.wav")
    # Many more words than stand in the column before them are the text.
    source.text("notes/list.txt", "n.wav|by Ann|this is a sentence of some more words")
    rows = {row.path: row for row in source.ingest().rows}
    assert rows["kss/1/1_0000.wav"].given_text == "그는 괜찮은 척하려고 애쓰는 것 같았다."
    assert (rows["maestro/2004/M1.wav"].given_text, rows["maestro/2004/M1.wav"].given_title) == (
        None, "Sonata for Piano Op. 1",
    )  # fmt: skip
    assert rows["notes/n.wav"].given_text == "this is a sentence of some more words"


def test_times_of_a_dialogue_are_no_words(source: Any) -> None:
    source.wav(*(f"iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_{one}.wav" for one in ("F000", "M001")))
    source.text(
        "iemocap/Session1/dialog/transcriptions/Ses01F_impro01.txt",
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.",
        "Ses01F_impro01_M001 [010.0000-012.5000]: Yeah, what?",
    )
    assert {row.given_text for row in source.ingest().rows} == {"Excuse me.", "Yeah, what?"}


def test_prompts_of_festvox_are_of_the_voice_beside_them(source: Any) -> None:
    for voice in ("slt", "bdl"):
        source.wav(f"cmu/cmu_us_{voice}_arctic/wav/arctic_a0001.wav")
        source.text(
            f"cmu/cmu_us_{voice}_arctic/etc/txt.done.data", f'( arctic_a0001 "Author, says \\"{voice}\\"." )', "oops"
        )
    made = source.ingest()
    assert {(row.path.split("_")[2], row.given_text) for row in made.rows} == {
        ("slt", 'Author, says "slt".'),
        ("bdl", 'Author, says "bdl".'),
    }
    assert set(made.reasons().values()) == {"bad_line"}


def test_words_of_thchs_are_the_first_line_and_tags_of_jamendo_are_columns(source: Any) -> None:
    source.wav("thchs/data/A11_0.wav", "jamendo/48/948.wav")
    source.text("thchs/data/A11_0.wav.trn", "绿 是 阳春 烟景", "lv4 shi4 yang2", "l v4 sh ix4")
    source.text("jamendo/tags.tsv", "TRACK_ID\tPATH\tTAGS", "track_1\t48/948.wav\tgenre---rock\tmood---happy")
    jamendo, thchs = source.ingest().rows
    assert (thchs.given_text, jamendo.given_tags) == ("绿 是 阳春 烟景", ["genre---rock", "mood---happy"])


def test_stems_of_a_song_are_its_parts(source: Any) -> None:
    source.wav(*(f"musdb/train/A - B/{one}.wav" for one in ("mixture", "vocals", "drums", "bass", "other")))
    source.wav("kit/drums.wav", "kit/bass.wav", "kit/cowbell.wav")
    rows = source.ingest().rows
    assert Counter((row.part_of, row.part) for row in rows if row.corpus == "musdb") == Counter(
        ("train/A - B", part) for part in (None, "vocals", "drums", "bass", "other")
    )
    assert {row.part_of for row in rows if row.corpus == "kit"} == {None}


def test_subtitles_of_a_download_have_a_language_and_two_of_them_are_asked_about(source: Any) -> None:
    for name in ("one/Talk [a1].wav", "two/Talk [b2].wav"):
        source.wav(name, seconds=4.0)
    cues = ("WEBVTT", "", "00:00:01.000 --> 00:00:03.000", "hello<00:00:02.000><c> there</c>")
    source.text("one/Talk [a1].en-US.vtt", *cues)
    source.text("one/Talk [a1].info.json", json.dumps({"title": "Talk", "tags": ["speech"], "description": "buy this"}))
    source.text("one/Talk [a1].cut.vtt", *cues[:3], "no language is called so")
    source.text("two/Talk [b2].en.vtt", *cues)
    source.text("two/Talk [b2].de.vtt", *cues[:3], "hallo da")
    made = source.ingest()
    one, two = made.rows
    assert (one.given_text, one.language, one.given_title, one.given_tags) == ("hello there", "en", "Talk", ["speech"])
    assert not one.given_captions and two.given_text is None
    assert made.reasons() == {
        "one/Talk [a1].cut.vtt": "unsupported",
        **{f"two/Talk [b2].{language}.vtt": "other_language" for language in ("de", "en")},
    }
    source.text("corpora/two.toml", 'language = "de"')
    made = source.ingest()
    assert made.rows[-1].given_text == "hallo da"


def test_a_converted_corpus_has_the_labels_of_its_old_names(source: Any) -> None:
    source.wav("cv/en/clips/common_voice_en_1.wav", "table/wavs/a.wav", "table/wavs/b.wav", "table/old/b.flac")
    columns = "client_id\tpath\tsentence\tlocale"
    source.text("cv/en/train.tsv", columns, "abc\tcommon_voice_en_1.mp3\tHello.\ten")
    source.text("table/covost.en_de.train.tsv", "path\tsentence", "wavs/a.mp3\tgood morning", "wavs/b.mp3\tgood night")
    made = source.ingest()
    assert {row.path: (row.given_text, row.split) for row in made.rows} == {
        "cv/en/clips/common_voice_en_1.wav": ("Hello.", "train"), "table/wavs/a.wav": ("good morning", "train"),
        "table/wavs/b.wav": (None, None), "table/old/b.flac": (None, None),
    }  # fmt: skip
    assert made.reasons() == {"table/wavs/b.mp3": "missing"}, "which of two it is nobody can tell"


def test_spelling_between_characters_and_names_behind_words_are_no_words(source: Any) -> None:
    source.wav("aishell3/train/wav/SSB0005/SSB00050001.wav", "nist/x.wav", "dict/a.wav")
    source.text("aishell3/train/content.txt", "SSB00050001.wav\t广 guang3 州 zhou1 女 nv3")
    source.text("nist/x.trn", "hello world (x-001)")
    source.text("dict/labels.json", json.dumps({"a.wav": "plain text here"}))
    assert sorted(row.given_text or "" for row in source.ingest().rows) == [
        "hello world",
        "plain text here",
        "广 州 女",
    ]


def test_who_speaks_when_is_a_clip_each_where_nobody_tells_the_words(source: Any) -> None:
    source.wav("ami/m1.wav", "told/m2.wav", seconds=8.0)
    turn = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>"
    source.text(
        "ami/all.rttm", turn.format("m1", 0.5, 3, "ann"), turn.format("m1", 4, 3.5, "bob"), turn.format("m9", 0, 1, "x")
    )
    source.text("told/m2.rttm", turn.format("m2", 0.5, 3, "ann"))
    source.text("told/m2.txt", "all that is said")
    made = source.ingest()
    assert [(row.path, row.first_sample, row.num_samples, row.speaker, row.given_text) for row in made.rows] == [
        ("ami/m1.wav", 4_000, 24_000, "ann", None),
        ("ami/m1.wav", 32_000, 28_000, "bob", None),
        ("told/m2.wav", 0, 64_000, None, "all that is said"),
    ]
    assert made.reasons() == {"ami/all.rttm": "unknown_recording", "told/m2.rttm": "other_labels"}
