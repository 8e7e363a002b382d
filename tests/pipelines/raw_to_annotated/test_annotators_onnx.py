"""Annotators by models in ONNX, on models with the same inputs and outputs that do something one can work out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.onnx_models import MODELS, EcapaSpeaker, PyannoteOverlap
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.cuts import Cut

from tests.pipelines.raw_to_annotated.clips import a_raw

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RATE = 16_000
WINDOW, HOP, REACH = 160_000, 270, 991
"""Samples of pyannote's segmentation: a window, from frame to frame, and those that a frame hears."""


def clip(samples: np.ndarray, speech: np.ndarray | None = None) -> Clip:
    raw = a_raw()
    analysis = samples.astype(np.float32)
    known = speech if speech is not None else np.zeros(0, np.float32)
    return Clip(raw=raw, domain="speech", samples=analysis[None], analysis=analysis, speech_probabilities=known)


def save(path: Path, nodes: list[Any], constants: dict[str, np.ndarray], shape: list[Any]) -> None:
    path.parent.mkdir(parents=True)
    of_type = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "double",
        [onnx.helper.make_tensor_value_info("x", of_type, shape)],
        [onnx.helper.make_tensor_value_info("y", of_type, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An embedding that is the first 16 bands of the mean frame and their loudness; and one that hears one voice above 0.1, two above 0.3."""
    node = onnx.helper.make_node
    embed = [
        node("Abs", ["x"], ["loud"]),
        node("ReduceMean", ["loud"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "first"], ["y"]),
    ]
    save(tmp_path / "ecapa/model.onnx", embed, {"first": np.eye(80, 16, dtype=np.float32)}, [1, "T", 80])
    average = np.zeros((7, 1, REACH), np.float32)
    # Of a constant level a: silence gets 0.1, one voice a, two voices 2 a - 0.3; the other classes little.
    average[1], average[4] = 1 / REACH, 2 / REACH
    offset = np.array([0.1, 0.0, -1.0, -1.0, -0.3, -1.0, -1.0], np.float32)
    segment = [
        node("Conv", ["x", "average", "offset"], ["classes"], strides=[HOP]),
        node("Transpose", ["classes"], ["y"], perm=[0, 2, 1]),
    ]
    save(tmp_path / "pyannote-segmentation/model.onnx", segment, {"average": average, "offset": offset}, [1, 1, WINDOW])
    return tmp_path


def levels(*seconds_and_level: tuple[float, float]) -> np.ndarray:
    return np.concatenate([np.full(round(seconds * RATE), level, np.float32) for seconds, level in seconds_and_level])


def test_overlap_is_the_share_of_speech_in_which_two_voices_are_heard(models: Path) -> None:
    (value,) = PyannoteOverlap(models, "cpu").annotate(clip(levels((2, 0.0), (3, 0.2), (1, 0.5))))
    assert value.column == "overlap_fraction"
    assert value.value == pytest.approx(1 / 4, abs=0.01)


def test_overlap_of_a_clip_longer_than_a_window_is_that_of_the_whole(models: Path) -> None:
    (value,) = PyannoteOverlap(models, "cpu").annotate(clip(levels((9, 0.2), (9, 0.5), (2, 0.0))))
    assert value.value == pytest.approx(1 / 2, abs=0.01)


@pytest.mark.parametrize("samples", [levels((5, 0.0)), levels((0.5, 0.5)), np.zeros(0, np.float32)])
def test_without_a_second_of_speech_no_overlap_is_told(models: Path, samples: np.ndarray) -> None:
    assert PyannoteOverlap(models, "cpu").annotate(clip(samples)) == []


def test_an_embedding_is_a_direction_of_the_voiced_part_alone(models: Path) -> None:
    rng = np.random.default_rng(0)
    voice, noise = 0.1 * rng.standard_normal(2 * RATE), 0.01 * rng.standard_normal(2 * RATE)
    speech = np.concatenate([np.ones(2 * RATE // 512, np.float32), np.zeros(2 * RATE // 512 + 2, np.float32)])
    annotator = EcapaSpeaker(models, "cpu")
    (mixed,) = annotator.annotate(clip(np.concatenate([voice, noise]), speech))
    (alone,) = annotator.annotate(clip(np.concatenate([voice, noise])[: (2 * RATE // 512 + 1) * 512]))
    assert np.linalg.norm(mixed.value) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(mixed.value, alone.value, atol=1e-5)
    assert mixed.confidence == pytest.approx(0.4, abs=0.01)


def test_an_embedding_does_not_depend_on_the_level(models: Path) -> None:
    """The features are log energies without their mean."""
    voice = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    annotator = EcapaSpeaker(models, "cpu")
    loud, quiet = (annotator.annotate(clip(gain * voice))[0].value for gain in (1.0, 0.25))
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_a_short_or_silent_clip_has_no_embedding(models: Path) -> None:
    annotator = EcapaSpeaker(models, "cpu")
    assert annotator.annotate(clip(np.zeros(2 * RATE))) == annotator.annotate(clip(np.ones(RATE // 4))) == []


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_is_not_there_or_is_none_is_named(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{model.folder}/model.onnx is missing"):
        model(tmp_path, "cpu")
    (tmp_path / model.folder).mkdir()
    (tmp_path / model.folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=f"{model.folder}/model.onnx: is no model"):
        model(tmp_path, "cpu")


def test_a_model_with_other_outputs_is_named(models: Path) -> None:
    (models / "pyannote-segmentation/model.onnx").write_bytes((models / "ecapa/model.onnx").read_bytes())
    with pytest.raises(DataError, match="pyannote-segmentation"):
        PyannoteOverlap(models, "cpu").annotate(clip(levels((2, 0.2))))


@pytest.mark.parametrize("model", MODELS)
def test_they_are_in_the_table_and_not_asked_by_default(model: Any) -> None:
    assert table.ANNOTATORS[model.name] is model
    assert model.name not in table.DEFAULT
    assert set(model.writes) <= set(Cut.__dataclass_fields__)
