"""WebDataset tars, good and hostile."""

import gzip
import io
import json
import pickle
import random
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import webdataset
from uniaudio_pipelines.source_to_raw.cards import Card
from uniaudio_pipelines.source_to_raw.formats import tars
from uniaudio_pipelines.source_to_raw.formats.format import Folder, GivenTime, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.webdataset_tars import WebDatasetTars
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

TarPart = tuple[str, bytes] | tarfile.TarInfo


def tar(*parts: TarPart, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as made:
        for part in parts:
            if isinstance(part, tarfile.TarInfo):
                made.addfile(part)
                continue
            info = tarfile.TarInfo(part[0])
            info.size = len(part[1])
            made.addfile(info, io.BytesIO(part[1]))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def folder_of(root: Path, files: dict[str, bytes], card: Card | None = None) -> Folder:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return Folder(root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), card)


def read(root: Path, files: dict[str, bytes], card: Card | None = None) -> tuple[list[Label], list[Problem]]:
    folder = folder_of(root, files, card)
    claim = WebDatasetTars().claim(folder)
    assert claim is not None
    rows = list(WebDatasetTars().labels(folder, claim))
    return [row for row in rows if isinstance(row, Label)], [row for row in rows if isinstance(row, Problem)]


def as_json(**values: object) -> bytes:
    return json.dumps(values).encode()


def test_a_sample_is_what_lies_beside_the_audio_under_its_key(tmp_path):
    data = tar(
        ("./a/u1.flac", b"AA"), ("./a/u1.json", as_json(text="A B", speaker_id=7, gender="f", start=3.5, sampling_rate=16000)),
        ("./a/u2.txt", b"\xef\xbb\xbfC D\r\n"), ("./a/u2.WAV", b"BBB"), ("./a/u2.cls", b"3"),
        ("./a/u3.mp3", b"C"), ("./a/u3.cls", b"dog"),
    )  # fmt: skip
    labels, problems = read(tmp_path, {"shards/train-000000.tar": data})
    assert not problems
    shard = "shards/train-000000.tar"
    assert labels == [
        Label(
            path=f"{shard}/a/u1.flac", utterance="a/u1", given_text="A B", speaker="7", split="train", said_by=shard,
            facts=(Fact(name="gender", value="f"), Fact(name="start", value="3.5")),
        ),
        Label(path=f"{shard}/a/u2.WAV", utterance="a/u2", given_text="C D", split="train", said_by=shard, facts=(Fact(name="cls", value="3"),)),
        Label(path=f"{shard}/a/u3.mp3", utterance="a/u3", given_tags=("dog",), split="train", said_by=shard),
    ]  # fmt: skip
    assert WebDatasetTars().open_audio(tmp_path / shard, "a/u2.WAV") == b"BBB"
    assert list(WebDatasetTars().walk(tmp_path / shard)) == [
        ("a/u1.flac", b"AA"),
        ("a/u2.WAV", b"BBB"),
        ("a/u3.mp3", b"C"),
    ]


def test_several_dots_belong_to_the_suffix_and_each_audio_has_its_own_labels(tmp_path):
    data = tar(
        ("v1.0/s.1.wav", b"1"), ("v1.0/s.1.txt", b"one"), ("v1.0/s.2.wav", b"2"), ("v1.0/s.2.txt", b"two"), ("v1.0/s.3.wav", b"3"),
        ("v1.0/s.json", as_json(speaker="s", text="all")), ("v1.0/s.3.json", as_json(speaker="t")),
    )  # fmt: skip
    labels, problems = read(tmp_path, {"x.tar": data})
    assert not problems
    assert [(label.utterance, label.given_text, label.speaker) for label in labels] == [
        ("v1.0/s.1", "one", "s"), ("v1.0/s.2", "two", "s"), ("v1.0/s.3", None, "t"),
    ]  # fmt: skip


def test_samples_are_those_that_the_library_itself_reads_in_its_order(tmp_path):
    names = ["b/2.x", "b/1", "a.b/c.d", "z"]
    data = tar(
        *[
            part
            for name in names
            for part in ((f"{name}.FLAC", b"A"), (f"{name}.txt", name.encode()), (f"{name}.npy", b""))
        ]
    )
    labels, _ = read(tmp_path, {"x.tar": data})
    samples = list(webdataset.WebDataset(str(tmp_path / "x.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["b/2", "b/1", "a.b/c", "z"]
    assert [label.given_text for label in labels] == names
    assert [text.decode() for sample in samples for name, text in sample.items() if name.endswith("txt")] == names


def test_words_tags_and_captions_of_the_json_are_kept_and_card_names_win(tmp_path):
    said = as_json(
        original="X Y", text=["a dog barks", "dogs"], tags=["dog", "bark"], words=[{"word": "X", "start": 0.1, "end": 0.3}], lang="en",
        embedding=[0.1, 0.2], nested={"emotion": "sad", "deep": {"x": 1}}, split="dev",
    )  # fmt: skip
    labels, _ = read(
        tmp_path, {"test/0.tar": tar(("a.flac", b"A"), ("a.json", said))}, Card(columns={"given_text": "original"})
    )
    (label,) = labels
    assert (label.given_text, label.given_tags, label.language, label.split) == ("X Y", ("dog", "bark"), "en", "val")
    assert label.given_words == (GivenTime(word="X", start_s=0.1, duration_s=pytest.approx(0.2)),)
    assert label.facts == (
        Fact(name="text", value="a dog barks"), Fact(name="text", value="dogs"), Fact(name="nested.emotion", value="sad"),
    )  # fmt: skip


def test_many_texts_of_one_sound_are_captions_and_not_what_is_spoken(tmp_path):
    labels, _ = read(tmp_path, {"0.tar": tar(("a.flac", b"A"), ("a.json", as_json(text=["a dog barks", "dogs"])))})
    assert labels[0].given_captions == ("a dog barks", "dogs") and labels[0].given_text is None


def test_our_own_raw_tars_come_back_with_all_labels(tmp_path):
    said = {
        "path": "queen/a.mp3", "sample_rate": 8000, "num_samples": 16000, "given_text": "A B", "given_title": "t", "speaker": "s",
        "given_tags": ["x", "y"], "given_captions": ["c"], "language": "en", "licence": "CC0-1.0", "domain": "speech", "split": "test",
        "split_group": "g", "part_of": "p", "part": "vocals", "recording": "r", "facts": [{"name": "gender", "value": "f"}],
        "given_words": [{"word": "A", "first_sample": 800, "num_samples": 1600}], "first_sample": 4000, "source_channel": 1,
    }  # fmt: skip
    labels, problems = read(tmp_path, {"0.tar": tar(("5f.flac", b"A"), ("5f.json", json.dumps(said).encode()))})
    assert not problems
    (label,) = labels
    for name in (
        "given_text",
        "given_title",
        "speaker",
        "language",
        "licence",
        "domain",
        "split",
        "split_group",
        "part_of",
        "part",
        "recording",
    ):
        assert getattr(label, name) == said[name], name
    assert label.given_tags == ("x", "y") and label.given_captions == ("c",)
    assert label.given_words == (GivenTime(word="A", start_s=0.1, duration_s=0.2),)
    assert Fact(name="gender", value="f") in label.facts
    assert (label.start_s, label.end_s, label.channel) == (0.0, None, None)


def test_nothing_that_leaves_the_tar_or_is_no_file_is_used(tmp_path):
    parts: list[TarPart] = [
        ("good.wav", b"G"), ("../up.wav", b"U"), ("a/../../up.wav", b"U"), ("/etc/abs.wav", b"R"), special("link.wav", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.wav", tarfile.LNKTYPE, "good.wav"), special("dev.wav", tarfile.CHRTYPE), special("fifo.wav", tarfile.FIFOTYPE),
        special("sparse.wav", tarfile.GNUTYPE_SPARSE),
        special("folder.wav", tarfile.DIRTYPE), ("good.wav", b"SECOND"), ("._mac.wav", b"M"), (b"\xff\xfe.wav".decode("utf-8", "surrogateescape"), b"N"),
        ("empty.wav", b""), ("last.wav", b"L"),
    ]  # fmt: skip
    labels, problems = read(tmp_path, {"x.tar": tar(*parts, form=tarfile.GNU_FORMAT)})
    assert [label.path for label in labels] == ["x.tar/good.wav", "x.tar/last.wav"]
    assert [problem.reason for problem in problems] == [
        "unsafe_name", "unsafe_name", "unsafe_name", "link_in_tar", "link_in_tar", "unsupported_in_tar", "unsupported_in_tar",
        "unsupported_in_tar", "duplicate_name", "hidden", "unsupported_in_tar", "empty",
    ]  # fmt: skip
    assert all(problem.detail.isprintable() and problem.detail.encode() for problem in problems)
    assert WebDatasetTars().open_audio(tmp_path / "x.tar", "good.wav") == b"G"
    for member in ("link.wav", "/etc/passwd", "../up.wav", "/etc/abs.wav"):
        with pytest.raises(DataError, match="is no member"):
            WebDatasetTars().open_audio(tmp_path / "x.tar", member)


def test_names_that_differ_in_case_alone_are_one_suffix_twice_and_the_first_is_used(tmp_path):
    labels, problems = read(tmp_path, {"x.tar": tar(("a.wav", b"1"), ("a.WAV", b"2"), ("b.wav", b"3"))})
    assert [label.path for label in labels] == ["x.tar/a.wav", "x.tar/b.wav"]
    assert [problem.reason for problem in problems] == ["duplicate_name"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_of_a_tar_that_is_cut_short_all_is_read_that_is_whole(tmp_path, pack):
    audio = {f"{number}.wav": random.Random(number).randbytes(5000) for number in range(8)}
    parts = [part for name, data in audio.items() for part in ((name, data), (name.replace("wav", "txt"), b"words"))]
    name, packed = ("x.tar", tar(*parts)) if pack is bytes else ("x.tar.gz", pack(tar(*parts)))
    labels, problems = read(tmp_path, {name: packed[: len(packed) // 2]})
    members = [label.path.partition("/")[2] for label in labels]
    assert 2 <= len(labels) <= 4 and all(label.given_text == "words" for label in labels[:-1])
    assert [problem.reason for problem in problems] == ["cut_short"]
    assert list(WebDatasetTars().walk(tmp_path / name)) == [(member, audio[member]) for member in members]
    for member in members:
        assert WebDatasetTars().open_audio(tmp_path / name, member) == audio[member]


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    data = bytearray(tar(("a.wav", b"A"), ("b.wav", b"B"), ("c.wav", b"C")))
    data[1024 + 148 : 1024 + 156] = b"999999\0 "
    labels, problems = read(tmp_path, {"x.tar": bytes(data)})
    assert [label.path for label in labels] == ["x.tar/a.wav"]
    assert [problem.reason for problem in problems] == ["broken_tar"]
    labels, problems = read(tmp_path, {"x.tar": tar(("a.wav", b"A")) + tar(("b.wav", b"B"))})
    assert len(labels) == 1 and [problem.reason for problem in problems] == ["broken_tar"]


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b"\x1f\x8bbroken", b"x"])
def test_what_is_called_a_tar_and_is_none_is_a_problem(tmp_path, data):
    labels, (problem,) = read(tmp_path, {"x.tar": data})
    assert not labels and problem.reason in ("broken_tar", "cut_short")


def test_a_header_that_claims_gigabytes_is_refused(tmp_path):
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    data = tar(("a.wav", b"A"))[:1024] + info.tobuf() + b"x" * 4096
    labels, problems = read(tmp_path, {"x.tar": data})
    assert len(labels) == 1 and [problem.reason for problem in problems] == ["broken_tar"]
    assert "3221225472" in problems[0].detail


@pytest.mark.parametrize("size", [-512, -2048])
def test_a_header_that_points_backwards_ends_the_tar(tmp_path, size):
    info = tarfile.TarInfo("back.wav")
    info.size = size
    data = tar(("a.wav", b"A"), ("b.wav", b"B"))[:2048] + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    labels, problems = read(tmp_path, {"x.tar": data})
    assert [label.path for label in labels] == ["x.tar/a.wav", "x.tar/b.wav"]
    assert [problem.reason for problem in problems] == ["broken_tar"] and "backwards" in problems[0].detail


def test_a_gzip_bomb_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "_FREE", 1 << 20)
    bomb = gzip.compress(tar(("a.wav", b"A"), ("b.wav", bytes(8 << 20)), ("c.wav", b"C")))
    labels, problems = read(tmp_path, {"x.tgz": bomb})
    assert [label.path for label in labels] == ["x.tgz/a.wav"]
    assert [problem.reason for problem in problems] == ["broken_tar"] and "bomb" in problems[0].detail


def test_labels_that_are_none_are_problems_and_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "proof",)  # type: ignore[return-value]

    labels, problems = read(tmp_path, {"x.tar": tar(
        ("a.wav", b"A"), ("a.json", b"[" * 50_000), ("b.wav", b"B"), ("b.txt", b"\xff"), ("c.wav", b"C"), ("c.pyd", pickle.dumps(Bomb())),
        ("c.pickle", pickle.dumps(Bomb())), ("lonely.txt", b"words"), ("README", b"x"),
    )})  # fmt: skip
    assert [label.utterance for label in labels] == ["a", "b", "c"]
    assert [(problem.path, problem.reason) for problem in problems] == [
        ("x.tar/a.json", "bad_label"), ("x.tar/b.txt", "bad_label"), ("x.tar/lonely.txt", "label_of_nothing"),
    ]  # fmt: skip
    assert not (tmp_path / "proof").exists()


def test_labels_of_one_sample_take_no_more_memory_than_they_may(tmp_path):
    many = [(f"a.{number}.txt", b"x" * (tars.MAX_LABEL - 1)) for number in range(6)]
    labels, problems = read(tmp_path, {"x.tar.gz": gzip.compress(tar(("a.0.wav", b"A"), ("a.5.wav", b"A"), *many), 1)})
    assert [label.given_text is None for label in labels] == [False, True]
    assert [(problem.path, problem.reason) for problem in problems] == [("x.tar.gz/a.5.txt", "bad_label")]


def test_tars_of_a_shar_folder_are_left_to_lhotse(tmp_path):
    files = {
        "cuts.000000.jsonl.gz": b"",
        "recording.000000.tar": tar(("a.flac", b"A")),
        "other.000001.tar": tar(("b.flac", b"B")),
    }
    claim = WebDatasetTars().claim(folder_of(tmp_path, files))
    assert claim is not None and claim.containers == ("other.000001.tar",)


def test_tars_without_audio_are_not_claimed(tmp_path):
    files = {
        "a.tar": tar(("a.py", b"x"), ("b.txt", b"y")),
        "b.tar": tar(("a.jpg", b"x")),
        "empty.tar": tar(),
        "c.wav": b"",
    }
    folder = folder_of(tmp_path, {name: data for name, data in files.items() if name != "empty.tar"})
    assert WebDatasetTars().claim(folder) is None
    claim = WebDatasetTars().claim(folder_of(tmp_path, {"t-0.tar": tar(("a.wav", b"")), "t-1.tar": tar()}))
    assert claim is not None and claim.containers == ("t-0.tar", "t-1.tar")
    assert claim.summary == "WebDataset: 2 tars (t-0.tar, …)"


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_members_are_read_in_any_order_and_a_tar_that_changed_is_indexed_again(tmp_path, name):
    pack = gzip.compress if name.endswith("gz") else bytes
    folder_of(tmp_path, {name: pack(tar(*[(f"{number}.wav", b"%d" % number * 600) for number in range(5)]))})
    for number in (3, 0, 4, 4, 1):
        assert WebDatasetTars().open_audio(tmp_path / name, f"{number}.wav") == b"%d" % number * 600
    folder_of(tmp_path, {name: pack(tar(("0.wav", b"other")))})
    assert WebDatasetTars().open_audio(tmp_path / name, "0.wav") == b"other"


def test_audio_larger_than_allowed_is_refused(tmp_path):
    folder_of(tmp_path, {"x.tar": tar(("a.wav", b"12345"))})
    with pytest.raises(DataError, match="at most 4 bytes, but is 5"):
        tars.read_member(tmp_path / "x.tar", "a.wav", max_bytes=4)


def peak_of_listing(root: Path, num: int, size: int) -> int:
    """Bytes that Python holds at most while a tar of `num` files is listed."""
    folder = folder_of(root, {"x.tar": tar(*[(f"{number}.wav", bytes(size)) for number in range(num)])})
    claim = WebDatasetTars().claim(folder)
    assert claim is not None
    tracemalloc.start()
    assert sum(1 for _ in WebDatasetTars().labels(folder, claim)) == num
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_listing_a_tar_reads_no_audio_and_memory_does_not_grow_with_it(tmp_path):
    peak_of_listing(tmp_path / "first", 1, 1)
    assert (
        peak_of_listing(tmp_path / "large", 100, 200_000) < peak_of_listing(tmp_path / "small", 10, 200_000) + 150_000
    )


def test_of_the_members_of_a_tar_only_their_names_are_held(tmp_path):
    peak_of_listing(tmp_path / "first", 1, 1)
    grown = peak_of_listing(tmp_path / "many", 1200, 1) - peak_of_listing(tmp_path / "few", 200, 1)
    assert grown < 1000 * 400  # a header that is kept takes over 1,000 bytes
