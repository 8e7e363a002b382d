"""Kaldi data folders as toolkits and people write them."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from uniaudio_pipelines.source_to_raw.formats import archives
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.kaldi import Kaldi
from uniaudio_schemas.kinds.raw import Fact


def folder_of(root: Path, files: dict[str, str | bytes]) -> Folder:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return Folder(root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()))


def read(root: Path, files: dict[str, str | bytes]) -> tuple[list[Label], list[Problem]]:
    folder = folder_of(root, files)
    claim = Kaldi().claim(folder)
    assert claim is not None
    rows = list(Kaldi().labels(folder, claim))
    return [row for row in rows if isinstance(row, Label)], [row for row in rows if isinstance(row, Problem)]


TRAIN: dict[str, str | bytes] = {
    "audio/rec1.wav": "",
    "audio/rec2.wav": "",
    "data/train/wav.scp": "rec1 audio/rec1.wav\nrec2 ../../audio/rec2.wav\n",
    "data/train/segments": "spk1-a rec1 0.10 1.20\nspk1-b rec1 1.5 -1\nspk2-a rec2 0 2\n",
    "data/train/text": "spk1-a HAS JOINED THE CONFERENCE.\nspk1-b HAS LEFT\u2028IT\nspk2-a I'M SORRY\n",
    "data/train/utt2spk": "spk1-a spk1\nspk1-b spk1\nspk2-a spk2\n",
    "data/train/spk2utt": "spk1 spk1-a spk1-b\nspk2 spk2-a\n",
}


def test_an_utterance_has_its_stretch_its_words_its_speaker_and_the_split_of_its_folder(tmp_path):
    labels, problems = read(tmp_path, TRAIN)
    assert not problems
    assert labels[0] == Label(
        path="audio/rec1.wav", start_s=0.1, end_s=1.2, utterance="spk1-a", recording="rec1", domain="speech", speaker="spk1",
        given_text="HAS JOINED THE CONFERENCE.", split="train", said_by="data/train/segments: line 1",
    )  # fmt: skip
    assert [label.path for label in labels] == ["audio/rec1.wav", "audio/rec1.wav", "audio/rec2.wav"]
    assert labels[1].end_s is None and labels[1].given_text == "HAS LEFT\u2028IT"


def test_speakers_with_their_utterances_are_speakers_too(tmp_path):
    labels, problems = read(tmp_path, {name: data for name, data in TRAIN.items() if not name.endswith("utt2spk")})
    assert not problems
    assert [label.speaker for label in labels] == ["spk1", "spk1", "spk2"]


def test_a_claim_names_all_files_of_the_folder_and_says_what_was_found(tmp_path):
    claim = Kaldi().claim(folder_of(tmp_path, TRAIN | {"data/train/notes.txt": "x"}))
    assert claim is not None and claim.summary == "Kaldi: 1 data folders (data/train), 1 with segments"
    assert claim.label_files == tuple(
        f"data/train/{name}" for name in ("segments", "spk2utt", "text", "utt2spk", "wav.scp")
    )


@pytest.mark.parametrize("files", [{"a.wav": ""}, {"wav.scp": ""}, {"wav.scp": "one\n"}, {"text": "a b\n"}])
def test_what_has_no_list_of_recordings_is_not_claimed(tmp_path, files):
    assert Kaldi().claim(folder_of(tmp_path, files)) is None


def test_a_command_is_refused_with_its_utterances_and_never_run(tmp_path):
    proof = tmp_path / "proof"
    scp = f"rec1 touch {proof}; sox /corpora/{'x' * 90}.wav -t wav - |\nrec2 audio/rec2.wav\n"
    labels, problems = read(tmp_path, TRAIN | {"data/train/wav.scp": scp})
    assert [label.utterance for label in labels] == ["spk2-a"]
    (problem,) = problems
    assert problem.reason == "pipe_refused" and problem.path == "data/train/wav.scp"
    assert "line 1" in problem.detail and "(2 utterances)" in problem.detail and f"touch {proof}"[:40] in problem.detail
    assert len(problem.detail) < 140
    assert not proof.exists()


def test_without_segments_each_recording_is_an_utterance(tmp_path):
    files: dict[str, str | bytes] = {
        "dev_clean/wav.scp": "\ufeffutt1\twav/a b.wav\r\nutt2 gone.wav\r\n",
        "dev_clean/wav/a b.wav": "",
        "dev_clean/text": "utt1\tzwei  Wörter\r\nutt2\r\n",
        "dev_clean/utt2lang": "utt1 de\n",
        "dev_clean/utt2spk": "utt1 s1\n",
        "dev_clean/spk2gender": "s1 f\n",
    }
    labels, problems = read(tmp_path, files)
    assert labels == [
        Label(
            path="dev_clean/wav/a b.wav", utterance="utt1", domain="speech", speaker="s1", given_text="zwei  Wörter", language="de",
            split="val", facts=(Fact(name="gender", value="f"),), said_by="dev_clean/wav.scp: line 1",
        )
    ]  # fmt: skip
    assert [(problem.reason, "gone.wav" in problem.detail) for problem in problems] == [("missing", True)]


def test_sides_of_a_telephone_call_become_channels(tmp_path):
    files = {
        "sw1.wav": "",
        "wav.scp": "sw1 sw1.wav\nsw1-C sw1.wav\n",
        "segments": "a sw1-A 0 1\nb sw1-B 0 1\nc sw1-C 0 1\nd sw1 0 1 1\n",
        "reco2file_and_channel": "sw1-A sw1 A\nsw1-B sw1 2\nsw1-C sw1 C\n",
    }
    labels, problems = read(tmp_path, files)
    assert [(label.utterance, label.channel) for label in labels] == [("a", 0), ("b", 1), ("c", None), ("d", 1)]
    assert [problem.path for problem in problems] == ["reco2file_and_channel"]


def test_a_bad_line_costs_that_line_and_nothing_else(tmp_path):
    segments = (
        "spk1-a rec1 0.10 1.20\nx rec1 nan 2\ny rec1 2 1\nz rec9 0 1\nv rec1 0\nspk1-b rec1 1.5 inf\nspk2-a rec2 0 2\n"
    )
    text = b"spk1-a ONE\nspk1-b \xff\nspk2-a TWO\nspk9 LOST\n"
    labels, problems = read(tmp_path, TRAIN | {"data/train/segments": segments, "data/train/text": text})
    assert [(label.utterance, label.given_text) for label in labels] == [("spk1-a", "ONE"), ("spk2-a", "TWO")]
    assert sorted((problem.reason, problem.detail[:6]) for problem in problems) == [
        ("bad_line", "line 2"), ("bad_line", "line 3"), ("bad_line", "line 5"), ("bad_line", "line 6"), ("not_utf8", "line 2"),
        ("unknown_recording", "line 4"), ("unknown_utterance", "1 of 3"),
    ]  # fmt: skip


def test_files_in_another_order_are_joined_all_the_same(tmp_path):
    text = "spk2-a THREE\nspk1-b TWO\nspk1-a ONE\n"
    labels, problems = read(tmp_path, TRAIN | {"data/train/text": text})
    assert [label.given_text for label in labels] == ["ONE", "TWO", "THREE"] and not problems
    segments = "spk2-a rec2 0 2\nspk1-b rec1 1.5 3\nspk1-a rec1 0 1\n"
    labels, _ = read(tmp_path, TRAIN | {"data/train/segments": segments})
    assert [label.speaker for label in labels] == ["spk2", "spk1", "spk1"]
    assert labels[2].given_text == "HAS JOINED THE CONFERENCE."


def test_paths_are_absolute_or_of_a_machine_that_the_corpus_was_moved_from(tmp_path):
    scp = f"a {tmp_path}/audio/rec1.wav\nb /export/ks/audio/rec2.wav\nc /export/other/audio/rec1.wav\nd /etc/rec1.wav\ne ../../../x.wav\n"
    files = {name: data for name, data in TRAIN.items() if name.startswith("audio")} | {"data/test/wav.scp": scp}
    labels, problems = read(tmp_path, files)
    assert [(label.utterance, label.path) for label in labels] == [("a", "audio/rec1.wav"), ("b", "audio/rec2.wav")]
    assert [problem.reason for problem in problems] == ["missing"] * 3


def test_a_name_alone_is_no_evidence_of_a_file_but_with_the_corpus_folder_it_is(tmp_path):
    files: dict[str, str | bytes] = {
        "rec1.wav": "",
        "data/wav.scp": f"a /other/rec1.wav\nb /old/{tmp_path.name}/rec1.wav\n",
    }
    labels, problems = read(tmp_path, files)
    assert [(label.utterance, label.path) for label in labels] == [("b", "rec1.wav")]
    assert [problem.reason for problem in problems] == ["missing"]


def test_pieces_cut_for_jobs_are_not_read_again(tmp_path):
    pieces = {f"data/train/split2/{number}/wav.scp": "rec1 audio/rec1.wav\n" for number in (1, 2)}
    labels, _ = read(tmp_path, TRAIN | pieces)
    assert len(labels) == 3
    claim = Kaldi().claim(folder_of(tmp_path, {}))
    assert claim is not None and set(pieces) <= set(claim.label_files)


def test_memory_does_not_grow_with_sorted_utterances(tmp_path):
    def peak(num: int) -> int:
        names = [f"utt{number:06d}" for number in range(num)]
        root = tmp_path / str(num)
        folder = folder_of(root, {
            "a.wav": "", "wav.scp": "rec a.wav\n",
            "segments": "".join(f"{name} rec 0 1\n" for name in names),
            "text": "".join(f"{name} {'WORD ' * 20}\n" for name in names),
        })  # fmt: skip
        claim = Kaldi().claim(folder)
        assert claim is not None
        tracemalloc.start()
        assert sum(isinstance(row, Label) for row in Kaldi().labels(folder, claim)) == num
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    # Rows of 150 bytes that were held would be 375 kB more.
    assert peak(3000) - peak(500) < 100_000


def test_a_folder_that_cannot_be_read_is_a_problem(tmp_path):
    folder = folder_of(tmp_path, TRAIN)
    claim = Kaldi().claim(folder)
    assert claim is not None
    (tmp_path / "data/train/text").unlink()
    rows = list(Kaldi().labels(folder, claim))
    assert [row.reason for row in rows if isinstance(row, Problem)] == ["unreadable"]
    assert sum(isinstance(row, Label) for row in rows) == 3


def a_wav(num_samples: int, value: int) -> bytes:
    """8 kHz, every sample `value`."""
    data = struct.pack("<h", value) * num_samples
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, 1, 8_000, 16_000, 2, 16, b"data", len(data))  # fmt: skip
    return header + data


def kaldiio_audio(data: bytes) -> bytes:
    digits = (len(data).bit_length() + 7) // 8
    return b"AUDIO" + bytes([digits]) + len(data).to_bytes(digits, "little") + data


def archive(sounds: dict[str, bytes]) -> tuple[bytes, dict[str, int]]:
    """The archive, and where a line of `scp` points for each key."""
    data, offsets = b"", {}
    for key, sound in sounds.items():
        offsets[key] = len(data) + len(key) + 1
        data += f"{key} ".encode() + sound
    return data, offsets


def test_recordings_in_archives_are_the_sounds_that_their_lines_point_at(tmp_path):
    data, offsets = archive({"rec1": a_wav(100, 1), "rec2": kaldiio_audio(a_wav(300_000, 2)), "rec3": a_wav(50, 3)})
    # A list may call a recording as it likes, and give them in any order.
    scp = "".join(f"{new} raw/wav.1.ark:{offsets[key]}\n" for new, key in (("b", "rec3"), ("a", "rec1"), ("c", "rec2")))
    files: dict[str, str | bytes] = {
        "raw/wav.1.ark": data,
        "train/wav.scp": scp,
        "train/text": "a ONE\nb THREE\nc TWO\n",
    }
    labels, problems = read(tmp_path, files)
    assert not problems
    assert {label.path: label.given_text for label in labels} == {
        "raw/wav.1.ark/rec1": "ONE", "raw/wav.1.ark/rec2": "TWO", "raw/wav.1.ark/rec3": "THREE",
    }  # fmt: skip
    walked = dict(Kaldi().walk(tmp_path / "raw/wav.1.ark"))
    assert walked == {"rec1": a_wav(100, 1), "rec2": a_wav(300_000, 2), "rec3": a_wav(50, 3)}
    assert all(Kaldi().open_audio(tmp_path / "raw/wav.1.ark", key) == sound for key, sound in walked.items())


def test_segments_cut_a_recording_of_an_archive(tmp_path):
    data, offsets = archive({"rec1": a_wav(100, 1)})
    labels, problems = read(tmp_path, {
        "wav.ark": data, "data/wav.scp": f"rec1 wav.ark:{offsets['rec1']}\n", "data/segments": "a rec1 0.001 0.01\n",
        "data/text": "a SHORT\n",
    })  # fmt: skip
    (label,) = labels
    assert not problems
    assert (label.path, label.start_s, label.end_s, label.given_text) == ("wav.ark/rec1", 0.001, 0.01, "SHORT")


def test_archives_of_features_are_no_audio_and_a_place_where_no_sound_begins_is_told(tmp_path):
    data, offsets = archive({"rec1": a_wav(100, 1), "rec2": a_wav(100, 2)})
    folder = folder_of(tmp_path, {
        "wav.1.ark": data, "wav.2.ark": data[:-10], "mfcc.1.ark": b"rec1 \0BFM \4\0\0\0",
        "wav.scp": f"a wav.1.ark:{offsets['rec2'] + 1}\nb wav.2.ark:{offsets['rec2']}\nc wav.3.ark:5\nd wav.2.ark:5\n",
    })  # fmt: skip
    claim = Kaldi().claim(folder)
    assert claim is not None and claim.containers == ("wav.1.ark", "wav.2.ark")
    rows = list(Kaldi().labels(folder, claim))
    assert [row.path for row in rows if isinstance(row, Label)] == ["wav.2.ark/rec1"]
    first, second, third = (row for row in rows if isinstance(row, Problem))
    assert {first.reason, second.reason, third.reason} == {"missing"}
    assert "where no sound does" in first.detail and "the archive ends before" in second.detail
    assert "wav.3.ark is none" in third.detail


def test_a_wav_that_was_written_as_a_stream_ends_an_archive_with_its_reason(tmp_path):
    stream = bytearray(a_wav(100, 1))
    stream[4:8] = struct.pack("<I", 0xFFFFFFFF)
    data, _ = archive({"rec1": a_wav(100, 1), "rec2": bytes(stream), "rec3": a_wav(100, 3)})
    (tmp_path / "wav.ark").write_bytes(data)
    found, wrong = archives.index_of(tmp_path / "wav.ark")
    assert list(found) == ["rec1"] and "written as a stream" in wrong
