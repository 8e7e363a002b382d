"""A codec that is there already, released weights among them: taken into the store as it is, or trained on from."""

import shutil
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.worker import CodecWorker
from uniaudio_pipelines.edge import run_edge
from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.config import CodecConfig

    folder = tmp_path_factory.mktemp("start") / "codec"
    ReasoningCodec.create(CodecConfig.preset("debug"), seed=3).save(folder)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an empty `annotated`: taking a codec reads no audio."""
    store = Store(tmp_path / "store")
    for kind, parents in (("raw", {}), ("annotated", {"raw": "r"})):
        plan = Plan(kind=kind, schema_version=1, parents=parents, parameters={}, code_version="1", units=[])
        with store.writer(plan, owner="test") as writer:
            writer.publish()
    return store


def take(store: Store, folder: Path) -> CodecRow:
    manifest = run_edge(store, AnnotatedToCodec(start=str(folder)), CodecWorker, num_workers=0)
    store.verify(manifest)
    return next(iter(store.rows(manifest, CodecRow)))


def test_a_codec_is_taken_into_the_store_as_it_is(store: Store, codec_folder: Path) -> None:
    from uniaudio.codec.codec import ReasoningCodec

    row = take(store, codec_folder)
    given = ReasoningCodec.load(codec_folder)
    assert row.codec_id == given.fingerprint and row.metrics == []
    assert ReasoningCodec.load_files(row.config, store.open_blob(row.weights)).fingerprint == given.fingerprint
    assert not list(Path(store.root).glob("train/*")), "a copy was left behind"


def test_the_same_codec_in_the_folder_of_a_whole_model_is_the_same_version(
    store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(codec_folder, tmp_path / "model" / "codec")
    plans = [AnnotatedToCodec(start=str(at)).plan(store) for at in (codec_folder, tmp_path / "model")]
    assert plans[0].plan_id == plans[1].plan_id != AnnotatedToCodec().plan(store).plan_id


def test_phases_that_are_named_go_on_from_it_at_its_own_shapes(store: Store, codec_folder: Path) -> None:
    job = AnnotatedToCodec(start=str(codec_folder), size="starter", phases=("decoder",))
    assert [phase.num_steps for phase in job.training_phases()] == [20_000]
    assert job.plan(store).parameters["config"]["size"] == "debug"


def test_a_folder_without_a_codec_and_encoders_beside_one_are_refused(
    store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"`start` must be the folder of a codec, but .*config\.json is missing"):
        AnnotatedToCodec(start=str(tmp_path)).plan(store)
    with pytest.raises(UsageError, match="`encoders` must be empty where `start` names a codec"):
        AnnotatedToCodec(start=str(codec_folder), encoders="/models").plan(store)


def test_weights_that_end_too_soon_are_named_and_nothing_is_published(
    store: Store, codec_folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(codec_folder, tmp_path / "broken"))
    weights = broken / "codec.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"codec\.safetensors: not the weights"):
        take(store, broken)
    assert store.head("codec") is None
