"""What programs write beside a sound when people transcribe, annotate or download it: nothing of it is lost, and nobody's words are another's."""

import json
from collections import Counter
from typing import Any

from uniaudio_pipelines.source_to_raw.survey import survey

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="ts3"/></TIME_ORDER>
<TIER TIER_ID="A" PARTICIPANT="Ann"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>good day to you</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>when was this</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="A-de" PARENT_REF="A"><ANNOTATION><REF_ANNOTATION ANNOTATION_REF="a1">
<ANNOTATION_VALUE>guten Tag</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
EXB = """<?xml version="1.0" encoding="UTF-8"?><basic-transcription><head><speakertable><speaker id="SPK0">
<abbreviation>ANN</abbreviation></speaker></speakertable></head><basic-body><common-timeline><tli id="T0" time="0.5"/>
<tli id="T1" time="1.5"/></common-timeline><tier speaker="SPK0" category="v" type="t"><event start="T0" end="T1">hello you </event></tier>
<tier speaker="SPK0" category="en" type="a"><event start="T0" end="T1">a translation</event></tier></basic-body></basic-transcription>"""
TRS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans><Speakers><Speaker id="spk1" name="Ann"/><Speaker id="spk2" name="Bob"/></Speakers><Episode><Section startTime="0" endTime="4">
<Turn speaker="spk1" startTime="0" endTime="2"><Sync time="0"/>hello you<Sync time="1"/>bye now</Turn>
<Turn speaker="spk1 spk2" startTime="2" endTime="4"><Sync time="2"/><Who nb="1"/>yes<Who nb="2"/>no</Turn></Section></Episode></Trans>"""
TTML = """<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml" xml:lang="en"><body><div>
<p begin="00:00:00.500" end="1.5s">hello<br/>you</p></div></body></tt>"""


def said(rows: list[Any]) -> dict[str, list[tuple[float, float, str | None, str | None]]]:
    """Name of the sound -> start, end, text and speaker of each clip, in seconds."""
    by_name: dict[str, list[tuple[float, float, str | None, str | None]]] = {}
    for row in rows:
        start_s, end_s = row.first_sample / 8_000, (row.first_sample + row.num_samples) / 8_000
        by_name.setdefault(row.path.rpartition("/")[2][:-4], []).append((start_s, end_s, row.given_text, row.speaker))
    return by_name


def test_annotations_of_linguists_have_speakers_and_no_translations(source: Any) -> None:
    source.wav(*(f"c/{name}.wav" for name in ("elan", "exma", "trans", "ttml", "chat")), seconds=4.0)
    for name, end, text in (("elan", "eaf", EAF), ("exma", "exb", EXB), ("trans", "trs", TRS), ("ttml", "ttml", TTML)):
        source.text(f"c/{name}.{end}", text)
    source.text(
        "c/chat.cha", "@Languages:\ten", "*FAT:\thello there &-uh Ross . \x15500_1500\x15", "%mor:\tco|hello",
        "*CHI:\tI want [/] want (be)cause", "\txxx please ! \x152000_3500\x15", "*FAT:\tno times here .",
    )  # fmt: skip
    made = source.ingest()
    assert said(made.rows) == {
        "elan": [(0.5, 1.5, "good day to you", "Ann")],
        "exma": [(0.5, 1.5, "hello you", "ANN")],
        "trans": [(0.0, 1.0, "hello you", "Ann"), (1.0, 2.0, "bye now", "Ann")],
        "ttml": [(0.5, 1.5, "hello you", None)],
        "chat": [(0.5, 1.5, "hello there Ross.", "chat FAT"), (2.0, 3.5, "I want want because please!", "chat CHI")],
    }
    assert made.reasons() == {"c/elan.eaf": "bad_times"}


def test_captions_that_roll_are_told_once(source: Any) -> None:
    source.wav(*(f"c/{name}.wav" for name in ("roll", "song", "json")), seconds=8.0)
    source.text(
        "c/roll.en.vtt", "WEBVTT", "Kind: captions", "", "00:00:00.500 --> 00:00:02.000 align:start position:0%", " ",
        "hello<00:00:00.800><c> my</c><00:00:01.200><c> friends</c>", "", "00:00:02.000 --> 00:00:02.010 align:start", "hello my friends",
        " ", "", "00:00:02.010 --> 00:00:04.000", "hello my friends", "how<00:00:02.400><c> are</c><00:00:03.000><c> you</c>", "",
        "00:00:04.000 --> 00:00:04.010", "how are you", " ", "", "00:00:04.010 --> 00:00:06.000", "how are you", "well<00:00:05.000><c> thanks</c>",
    )  # fmt: skip
    lines = (("la la", "oh yes"), ("la la", "oh no"), ("la la",))
    cues = ((f"{at}", f"00:00:0{at},000 --> 00:00:0{at},900", *said, "") for at, said in enumerate(lines, 1))
    source.text("c/song.srt", *(line for cue in cues for line in cue))
    events = [
        {"tStartMs": 0, "dDurationMs": 8_000, "id": 1},
        {"tStartMs": 500, "dDurationMs": 3_000, "segs": [{"utf8": "hello"}, {"utf8": " my", "tOffsetMs": 400}]},
        {"tStartMs": 2_000, "dDurationMs": 1_500, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 2_010, "dDurationMs": 2_000, "segs": [{"utf8": "how are you"}]},
    ]
    source.text("c/json.en.json3", json.dumps({"events": events}))
    made = source.ingest()
    assert said(made.rows) == {
        "roll": [
            (0.5, 2.0, "hello my friends", None),
            (2.01, 4.0, "how are you", None),
            (4.01, 6.0, "well thanks", None),
        ],
        "song": [(1.0, 1.9, "la la oh yes", None), (2.0, 2.9, "la la oh no", None), (3.0, 3.9, "la la", None)],
        "json": [(0.5, 2.01, "hello my", None), (2.01, 4.01, "how are you", None)],
    }
    assert made.dropped == [] and {row.language for row in made.rows if "song" not in row.path} == {"en"}


def test_subtitles_of_every_hand_are_read(source: Any) -> None:
    source.wav(*(f"c/{name}.wav" for name in ("ass", "tight", "voices", "sbv", "latin")), seconds=4.0)
    source.text(
        "c/ass.ass", "[Events]", "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
        "Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,not said",
        "Dialogue: 0,0:00:00.50,0:00:01.50,Default,Ann,0,0,0,,{\\i1}Hello,{\\i0} you\\Nthere",
        "Dialogue: 0,0:00:02.00,0:00:03.00,Sign,,0,0,0,,{\\p1}m 0 0 l 100 0",
    )  # fmt: skip
    # No blank line in between.
    source.text("c/tight.srt", "1", "00:00:00,500 --> 00:00:01,500", "one", "2", "00:00:02,000 --> 00:00:03,000", "two")
    source.text(
        "c/voices.vtt", "WEBVTT", "", "NOTE nobody says this", "", "intro", "00:00.500 --> 00:01.500 align:start", "<v Ann Lee>Hello</v> you",
        "", "00:02.000 --> 00:03.000", "<v.loud Bob>Bye</v>", "<v Ann Lee>See you</v>", "", "NOTE nor this",
    )  # fmt: skip
    source.text("c/sbv.sbv", "0:00:00.500,0:00:01.500", "hello[br]you", "", "0:00:02.000,0:00:03.000", "bye")
    source.bytes("c/latin.srt", "1\r\n00:00:00,500 --> 00:00:01,500\r\nGrüß dich\r\n".encode("cp1252"))
    made = source.ingest()
    assert said(made.rows) == {
        "ass": [(0.5, 1.5, "Hello, you there", "Ann")],
        "tight": [(0.5, 1.5, "one", None), (2.0, 3.0, "two", None)],
        # Words of two people are neither's.
        "voices": [(0.5, 1.5, "Hello you", "Ann Lee"), (2.0, 3.0, "Bye See you", None)],
        "sbv": [(0.5, 1.5, "hello you", None), (2.0, 3.0, "bye", None)],
        "latin": [(0.0, 4.0, None, None)],
    }
    (problem,) = made.dropped
    assert problem["reason"] == "not_utf8" and "encoding" in problem["detail"]


def test_what_recognizers_write_has_stretches_speakers_and_words(source: Any) -> None:
    words = [{"word": "hello", "start": 0.5, "end": 1.0}, {"word": "you", "start": 1.0, "end": 1.5}]
    utterances = [{"start": 0.5, "end": 1.5, "transcript": "Hello you.", "words": words, "speaker": 0, "channel": 0}]
    channels = [{"alternatives": [{"transcript": "Hello you.", "words": words}]}]
    items = [
        {"start_time": "0.5", "end_time": "1.0", "alternatives": [{"content": "Hello"}]},
        {"start_time": "1.0", "end_time": "1.5", "alternatives": [{"content": "you"}]},
        {"alternatives": [{"content": "."}]},
    ]
    turns = [{"start_time": "0.4", "end_time": "1.6", "speaker_label": "spk_0"}]
    parts = [{"offsets": {"from": 500, "to": 1_500}, "timestamps": {"from": "00:00:00,500"}, "text": " Hello you."}]
    best = {"transcript": "hello you", "words": [{"word": "hello", "startTime": "0.500s", "endTime": "1s"}]}
    phrases = [
        {"offsetInTicks": 5e6, "durationInTicks": 1e7, "channel": 0, "speaker": 1, "nBest": [{"display": "Hello you."}]}
    ]
    assembly = [
        {"start": 500, "end": 1_500, "text": "Hello you.", "speaker": "A"}, {"start": 2_000, "end": 3_000, "text": "Bye.", "speaker": "B"},
    ]  # fmt: skip
    told = {
        "deepgram": {"metadata": {"channels": 1}, "results": {"channels": channels, "utterances": utterances}},
        "plain": {"results": {"channels": channels}},
        "amazon": {"results": {"transcripts": [{"transcript": "Hello you."}], "speaker_labels": {"segments": turns}, "items": items}},
        "cpp": {"params": {"language": "de"}, "result": {"language": "en"}, "transcription": parts},
        "google": {"results": [{"alternatives": [best], "languageCode": "en-us"}, {"alternatives": [{"transcript": " bye"}]}]},
        "azure": {"recognizedPhrases": phrases},
        "assembly": {"text": "Hello you. Bye.", "words": [{"text": "Hello", "start": 500, "end": 900}], "utterances": assembly},
        "vosk": {"result": [{"conf": 1.0, **word} for word in words], "text": "hello you"},
        "whisper": {"text": " Hello you.", "segments": [{"start": 0.5, "end": 1.5, "text": " Hello you.", "words": words, "tokens": [1]}]},
        "list": [{"start": 0.5, "end": 1.5, "text": "Hello you."}],
    }  # fmt: skip
    for name, values in told.items():
        source.wav(f"c/{name}.wav", seconds=4.0)
        source.text(f"c/{name}.json", json.dumps(values))
    made = source.ingest()
    assert said(made.rows) == {
        "deepgram": [(0.5, 1.5, "Hello you.", "deepgram 0")],
        "plain": [(0.0, 4.0, "Hello you.", None)],
        "amazon": [(0.4, 1.6, "Hello you.", "amazon spk_0")],
        "cpp": [(0.5, 1.5, "Hello you.", None)],
        "google": [(0.0, 4.0, "hello you bye", None)],
        "azure": [(0.5, 1.5, "Hello you.", "azure 1")],
        "assembly": [(0.5, 1.5, "Hello you.", "assembly A"), (2.0, 3.0, "Bye.", "assembly B")],
        "vosk": [(0.0, 4.0, "hello you", None)],
        "whisper": [(0.0, 4.0, "Hello you.", None)],
        "list": [(0.5, 1.5, "Hello you.", None)],
    }
    rows = {row.path[2:-4]: row for row in made.rows}
    assert (rows["cpp"].language, rows["google"].language) == ("en", "en")
    for name, first in (("deepgram", 0), ("amazon", 800), ("vosk", 4_000), ("whisper", 4_000), ("plain", 4_000)):
        assert [word.word.lower() for word in rows[name].given_words] == ["hello", "you"]
        assert rows[name].given_words[0].first_sample == first
    assert not rows["whisper"].facts, "numbers of tokens are nothing that anybody says"


def test_speakers_that_are_counted_in_each_recording_are_not_one_person(source: Any) -> None:
    source.wav("c/a.wav", "c/b.wav", "d/x.wav", "d/y.wav", seconds=4.0)
    for name in ("a", "b"):
        segments = [{"start": 0.5, "end": 1.5, "text": "hello you", "speaker": "SPEAKER_00"}]
        source.text(f"c/{name}.json", json.dumps({"segments": segments}))
    source.text(
        "d/all.rttm", *(f"SPEAKER {name} 1 0.5 1.0 <NA> <NA> {who} <NA> <NA>" for name in "xy" for who in ("ann",))
    )
    assert [(row.path, row.speaker) for row in source.ingest().rows] == [
        ("c/a.wav", "a SPEAKER_00"), ("c/b.wav", "b SPEAKER_00"), ("d/x.wav", "ann"), ("d/y.wav", "ann"),
    ]  # fmt: skip


def test_lines_with_times_of_every_kind_are_no_words(source: Any) -> None:
    source.wav("c/whole.wav", "fisher/mono.wav", "ted/talk.wav", "bk/s01.wav", "w/a.wav", seconds=4.0)
    source.wav("fisher/call.wav", seconds=4.0, channels=2)
    source.text("c/whole.txt", "0\t1.5\thello you", "2\t3\tbye")
    for name in ("call", "mono"):
        source.text(
            f"fisher/{name}.txt",
            "# fe_03.sph",
            "# Transcribed at the LDC",
            "",
            "0.76 1.54 A: hello",
            "",
            "1.97 3.01 B: hi there",
        )
    source.text(
        "ted/stm/talk.stm", "talk 1 Ann 0.5 1.5 <NA> hello you(2) there", "talk 1 Ann 2.0 3.0 <o,f0,male> bye now",
        "talk 1 inter_segment_gap 1.5 2.0 <NA> ignore_time_segment_in_scoring",
    )  # fmt: skip
    source.text(
        "bk/s01.words", "signal s01", "type 0", "#", "  0.5  122 {B_TRANS}; B; B; null", "  1.25 122 okay; ow k ey; k ey; UH",
        "  1.5 122 <SIL>; S; S; null", "  2.0 122 hello; hh eh l ow; hh l ow; UH",
    )  # fmt: skip
    source.text("w/a.tsv", "start\tend\ttext", "500\t1500\thello you", "2000\t2500\tbye now")
    made = source.ingest()
    assert said(made.rows) == {
        "whole": [(0.0, 1.5, "hello you", None), (2.0, 3.0, "bye", None)],
        "call": [(0.76, 1.54, "hello", "call A"), (1.97, 3.01, "hi there", "call B")],
        "mono": [(0.76, 1.54, "hello", "mono A"), (1.97, 3.01, "hi there", "mono B")],
        "talk": [(0.5, 1.5, "hello you there", "Ann"), (2.0, 3.0, "bye now", "Ann")],
        "s01": [(0.0, 4.0, "okay hello", None)],
        "a": [(0.5, 1.5, "hello you", None), (2.0, 2.5, "bye now", None)],
    }
    assert [row.source_channel for row in made.rows if "fisher" in row.path] == [0, 1, None, None]
    (words,) = [row.given_words for row in made.rows if row.given_words]
    assert [(one.word, one.first_sample, one.num_samples) for one in words] == [
        ("okay", 4_000, 6_000),
        ("hello", 12_000, 4_000),
    ]


def test_labels_of_many_sounds_in_one_file_of_htk(source: Any) -> None:
    source.wav("c/wav/a.wav", "c/wav/b.wav", seconds=2.0)
    source.text(
        "c/all.mlf", "#!MLF!#", '"*/a.lab"', "0 5000000 sil", "5000000 10000000 HELLO", "10000000 15000000 YOU", ".", '"*/b.lab"', "GOOD",
        "BYE", ".", '"*/c.lab"', "GONE", ".", '"*/d.lab"', "NEVER",
    )  # fmt: skip
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["HELLO YOU", "GOOD BYE"]
    assert made.rows[0].given_words[0].first_sample == 4_000
    assert made.reasons() == {"c/c.wav": "missing", "c/all.mlf": "cut_short"}


def test_a_survey_survives_what_is_meant_to_break_it(source: Any) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
    junk = bytes(range(256)) * 64
    ends = ("eaf", "exb", "trs", "ttml", "cha", "ass", "srt", "vtt", "sbv", "json3", "json", "words", "txt", "textgrid")
    source.wav(*(f"junk/{end}.wav" for end in ends), "deep/a.wav", "bomb/a.wav", "xml/a.wav", "deep/j.wav")
    for end in ends:
        source.bytes(f"junk/{end}.{end}", junk)
    source.text("bomb/a.eaf", bomb)
    source.text("deep/a.eaf", "<a>" * 100_000)
    source.text("deep/j.json", "[" * 100_000)
    source.text("xml/a.trs", "<Trans><Turn></Trans>")
    reasons: Counter[str] = Counter()
    for one in survey(str(source.root)):
        reasons.update({reason: count for reason, (count, _) in one.problems.items()})
    assert reasons == {"not_utf8": len(ends), "refused": 2, "not_xml": 1, "not_json": 1}
