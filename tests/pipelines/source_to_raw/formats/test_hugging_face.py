"""Parquet and Arrow tables as `datasets` writes them, and hostile ones."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from uniaudio_pipelines.source_to_raw.cards import Card
from uniaudio_pipelines.source_to_raw.formats.arrow_tables import open_table
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.hugging_face import HuggingFace
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def inside(*values: bytes) -> pa.Array:
    return pa.array([{"bytes": value, "path": f"{index}.wav"} for index, value in enumerate(values)], AUDIO)


def table(features: dict[str, Any] | None = None, **columns: Any) -> pa.Table:
    made = pa.table(columns)
    info = {"info": {"features": features}}
    return made.replace_schema_metadata({"huggingface": json.dumps(info)}) if features else made


def put(root: Path, name: str, value: pa.Table | bytes | dict[str, Any], **options: Any) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, pa.Table) and name.endswith(".parquet"):
        pq.write_table(value, path, **options)
    elif isinstance(value, pa.Table):
        form = options.pop("form", pa.ipc.new_stream)
        with pa.OSFile(str(path), "wb") as out, form(out, value.schema) as writer:
            writer.write_table(value, **options)
    else:
        path.write_bytes(json.dumps(value).encode() if isinstance(value, dict) else value)


def folder_of(root: Path, card: Card | None = None) -> Folder:
    return Folder(root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), card)


def read(root: Path, card: Card | None = None) -> tuple[list[Label], list[Problem]]:
    folder = folder_of(root, card)
    claim = HuggingFace().claim(folder)
    assert claim is not None
    rows = list(HuggingFace().labels(folder, claim))
    return [row for row in rows if isinstance(row, Label)], [row for row in rows if isinstance(row, Problem)]


def opened(root: Path, labels: list[Label]) -> list[bytes]:
    """What the labels' paths lead to; each is a row of the first path that is a file."""
    found = []
    for label in labels:
        file = next(path for path in reversed((root / label.path).parents) if path.is_file())
        found.append(HuggingFace().open_audio(file, (root / label.path).relative_to(file).as_posix()))
    return found


def test_a_row_with_audio_has_everything_that_its_columns_say(tmp_path):
    features = {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}, "audio": {"_type": "Audio"}}
    rows = table(
        features,
        audio=inside(b"A", b"BB"),
        sentence=["a b", None],
        speaker_id=[7, 8],
        label=[1, -1],
        age=[20.0, None],
        begin_time=[3.5, 4.0],
    )
    put(tmp_path, "en/data/train-00000-of-00002.parquet", rows)
    put(tmp_path, "en/data/validation-00000-of-00001.parquet", rows)
    labels, problems = read(tmp_path)
    assert not problems and len(labels) == 4
    assert labels[0] == Label(
        path="en/data/train-00000-of-00002.parquet/0", utterance="0", given_text="a b", speaker="7", given_tags=("cat",), split="train",
        facts=(Fact(name="age", value="20"), Fact(name="begin_time", value="3.5")), said_by="en/data/train-00000-of-00002.parquet: row 0",
    )  # fmt: skip
    assert (labels[1].given_text, labels[1].speaker, labels[1].given_tags) == (None, "8", ())
    assert [label.split for label in labels] == ["train", "train", "val", "val"]
    assert opened(tmp_path, labels) == [b"A", b"BB"] * 2
    assert list(HuggingFace().walk(tmp_path / "en/data/train-00000-of-00002.parquet")) == [("0", b"A"), ("1", b"BB")]


def test_a_claim_says_what_was_found_and_which_files_hold_audio(tmp_path):
    put(tmp_path, "a/train.parquet", table(audio=inside(b"A"), text=["x"]))
    put(tmp_path, "numbers.parquet", table(x=[1.5], embedding=[[0.1]]))
    put(tmp_path, "notes.txt", b"x")
    claim = HuggingFace().claim(folder_of(tmp_path))
    assert claim is not None and claim.containers == ("a/train.parquet",) and claim.label_files == ()
    assert claim.summary == "Hugging Face: 1 tables (audio in audio.bytes)"
    (tmp_path / "a/train.parquet").unlink()
    assert HuggingFace().claim(folder_of(tmp_path)) is None


@pytest.mark.parametrize("form", [pa.ipc.new_stream, pa.ipc.new_file])
def test_datasets_saved_to_disk_are_read_without_what_was_cached_beside_them(tmp_path, form):
    rows = table({"audio": {"_type": "Audio"}}, audio=inside(b"A", b"BB", b"CCC"), text=["x", "y", "z"])
    for split in ("train", "test"):
        put(tmp_path, f"{split}/data-00000-of-00001.arrow", rows, form=form, max_chunksize=2)
        put(tmp_path, f"{split}/cache-0123.arrow", rows)
        put(tmp_path, f"{split}/state.json", {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
        put(tmp_path, f"{split}/dataset_info.json", {"license": "CC0-1.0"})
    put(tmp_path, "dataset_dict.json", {"splits": ["train", "test"]})
    labels, problems = read(tmp_path)
    assert not problems
    assert [(label.path, label.given_text, label.split, label.licence) for label in labels[:3]] == [
        (f"test/data-00000-of-00001.arrow/{row}", text, "test", "CC0-1.0") for row, text in enumerate("xyz")
    ]
    assert len(labels) == 6 and opened(tmp_path, labels) == [b"A", b"BB", b"CCC"] * 2
    claim = HuggingFace().claim(folder_of(tmp_path))
    assert claim is not None and set(claim.containers) | set(claim.label_files) == set(folder_of(tmp_path).paths)


@pytest.mark.parametrize("name", ["train.parquet", "train.arrow"])
def test_listing_reads_no_audio(tmp_path, name):
    options = {"compression": "none", "use_dictionary": False} if name.endswith("parquet") else {}
    put(tmp_path, name, table(audio=inside(b"\x11" * 50_000, b"\x11" * 50_000), text=["x", "y"]), **options)
    data = bytearray((tmp_path / name).read_bytes())
    first = data.index(b"\x11" * 1000)
    data[first - (20 if name.endswith("parquet") else 0) : first + 90_000] = b"\xee" * (
        90_000 + (20 if name.endswith("parquet") else 0)
    )
    put(tmp_path, name, bytes(data))
    labels, problems = read(tmp_path)
    assert [label.given_text for label in labels] == ["x", "y"] and not problems
    if name.endswith("parquet"):
        with pytest.raises(DataError, match=r"train\.parquet: cannot be read"):
            HuggingFace().open_audio(tmp_path / name, "0")


def test_rows_that_name_files_are_labels_of_these_files(tmp_path):
    for name in ("clips/a.wav", "clips/b.wav"):
        put(tmp_path, name, b"")
    audio = pa.array(
        [{"bytes": None, "path": path} for path in ("clips/a.wav", "/home/x/corpus/clips/b.wav", "gone.wav", None)],
        AUDIO,
    )
    put(tmp_path, "test/x.parquet", table(audio=audio, text=["x", "y", "z", "w"]))
    labels, problems = read(tmp_path)
    assert [(label.path, label.given_text, label.split) for label in labels] == [
        ("clips/a.wav", "x", "test"),
        ("clips/b.wav", "y", "test"),
    ]
    assert [(problem.reason, problem.detail[:5]) for problem in problems] == [
        ("missing", "row 2"),
        ("no_audio", "row 3"),
    ]


def test_a_column_of_paths_is_known_by_its_values_and_times_beside_it_cut_the_file(tmp_path):
    put(tmp_path, "clips/a.wav", b"")
    rows = table(
        id=["u1", "u2"], audio_filepath=["clips/a.wav"] * 2, offset=[1.0, -1.0], duration=[2.0, 2.0], text=["x", "y"]
    )
    put(tmp_path, "train.parquet", rows)
    labels, problems = read(tmp_path)
    assert [(label.path, label.start_s, label.end_s, label.given_text, label.utterance) for label in labels] == [
        ("clips/a.wav", 1.0, 3.0, "x", "u1")
    ]
    assert [problem.reason for problem in problems] == ["bad_row"]
    claim = HuggingFace().claim(folder_of(tmp_path))
    assert claim is not None and claim.label_files == ("train.parquet",) and not claim.containers


def test_some_rows_may_hold_audio_and_others_name_it(tmp_path):
    put(tmp_path, "a.wav", b"")
    audio = pa.array(
        [{"bytes": b"X", "path": None}, {"bytes": None, "path": "a.wav"}, None, {"bytes": b"Y", "path": "y.wav"}], AUDIO
    )
    for name in ("x.parquet", "x.arrow"):
        put(tmp_path, name, table(audio=audio, text=list("1234")))
        labels, problems = read(tmp_path)
        assert [(label.path, label.given_text) for label in labels] == [
            (f"{name}/0", "1"),
            ("a.wav", "2"),
            (f"{name}/3", "4"),
        ]
        assert [problem.reason for problem in problems] == ["no_audio"]
        with pytest.raises(DataError, match="nothing in this row"):
            HuggingFace().open_audio(tmp_path / name, "1")
        (tmp_path / name).unlink()


def test_a_second_column_of_audio_is_a_label_of_its_own_in_the_same_split(tmp_path):
    put(tmp_path, "x.parquet", table(target_audio=inside(b"T"), audio=inside(b"A"), image=inside(b"I"), text=["x"]))
    labels, _ = read(tmp_path)
    assert [(label.path, label.given_text) for label in labels] == [
        ("x.parquet/0", "x"),
        ("x.parquet/0/target_audio", None),
    ]
    assert labels[0].split_group == labels[1].split_group == "x.parquet/0"
    assert opened(tmp_path, labels) == [b"A", b"T"]
    assert list(HuggingFace().walk(tmp_path / "x.parquet")) == [("0", b"A"), ("0/target_audio", b"T")]


def test_features_decide_what_is_audio_and_the_card_which_text_is_spoken(tmp_path):
    features = {
        "audio": {"_type": "Image"},
        "x": {"_type": "Audio"},
        "tags": {"feature": {"_type": "ClassLabel", "names": ["p", "q"]}, "_type": "List"},
    }
    put(
        tmp_path,
        "x.parquet",
        table(features, audio=inside(b"I"), x=inside(b"A"), text=["no"], raw=["yes"], tags=[[1, 0]]),
    )
    (label,), _ = read(tmp_path, Card(columns={"given_text": "raw"}))
    assert (label.given_text, label.given_tags) == ("yes", ("q", "p"))
    assert opened(tmp_path, [label]) == [b"A"]


def test_texts_without_audio_are_documents_where_no_audio_is_in_the_corpus(tmp_path):
    put(
        tmp_path,
        "wiki/train-0.parquet",
        table(id=["1"], url=["u"], title=["Anarchism"], text=["Once\u2028upon"], language=["en"]),
    )
    labels, problems = read(tmp_path)
    assert not problems
    assert labels == [
        Label(
            path="wiki/train-0.parquet/0", utterance="1", domain="text", given_title="Anarchism", language="en", split="train",
            said_by="wiki/train-0.parquet: row 0",
        )
    ]  # fmt: skip
    assert opened(tmp_path, labels) == ["Once\u2028upon".encode()]
    put(tmp_path, "a.wav", b"")
    assert HuggingFace().claim(folder_of(tmp_path)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1" + b"\0" * 50,
        b"PAR1" + b"\xff" * 8 + b"PAR1",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"ARROW1\0\0",
        b"<html>",
    ],
)
def test_what_is_called_a_table_and_is_none_is_a_problem(tmp_path, data):
    put(tmp_path, "train.parquet", data)
    labels, (problem,) = read(tmp_path)
    assert not labels and problem.reason == "unreadable" and str(tmp_path) not in problem.detail
    with pytest.raises(DataError):
        HuggingFace().open_audio(tmp_path / "train.parquet", "0")


def test_of_arrow_that_is_cut_short_all_batches_are_read_that_are_whole(tmp_path):
    put(tmp_path, "data.arrow", table(audio=inside(*[b"A" * 1000] * 8), text=list("abcdefgh")), max_chunksize=2)
    data = (tmp_path / "data.arrow").read_bytes()
    put(tmp_path, "data.arrow", data[: len(data) // 2])
    labels, problems = read(tmp_path)
    assert [label.given_text for label in labels] in (list("ab"), list("abcd"))
    assert [problem.reason for problem in problems] == ["unreadable"]
    assert opened(tmp_path, labels) == [b"A" * 1000] * len(labels)


def test_a_broken_row_group_costs_itself_alone(tmp_path):
    texts = [f"{letter}" * 40 for letter in "abcdef"]
    put(
        tmp_path,
        "x.parquet",
        table(audio=inside(*[b"A"] * 6), text=texts),
        row_group_size=2,
        compression="none",
        use_dictionary=False,
    )
    column = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(1).column(2)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    data[column.data_page_offset : column.data_page_offset + 8] = b"\xff" * 8
    put(tmp_path, "x.parquet", bytes(data))
    labels, (problem,) = read(tmp_path)
    assert [label.path for label in labels] == ["x.parquet/0", "x.parquet/1", "x.parquet/4", "x.parquet/5"]
    assert (problem.reason, problem.detail[:9]) == ("unreadable", "rows 2 to")


def test_rows_behind_a_broken_row_group_keep_their_own_audio(tmp_path):
    audio = pa.array(
        [{"bytes": b"A", "path": None}] * 4 + [{"bytes": None, "path": None}, {"bytes": b"F", "path": None}], AUDIO
    )
    texts = [f"{letter}" * 40 for letter in "abcdef"]
    put(
        tmp_path,
        "x.parquet",
        table(audio=audio, text=texts),
        row_group_size=2,
        compression="none",
        use_dictionary=False,
    )
    column = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(2)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    data[column.data_page_offset : column.data_page_offset + 8] = b"\xff" * 8
    put(tmp_path, "x.parquet", bytes(data))
    labels, problems = read(tmp_path)
    assert [(label.path[-1], (label.given_text or "")[:1]) for label in labels] == [("2", "c"), ("3", "d"), ("5", "f")]
    assert [problem.reason for problem in problems] == ["unreadable", "no_audio"]


def test_values_begin_at_the_row_that_is_asked_for(tmp_path):
    rows = table(audio=inside(*[b"%d" % row for row in range(7)]))
    put(tmp_path, "x.parquet", rows, row_group_size=3)
    put(tmp_path, "x.arrow", rows, max_chunksize=3)
    for name in ("x.parquet", "x.arrow"):
        for first in (0, 1, 4, 6, 7):
            found = list(open_table(tmp_path / name).values("audio.bytes", first))
            assert found == [(row, b"%d" % row) for row in range(first, 7)]


def test_a_text_that_is_not_utf8_costs_its_row_alone(tmp_path):
    texts = pa.array([b"ok", b"\xff\xfe", b"fine"]).view(pa.string())
    put(tmp_path, "x.parquet", table(audio=inside(b"1", b"2", b"3"), text=texts))
    labels, (problem,) = read(tmp_path)
    assert [label.given_text for label in labels] == ["ok", "fine"] and problem.detail.startswith("row 1 ")
    (tmp_path / "x.parquet").unlink()
    put(tmp_path, "x.arrow", table(audio=inside(b"1", b"2", b"3"), text=texts), max_chunksize=1)
    labels, (problem,) = read(tmp_path)
    assert [label.given_text for label in labels] == ["ok", "fine"] and problem.detail.startswith("rows 1 to 1 ")


def test_offsets_that_point_anywhere_are_a_problem_and_no_crash(tmp_path):
    put(tmp_path, "x.arrow", table(audio=inside(b"1" * 300, b"2" * 300), text=["x", "y"]))
    data = (tmp_path / "x.arrow").read_bytes()
    offsets = b"".join(value.to_bytes(4, "little") for value in (0, 300, 600))
    assert data.count(offsets) == 1
    put(
        tmp_path, "x.arrow", data.replace(offsets, b"".join(value.to_bytes(4, "little") for value in (0, 300, 1 << 30)))
    )
    labels, (problem,) = read(tmp_path)
    assert not labels and problem.reason == "unreadable"


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_rows_are_opened_in_any_order_and_a_table_that_changed_is_opened_again(tmp_path, name):
    options: dict[str, Any] = {"row_group_size": 3} if name.endswith("parquet") else {"max_chunksize": 3}
    put(tmp_path, name, table(audio=inside(*[b"%d" % row for row in range(10)])), **options)
    for row in (0, 1, 2, 7, 3, 3, 9, 0):
        assert HuggingFace().open_audio(tmp_path / name, str(row)) == b"%d" % row
    for member in ("10", "-1", "x", "0/other"):
        with pytest.raises(DataError):
            HuggingFace().open_audio(tmp_path / name, member)
    assert HuggingFace().open_audio(tmp_path / name, "0") == b"0"
    (tmp_path / name).unlink()
    put(tmp_path, name, table(audio=inside(b"new", b"newer")))
    assert HuggingFace().open_audio(tmp_path / name, "1") == b"newer"


_PEAK = """
import sys, pathlib
import pyarrow as pa
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label
from uniaudio_pipelines.source_to_raw.formats.hugging_face import HuggingFace
root, name = pathlib.Path(sys.argv[1]), sys.argv[2]
folder = Folder(root, [name])
rows = list(HuggingFace().labels(folder, HuggingFace().claim(folder)))
listing = pa.default_memory_pool().max_memory()
sizes = {len(HuggingFace().open_audio(root / name, str(row))) for row in range(60)}
print(len(rows), all(isinstance(row, Label) for row in rows), sizes, listing < 3_000_000, pa.default_memory_pool().max_memory() < 10_000_000)
"""


@pytest.mark.slow  # a process of its own: what Arrow has allocated at most is known per process
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_memory_is_that_of_a_page_and_not_of_a_row_group(tmp_path, name):
    rows = table(audio=inside(*[bytes([row]) * 500_000 for row in range(60)]), text=["x"] * 60)
    options = (
        {"write_batch_size": 2, "use_dictionary": False, "compression": "none"} if name.endswith("parquet") else {}
    )
    put(tmp_path, name, rows, **options)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path), name], capture_output=True, text=True, check=True
    )
    assert done.stdout == "60 True {500000} True True\n"
