import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.read import read_audio

soundfile = pytest.importorskip("soundfile")


def tone(seconds: float, rate: int = 8_000, hertz: float = 440.0) -> np.ndarray:
    return (0.25 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, seconds: float = 0.5, rate: int = 8_000, hertz: float = 440.0, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.stack([tone(seconds, rate, hertz)] * channels, axis=1)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def ingest(tmp_path: Path, **changes: Any) -> tuple[Store, Manifest, dict[str, Raw], dict[str, str]]:
    """Store, manifest, rows by path, reasons by path."""
    store = Store(tmp_path / "store")
    job = SourceToRaw(source=str(tmp_path / "source"), **changes)
    manifest = run_edge(store, job, RawWorker, num_workers=0)
    rows = {row.path: row for row in store.rows(manifest, Raw)}
    reasons = {row["row_id"]: row["reason"] for row in store.dropped(manifest).to_pylist()}
    return store, manifest, rows, reasons


def test_audio_keeps_its_rate_channels_and_every_sample(tmp_path: Path) -> None:
    path = tmp_path / "source/bells/a/x.wav"
    write_wav(path, rate=11_025, channels=2)
    store, _, rows, _ = ingest(tmp_path)
    row = rows["bells/a/x.wav"]
    assert (row.medium, row.corpus, row.sample_rate, row.channels) == ("audio", "bells", 11_025, 2)
    tar = store.open_blob(row.tar).read_bytes()
    flac = read_audio(tar[row.tar_offset : row.tar_offset + row.tar_size], suffix=".flac")
    np.testing.assert_array_equal(flac.samples, read_audio(path).samples)
    assert flac.samples.shape == (2, row.num_samples)


@pytest.mark.slow
def test_a_tar_is_read_by_webdataset(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    for number in range(3):
        write_wav(tmp_path / f"source/bells/{number}.wav", hertz=300.0 + number)
    store, manifest, rows, _ = ingest(tmp_path)
    (tar,) = manifest.shards[0].blobs
    samples = list(webdataset.WebDataset(str(store.open_blob(tar)), shardshuffle=False, empty_check=False))
    assert {sample["__key__"] for sample in samples} == {row.clip_id for row in rows.values()}
    assert soundfile.info(io.BytesIO(samples[0]["flac"])).samplerate == 8_000
    assert json.loads(samples[0]["json"])["path"] in rows


def test_metadata_is_carried_to_the_row(tmp_path: Path) -> None:
    write_wav(tmp_path / "source/bells/x.wav")
    said = {"domain": "sound", "licence": "CC0-1.0", "given_title": "bell", "given_tags": ["metal"], "split_group": "g"}
    (tmp_path / "source/bells/metadata.jsonl").write_text(json.dumps({"path": "x.wav", **said}) + "\n")
    row = ingest(tmp_path)[2]["bells/x.wav"]
    assert {name: getattr(row, name) for name in said} == said


def test_files_of_the_source_folder_itself_have_their_metadata_beside_them(tmp_path: Path) -> None:
    write_wav(tmp_path / "source/x.wav")
    (tmp_path / "source/metadata.jsonl").write_text('{"path": "x.wav", "speaker": "ann"}\n{"path": "gone.wav"}\n')
    _, _, rows, reasons = ingest(tmp_path)
    assert (rows["x.wav"].corpus, rows["x.wav"].speaker) == ("files", "ann")
    assert reasons == {"gone.wav": "missing"}


def test_a_plain_folder_needs_no_metadata(tmp_path: Path) -> None:
    write_wav(tmp_path / "source/x.wav")
    row = ingest(tmp_path)[2]["x.wav"]
    assert (row.corpus, row.domain, row.licence) == ("files", "unknown", "unknown")


def test_text_files_are_documents_without_markup(tmp_path: Path) -> None:
    source = tmp_path / "source/guide"
    source.mkdir(parents=True)
    (source / "a.txt").write_text("\ufeffOne line.\r\n\r\nAnother.")
    (source / "b.html").write_text(
        "<html><head><title>t</title></head><script>x()</script><h1>A &amp; B</h1><p>one\n<b>two</b></p></html>"
    )
    rows = ingest(tmp_path)[2]
    assert rows["guide/a.txt"].text == "One line.\n\nAnother."
    assert rows["guide/b.html"].text == "A & B\n\none two"
    assert {row.medium for row in rows.values()} == {"text"}


def test_every_file_that_makes_no_row_is_dropped_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "source/bells"
    write_wav(source / "good.wav")
    write_wav(source / "short.wav", seconds=0.01)
    write_wav(tmp_path / "outside.wav", hertz=500)
    (source / "copy.wav").write_bytes((source / "good.wav").read_bytes())
    (source / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE nothing")
    (source / "empty.wav").touch()
    (source / "notes.txt").write_text("A note.")
    (source / "score.mid").write_bytes(b"MThd")
    (source / ".hidden").touch()
    (source / "link.wav").symlink_to(tmp_path / "outside.wav")
    (source / "folder").symlink_to(tmp_path)
    (source / "metadata.jsonl").write_text('{"path": "gone.wav"}\n')
    _, manifest, rows, reasons = ingest(tmp_path)
    assert list(rows) == ["bells/copy.wav"]
    assert {path.removeprefix("bells/"): reason for path, reason in reasons.items()} == {
        "good.wav": "duplicate",
        "short.wav": "too_short",
        "broken.wav": "unreadable",
        "empty.wav": "empty",
        "notes.txt": "beside_audio",
        "score.mid": "unsupported",
        ".hidden": "hidden",
        "link.wav": "outside_source",
        "folder": "outside_source",
        "gone.wav": "missing",
    }
    assert sum(manifest.dropped.values()) == 10


def test_texts_that_cannot_be_read_are_dropped(tmp_path: Path) -> None:
    source = tmp_path / "source/guide"
    source.mkdir(parents=True)
    (source / "latin1.txt").write_bytes("Grüße".encode("latin-1"))
    (source / "blank.txt").write_text(" \n")
    (source / "good.txt").write_text("good")
    _, _, rows, reasons = ingest(tmp_path)
    assert list(rows) == ["guide/good.txt"]
    assert reasons == {"guide/latin1.txt": "not_utf8", "guide/blank.txt": "empty"}


def test_files_that_cannot_be_opened_or_are_no_files_do_not_stop_the_rest(tmp_path: Path) -> None:
    write_wav(tmp_path / "source/bells/good.wav")
    os.mkfifo(tmp_path / "source/bells/pipe.wav")
    _, _, rows, reasons = ingest(tmp_path)
    assert list(rows) == ["bells/good.wav"]
    assert reasons == {"bells/pipe.wav": "unsupported"}


def test_the_same_source_gives_the_same_version_anywhere(tmp_path: Path) -> None:
    for place in ("one", "two"):
        for number in range(5):
            write_wav(tmp_path / place / f"source/bells/{number}.wav", hertz=300.0 + number)
    first, second = (ingest(tmp_path / place, max_files_per_shard=2)[1] for place in ("one", "two"))
    assert first.to_json() == second.to_json()
    assert len(first.shards) >= 3 and all(shard.num_rows <= 2 for shard in first.shards)


def test_how_documents_are_cut_into_shards_does_not_change_the_content(tmp_path: Path) -> None:
    (tmp_path / "source/bells").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"source/bells/{number}.txt").write_text(f"text {number}")
    one = ingest(tmp_path, max_files_per_shard=1)[1]
    assert one.content_id == ingest(tmp_path, max_files_per_shard=3)[1].content_id


def test_a_second_plan_reads_no_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "source/bells/x.wav")
    store, job = Store(tmp_path / "store"), SourceToRaw(source=str(tmp_path / "source"))
    first = job.plan(store)
    monkeypatch.setattr("uniaudio_pipelines.source_to_raw.hashes.hash_file", lambda path: pytest.fail(f"read {path}"))
    assert job.plan(store) == first


def test_a_changed_file_makes_another_plan(tmp_path: Path) -> None:
    store, job = Store(tmp_path / "store"), SourceToRaw(source=str(tmp_path / "source"))
    write_wav(tmp_path / "source/bells/x.wav", hertz=300)
    first = job.plan(store).plan_id
    write_wav(tmp_path / "source/bells/x.wav", hertz=301)
    assert job.plan(store).plan_id != first


def test_tars_hold_neither_times_nor_owners(tmp_path: Path) -> None:
    write_wav(tmp_path / "source/bells/x.wav")
    store, manifest, _, _ = ingest(tmp_path)
    with tarfile.open(store.open_blob(manifest.blobs[0])) as tar:
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda source: None, "does not exist"),
        (lambda source: source.touch(), "is not a folder"),
        (lambda source: source.mkdir(), "has none that can be used"),
    ],
)
def test_a_source_without_anything_usable_is_refused(tmp_path: Path, prepare: Any, message: str) -> None:
    prepare(tmp_path / "source")
    with pytest.raises(UsageError, match=message):
        SourceToRaw(source=str(tmp_path / "source")).plan(Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "must be a JSON object"),
        ("[1]", "must be a JSON object"),
        ('{"path": "x.wav", "speaker": 3}', "`speaker` must be a string"),
        ('{"path": "x.wav", "domain": "noise"}', "`domain` must be speech or sound or"),
        ('{"path": "x.wav", "start_s": -1}', "`start_s` must be a number of seconds from 0"),
    ],
)
def test_a_broken_line_of_metadata_is_dropped_with_its_number_and_the_rest_is_kept(
    tmp_path: Path, line: str, message: str
) -> None:
    write_wav(tmp_path / "source/bells/x.wav")
    (tmp_path / "source/bells/metadata.jsonl").write_text(f'{line}\n{{"path": "x.wav", "language": "en"}}\n')
    store, manifest, rows, _ = ingest(tmp_path)
    assert rows["bells/x.wav"].language == "en"
    (dropped,) = store.dropped(manifest).to_pylist()
    assert dropped["row_id"] == "bells/metadata.jsonl" and dropped["detail"].startswith("line 1: ")
    assert message in dropped["detail"]


def test_a_file_replaced_by_one_of_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    path, other = tmp_path / "source/bells/x.wav", tmp_path / "other.wav"
    write_wav(path)
    first = ingest(tmp_path)[2]["bells/x.wav"]
    write_wav(other, hertz=900.0)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)  # as rsync -t does
    assert ingest(tmp_path)[2]["bells/x.wav"].sha256 != first.sha256


def test_a_wrong_remembered_hash_stops_one_run_and_not_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "source/bells/x.wav")
    with monkeypatch.context() as patch, pytest.raises(DataError, match="run the job again"):
        patch.setattr("uniaudio_pipelines.source_to_raw.hashes.hash_file", lambda path: "0" * 64)
        ingest(tmp_path)
    assert list(ingest(tmp_path)[2]) == ["bells/x.wav"]
