"""`uniaudio export`: raw for readers that know no store."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store import Store

from uniaudio.cli import main

soundfile = pytest.importorskip("soundfile")
webdataset = pytest.importorskip("webdataset")
SAMPLES = {name: np.random.default_rng(seed).integers(-9_000, 9_000, 4_000, "<i2") for seed, name in enumerate("abc")}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips in two tars and one document."""
    source = tmp_path / "source/talk"
    source.mkdir(parents=True)
    for name, samples in SAMPLES.items():
        with wave.open(str(source / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        (source / f"{name}.txt").write_text(f"This is {name}.")
    (tmp_path / "source/books").mkdir()
    (tmp_path / "source/books/essay.txt").write_text("A line.\u2028And another one, with words enough to be kept.")
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path / "data"))
    job = SourceToRaw(source=str(tmp_path / "source"), max_files_per_shard=2)
    run_edge(Store(tmp_path / "data/store"), job, RawWorker, num_workers=0)
    return tmp_path


def test_the_tars_are_read_by_webdataset_with_every_clip_and_its_text(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(data / "out")]) == 0
    assert "3 clips in" in capsys.readouterr().out
    tars = [str(path) for path in sorted((data / "out").glob("raw-*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    texts = {
        json.loads(sample["json"])["given_text"]: soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")[0]
        for sample in samples
    }
    assert set(texts) == {"This is a.", "This is b.", "This is c."}
    for name, written in SAMPLES.items():
        np.testing.assert_array_equal(texts[f"This is {name}."], written)


def test_a_document_is_a_line_whatever_line_separators_it_holds(data: Path) -> None:
    assert main(["export", str(data / "out")]) == 0
    (lines,) = (data / "out").glob("documents-*.jsonl")
    (line,) = lines.read_text().split("\n")[:-1]
    assert json.loads(line)["text"].startswith("A line.")
    assert json.loads(line)["path"] == "books/essay.txt"


def test_a_folder_that_holds_something_is_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "out").mkdir()
    (data / "out/mine.txt").write_text("mine")
    assert main(["export", str(data / "out")]) == 2
    assert "new or empty" in capsys.readouterr().err
    assert [path.name for path in (data / "out").iterdir()] == ["mine.txt"]


def test_a_ref_without_a_version_is_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(data / "out"), "--ref", "older"]) == 2
    assert "`older`" in capsys.readouterr().err


def test_an_export_that_fails_half_way_leaves_no_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_blob(store: Store, sha256: str) -> Path:
        raise StoreError(f"{sha256}: is not there.")

    monkeypatch.setattr(Store, "open_blob", no_blob)
    before = sorted(data.iterdir())
    assert main(["export", str(data / "out")]) == 2
    assert sorted(data.iterdir()) == before


def test_lhotse_reads_sound_text_and_place(data: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    assert main(["export", "raw", str(data / "out"), "--to", "lhotse"]) == 0
    recordings = lhotse.RecordingSet.from_file(data / "out/recordings.jsonl.gz").with_path_prefix(data / "out")
    supervisions = lhotse.SupervisionSet.from_file(data / "out/supervisions.jsonl.gz")
    cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    lhotse.qa.validate(cuts, read_data=True)
    found = {cut.supervisions[0].text: cut for cut in cuts}
    for name, written in SAMPLES.items():
        cut = found[f"This is {name}."]
        assert cut.supervisions[0].custom["path"] == f"talk/{name}.wav"
        np.testing.assert_array_equal(cut.load_audio()[0], written / np.float32(32_768))


def test_datasets_reads_sound_text_and_features(data: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert main(["export", "raw", str(data / "out"), "--to", "datasets"]) == 0
    found = datasets.load_dataset(str(data / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(found.features["audio"], datasets.Audio)
    undecoded = found.cast_column("audio", datasets.Audio(decode=False))
    rows = {row["text"]: row for row in undecoded}
    for name, written in SAMPLES.items():
        row = rows[f"This is {name}."]
        assert (row["path"], row["corpus"], row["captions"]) == (f"talk/{name}.wav", "talk", [])
        np.testing.assert_array_equal(soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0], written)
