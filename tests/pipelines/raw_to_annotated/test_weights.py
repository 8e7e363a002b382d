"""Plans name the weights of their annotators by their bytes."""

import os
from pathlib import Path

import pytest
from uniaudio_pipelines.raw_to_annotated import cuts_worker
from uniaudio_pipelines.raw_to_annotated.annotators import table, weights
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import version_of
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.store import Store

ASKED = ("loudness", "ecapa_speaker")


class Ecapa:
    name = "ecapa_speaker"

    def __init__(self, models: Path, device: str) -> None: ...

    @classmethod
    def version(cls) -> str:
        return "ecapa-1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_known", {})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models/ecapa").mkdir(parents=True)
    (tmp_path / "models/ecapa/model.onnx").write_bytes(b"weights")
    return tmp_path / "models"


def test_other_weights_in_the_same_folder_are_another_plan(models: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.txt").write_text("A note about a bell. It rings.")
    store, job = Store(tmp_path / "store"), RawToAnnotated(models=str(models), annotators=ASKED)
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    before, cuts = job.plan(store), RawToCuts(annotate=job).plan(store)
    assert job.plan(store) == before
    (models / "ecapa/model.onnx").write_bytes(b"other weights")
    assert job.plan(store).plan_id != before.plan_id
    assert RawToCuts(annotate=job).plan(store).plan_id != cuts.plan_id
    assert RawToAnnotated(annotators=("loudness",), models="nowhere").plan(store).parameters["annotators"].keys() == {
        "loudness"
    }


def test_a_file_is_hashed_once_and_again_when_it_changed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def told(path: str) -> str:
        hashed.append(path)
        return weights_hash(path)

    weights_hash = weights.hash_file
    monkeypatch.setattr(weights, "hash_file", told)
    first = table.versions(ASKED, models)
    monkeypatch.setattr(weights, "_known", {})  # another process
    assert table.versions(ASKED, models) == first and len(hashed) == 1
    path = models / "ecapa/model.onnx"
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    assert table.versions(ASKED, models) != first and len(hashed) == 2
    monkeypatch.setattr(weights, "private_folder", lambda folder: (_ for _ in ()).throw(OSError("read only")))
    monkeypatch.setattr(weights, "_known", {})
    assert table.versions(ASKED, models) != first and len(hashed) == 3


def test_what_is_missing_is_said_and_names_no_weights(tmp_path: Path) -> None:
    assert table.versions(ASKED, tmp_path)["ecapa_speaker"].endswith(f"-{weights.MISSING}")
    assert set(table.WEIGHTS) <= set(table.ANNOTATORS)


def test_an_annotator_answers_in_the_version_that_was_planned_or_not_at_all(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table.ANNOTATORS, "ecapa_speaker", Ecapa)
    planned = table.versions(("ecapa_speaker",), models)
    (loaded,) = table.load(("ecapa_speaker",), models, "cpu")
    assert version_of(loaded) == planned["ecapa_speaker"] == f"ecapa-1-{weights.weights_id(models, ('ecapa/*',))}"
    (models / "ecapa/model.onnx").write_bytes(b"of this machine")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.txt").write_text("A note about a bell. It rings.")
    store, job = Store(tmp_path / "store"), RawToAnnotated(models=str(models), annotators=("ecapa_speaker",))
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    plan = RawToCuts(annotate=job).plan(store)
    (models / "ecapa/model.onnx").write_bytes(b"of another machine")
    with pytest.raises(DataError, match=r"`ecapa_speaker` must be ecapa-1-.*, as planned, but is ecapa-1-.* on this"):
        cuts_worker.CutsWorker(str(store.root), RawToCuts(annotate=job), plan)
