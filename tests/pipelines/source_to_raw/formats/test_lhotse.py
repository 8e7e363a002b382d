"""lhotse manifests and Shar folders, as its documentation describes them; hostile gzip and JSON lines."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.source_to_raw.formats.format import Folder, GivenTime, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lhotse import Lhotse, is_shar
from uniaudio_pipelines.source_to_raw.formats.lines import first_line, read_lines
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def recording(
    name: str, source: str, *, channels: tuple[int, ...] = (0,), kind: str = "file", **more: Any
) -> dict[str, Any]:
    sources = [{"type": kind, "channels": list(channels), "source": source}]
    return {"id": name, "sources": sources, "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0, **more}


def supervision(name: str, start: float = 0, duration: float = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "recording_id": name[0],
        "start": start,
        "duration": duration,
        "channel": 0,
        "text": name.upper(),
        **more,
    }


def cut(of: dict[str, Any] | None, *supervisions: dict[str, Any], name: str = "c", **more: Any) -> dict[str, Any]:
    made = {
        "id": name,
        "start": 0,
        "duration": 1.0,
        "channel": 0,
        "supervisions": list(supervisions),
        "type": "MonoCut",
    }
    return {**made, "recording": of, **more}


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def folder_of(root: Path, files: dict[str, bytes]) -> Folder:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return Folder(root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()))


def read(root: Path, files: dict[str, bytes]) -> tuple[list[Label], list[Problem]]:
    folder = folder_of(root, files)
    claim = Lhotse().claim(folder)
    assert claim is not None
    rows = list(Lhotse().labels(folder, claim))
    return [row for row in rows if isinstance(row, Label)], [row for row in rows if isinstance(row, Problem)]


def test_a_supervision_has_everything_that_it_says(tmp_path):
    said = supervision(
        "a-1", 0.1, 0.5, channel=1, speaker="s1", language="en", gender="F", custom={"emotion": "sad", "snr": 3.5},
        alignment={"word": [["HI", 0.1, 0.2, 0.5], ["", 0.3, 0.1, None], ["YOU", 0.4, 0.2]]},
    )  # fmt: skip
    labels, problems = read(tmp_path, {
        "audio/a.wav": b"", "libri_recordings_dev-clean.jsonl.gz": lines(recording("a", "audio/a.wav", channels=(0, 1))),
        "libri_supervisions_dev-clean.jsonl.gz": lines(said),
    })  # fmt: skip
    assert not problems
    assert labels == [
        Label(
            path="audio/a.wav", start_s=0.1, end_s=0.6, channel=1, utterance="a-1", recording="a", domain="speech", speaker="s1",
            given_text="A-1", language="en", split="val", said_by="libri_supervisions_dev-clean.jsonl.gz: line 1",
            given_words=(GivenTime(word="HI", start_s=0.1, duration_s=0.2), GivenTime(word="YOU", start_s=0.4, duration_s=0.2)),
            facts=(Fact(name="gender", value="F"), Fact(name="emotion", value="sad"), Fact(name="snr", value="3.5")),
        )
    ]  # fmt: skip


def test_manifests_are_known_by_their_first_line_and_paired_by_the_rest_of_their_names(tmp_path):
    files = {"audio/a.wav": b"", "audio/b.wav": b"", "words.jsonl": lines({"text": "a document"})}
    for split, name in (("train", "a"), ("test", "b")):
        files[f"x_recordings_{split}.jsonl"] = lines(recording(name, f"audio/{name}.wav"))
        files[f"x_supervisions_{split}.jsonl"] = lines(supervision(name))
        files[f"x_cuts_{split}.jsonl"] = lines(cut(recording(name, f"audio/{name}.wav"), supervision(name)))
    labels, problems = read(tmp_path, files)
    assert not problems
    # The cuts that were made of them do not say it again.
    assert [(label.path, label.split, label.given_text) for label in labels] == [
        ("audio/b.wav", "test", "B"),
        ("audio/a.wav", "train", "A"),
    ]
    claim = Lhotse().claim(folder_of(tmp_path, {}))
    assert claim is not None and "words.jsonl" not in claim.label_files and len(claim.label_files) == 6
    assert claim.summary == "lhotse: files of 2 recordings, 2 supervisions, 2 cuts"


def test_recordings_of_two_splits_may_have_one_name(tmp_path):
    files = {"test/a.wav": b"", "train/a.wav": b""}
    for split in ("test", "train"):
        files[f"x_recordings_{split}.jsonl"] = lines(recording("a", f"{split}/a.wav"))
        files[f"x_supervisions_{split}.jsonl"] = lines(supervision("a", text=split))
    labels, _ = read(tmp_path, files)
    assert [(label.path, label.given_text) for label in labels] == [("test/a.wav", "test"), ("train/a.wav", "train")]


def test_supervisions_of_another_name_take_the_recordings_of_their_folder(tmp_path):
    files = {
        "a.wav": b"",
        "x/recordings.jsonl": lines(recording("a", "a.wav")),
        "x/dev_supervisions.jsonl": lines(supervision("a")),
    }
    labels, problems = read(tmp_path, files)
    assert not problems and [(label.given_text, label.split) for label in labels] == [("A", "val")]


def test_recordings_alone_are_labels_and_many_files_of_one_are_all_named(tmp_path):
    array = recording("m", "m1.wav")
    array["sources"].append({"type": "file", "channels": [1], "source": "m2.wav"})
    labels, _ = read(tmp_path, {"m1.wav": b"", "m2.wav": b"", "train/recordings.jsonl": lines(array)})
    assert [(label.path, label.channel, label.recording, label.split) for label in labels] == [
        ("m1.wav", None, "m", "train"), ("m2.wav", None, "m", "train"),
    ]  # fmt: skip


def test_sound_that_lies_in_no_file_is_refused_line_by_line_and_no_command_is_run(tmp_path):
    proof = tmp_path / "proof"
    refused = [
        recording("a", f"touch {proof}", kind="command"),
        recording("a", "https://example.org/a.wav", kind="url"),
        recording("a", "UklGRg==", kind="memory"),
        recording("a", "gone.wav"),
        recording("a", "a.wav", transforms=[{"name": "Speed", "kwargs": {"factor": 1.1}}]),
        {"id": "a", "sources": [], "sampling_rate": 16000},
    ]
    good = recording("a", "a.wav", transforms=[{"name": "Resample", "kwargs": {}}])
    labels, problems = read(tmp_path, {"a.wav": b"", "recordings.jsonl": lines(*refused, good)})
    assert [label.path for label in labels] == ["a.wav"]
    assert [(problem.reason, problem.detail[:6]) for problem in problems] == [
        ("pipe_refused", "line 1"), ("source_refused", "line 2"), ("source_refused", "line 3"), ("missing", "line 4"),
        ("transform_refused", "line 5"), ("no_audio", "line 6"),
    ]  # fmt: skip
    assert not proof.exists()


def test_times_of_a_cut_count_from_its_start_and_words_from_the_start_of_the_recording(tmp_path):
    words = {"word": [["HI", 0.3, 0.2, None]]}
    inner = cut(recording("a", "a.wav"), supervision("a", 0.0, 0.4, alignment=words), start=0.25, duration=0.5)
    padding = {"type": "PaddingCut", "cut": {"id": "p", "duration": 2.0}}
    padded = {"id": "x", "type": "MixedCut", "tracks": [{"cut": inner, "type": "MonoCut", "offset": 0.0}, padding]}
    labels, problems = read(tmp_path, {"a.wav": b"", "cuts.jsonl": lines(inner, padded)})
    assert not problems and len(labels) == 2
    for label in labels:
        assert (label.start_s, label.end_s) == (0.25, 0.65)
        assert label.given_words == (GivenTime(word="HI", start_s=0.3, duration_s=0.2),)


def test_words_outside_of_their_utterance_are_not_used(tmp_path):
    shifted = supervision("a", 0.5, 0.4, alignment={"word": [["HI", 0.1, 0.2]]})
    labels, _ = read(tmp_path, {"a.wav": b"", "cuts.jsonl": lines(cut(recording("a", "a.wav"), shifted))})
    assert labels[0].given_words == () and labels[0].given_text == "A"


def test_an_utterance_that_is_its_whole_recording_is_the_file(tmp_path):
    labels, _ = read(
        tmp_path,
        {
            "a.wav": b"",
            "cuts.jsonl": lines(
                cut(recording("a", "a.wav"), supervision("a", 0, 0.9996)), cut(recording("a", "a.wav"))
            ),
        },
    )
    assert [(label.start_s, label.end_s, label.given_text) for label in labels] == [(0.0, None, "A"), (0.0, None, None)]


def test_a_mixture_is_refused_and_bad_lines_cost_only_themselves(tmp_path):
    track = {"cut": cut(recording("a", "a.wav"), supervision("a")), "type": "MonoCut"}
    bad = [
        {"id": "x", "type": "MixedCut", "tracks": [track, track]},
        cut(None),
        cut(recording("a", "a.wav"), supervision("a", float("nan"))),
        cut(recording("a", "a.wav"), supervision("a", channel=7)),
        cut(recording("a", "a.wav"), duration="long"),
    ]
    data = (
        lines(cut(recording("a", "a.wav"), supervision("a", 0, 0.5)), *bad) + b"{broken\n[1]\n" + b"[" * 100_000 + b"\n"
    )
    labels, problems = read(tmp_path, {"a.wav": b"", "cuts.jsonl": data})
    assert len(labels) == 1
    assert [problem.reason for problem in problems] == ["mixed_cut", "no_audio", "bad_line", "bad_line", "bad_line"] + [
        "not_json"
    ] * 3


SHAR = {
    "train/cuts.000000.jsonl.gz": lines(
        cut(recording("a", "", kind="shar"), supervision("a", 0.2, 0.3), name="a-1"),
        cut(recording("b", "", kind="shar"), supervision("b"), name="b-1"),
        cut(recording("g", "", kind="shar"), supervision("g"), name="gone"),
    ),
    "train/recording.000000.tar": tar(
        {"a-1.flac": b"AAA", "a-1.json": b"{}", "b-1.flac": b"BBBB", "b-1.json": b"{}", "gone.nodata": b""}
    ),
    "train/target.000000.tar": tar({"a-1.flac": b"T", "a-1.json": b"{}"}),
    "train/features.000000.tar": tar({"a-1.lilcom": b"F"}),
}


def test_audio_of_a_shar_folder_is_found_in_its_tars_by_the_name_of_the_cut(tmp_path):
    labels, problems = read(tmp_path, SHAR)
    assert [(label.path, label.start_s, label.end_s, label.given_text, label.split) for label in labels] == [
        ("train/recording.000000.tar/a-1.flac", 0.2, 0.5, "A", "train"),
        ("train/target.000000.tar/a-1.flac", 0.0, None, None, "train"),
        ("train/recording.000000.tar/b-1.flac", 0.0, None, "B", "train"),
    ]
    assert [(problem.reason, problem.detail[:6]) for problem in problems] == [("source_refused", "line 3")]
    tar_path = tmp_path / "train/recording.000000.tar"
    assert Lhotse().open_audio(tar_path, "b-1.flac") == b"BBBB" and Lhotse().open_audio(tar_path, "a-1.flac") == b"AAA"
    assert list(Lhotse().walk(tar_path)) == [("a-1.flac", b"AAA"), ("b-1.flac", b"BBBB")]
    with pytest.raises(DataError, match="is no member"):
        Lhotse().open_audio(tar_path, "gone.flac")


def test_tars_of_a_shar_folder_are_its_own_and_other_tars_are_not(tmp_path):
    folder = folder_of(tmp_path, SHAR | {"train/other.000001.tar": b""})
    claim = Lhotse().claim(folder)
    assert claim is not None and claim.containers == ("train/recording.000000.tar", "train/target.000000.tar")
    assert claim.label_files == ("train/cuts.000000.jsonl.gz", "train/features.000000.tar")
    assert not is_shar(folder, "train/other.000001.tar") and is_shar(folder, "train/features.000000.tar")


def test_gzip_that_is_cut_short_gives_what_is_whole_and_a_problem(tmp_path):
    values = [recording(f"{number}", "a.wav", note="x" * 200) for number in range(500)]
    folder_of(tmp_path, {"a.wav": b"", "recordings.jsonl.gz": lines(*values)})
    path = tmp_path / "recordings.jsonl.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    labels, problems = read(tmp_path, {})
    assert 0 < len(labels) < 500
    assert problems[-1].reason == "cut_short" and "the rest is not read" in problems[-1].detail


def test_a_line_without_end_is_a_problem_and_takes_no_memory(tmp_path):
    folder = folder_of(tmp_path, {"bomb.jsonl.gz": b'{"id": 1}\n' + b" " * 3_000_000})
    rows = list(read_lines(folder, "bomb.jsonl.gz", max_line=1 << 20))
    assert len(rows) == 2 and isinstance(rows[1], Problem) and rows[1].reason == "line_too_long"


def test_gzip_that_expands_without_end_is_given_up(tmp_path, monkeypatch):
    from uniaudio_pipelines.source_to_raw.formats import lines as module

    monkeypatch.setattr(module, "_FREE", 1 << 16)
    folder = folder_of(
        tmp_path,
        {"bomb.jsonl.gz": b'{"id": "a", "x": "%s"}\n' % (b"x" * 500) * 2_000, "good.jsonl.gz": lines(*range(20_000))},
    )
    rows = list(read_lines(folder, "bomb.jsonl.gz"))
    assert isinstance(rows[-1], Problem) and rows[-1].reason == "gzip_bomb" and len(rows) < 2_000
    assert len(list(read_lines(folder, "good.jsonl.gz"))) == 20_000


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\x00\x01", b"\xff\xfe{", b"3\n", b"[]\n", b'{"id": "a"}\n'])
def test_what_is_no_manifest_is_not_claimed(tmp_path, data):
    folder = folder_of(tmp_path, {"recordings.jsonl": data, "cuts.jsonl.gz": data})
    assert Lhotse().claim(folder) is None
    assert isinstance(first_line(folder, "recordings.jsonl"), str)
