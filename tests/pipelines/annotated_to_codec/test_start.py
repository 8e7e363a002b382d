"""A codec that is there already, released weights among them: taken into the store as it is, or trained on from."""

import shutil
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_codec.__main__ import run
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store

from uniaudio.stages.codec_phases import codec_phase

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.config.presets import CodecConfig

    folder = tmp_path_factory.mktemp("start") / "codec"
    ReasoningCodec.create(CodecConfig.preset("debug"), seed=3).save(folder)
    return folder


def take(store: Store, folder: Path) -> CodecRow:
    manifest = run(store, AnnotatedToCodec(start=str(folder)), owner="test")
    store.verify(manifest)
    return next(iter(store.rows(manifest, CodecRow)))


def test_a_codec_is_taken_into_the_store_as_it_is(annotated_store: Store, codec_folder: Path) -> None:
    from uniaudio.codec.codec import ReasoningCodec

    row = take(annotated_store, codec_folder)
    given = ReasoningCodec.load(codec_folder)
    assert row.codec_id == given.fingerprint and row.metrics == []
    assert (
        ReasoningCodec.load_files(row.config, annotated_store.open_blob(row.weights)).fingerprint == given.fingerprint
    )
    assert not list(Path(annotated_store.root).glob("train/*")), "a copy was left behind"


def test_the_same_codec_in_the_folder_of_a_whole_model_is_the_same_version(
    annotated_store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(codec_folder, tmp_path / "model" / "codec")
    plans = [AnnotatedToCodec(start=str(at)).plan(annotated_store) for at in (codec_folder, tmp_path / "model")]
    assert plans[0].plan_id == plans[1].plan_id != AnnotatedToCodec().plan(annotated_store).plan_id


def test_phases_that_are_named_go_on_from_it_at_its_own_shapes(annotated_store: Store, codec_folder: Path) -> None:
    job = AnnotatedToCodec(start=str(codec_folder), size="starter", phases=("decoder",))
    assert [phase.num_steps for phase in job.training_phases()] == [codec_phase("decoder", "starter").num_steps]
    assert job.plan(annotated_store).parameters["config"]["size"] == "debug"


def test_a_folder_without_a_codec_and_encoders_beside_one_are_refused(
    annotated_store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"`start` must be the folder of a codec, but .*config\.json is missing"):
        AnnotatedToCodec(start=str(tmp_path)).plan(annotated_store)
    with pytest.raises(UsageError, match="`encoders` must be empty where `start` names a codec"):
        AnnotatedToCodec(start=str(codec_folder), encoders="/models").plan(annotated_store)


def test_weights_that_end_too_soon_are_named_and_nothing_is_published(
    annotated_store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(codec_folder, tmp_path / "broken"))
    weights = broken / "codec.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"codec\.safetensors: not the weights"):
        take(annotated_store, broken)
    assert annotated_store.head("codec") is None
