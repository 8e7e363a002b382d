"""Which training checkpoints stay, on a disk and in an object store, and that none stays in part."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from uniaudio_pipelines.ray_training.keeping import Keeping, check_wandb
from uniaudio_pipelines.ray_training.run_folder import RUN, RunFolder
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store

PLAN_ID = "a" * 32
FILES = ("shard-00001-model-00001-of-00001.safetensors", "shard-00002-model-00001-of-00001.safetensors", "state.json")


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield Store(tmp_path / "store") if request.param == "disk" else Store.from_uri(f"memory://{tmp_path.name}")


def put_checkpoint(store: Store, name: str, text: str) -> None:
    for file in FILES:
        store.files.write(f"train/{PLAN_ID}/{RUN}/{name}/{file}", f"{text} {file}".encode())


def texts(store: Store, folder: str) -> dict[str, str]:
    found = store.files.entries(f"train/{PLAN_ID}/{folder}")
    return {entry.path.rpartition("/")[2]: (store.files.read(entry.path) or b"").decode() for entry in found}


@pytest.mark.parametrize(
    ("keeping", "kept"),
    [
        (Keeping(), set()),
        (Keeping(every=2), {20, 40}),
        (Keeping(best=1), {30}),
        (Keeping(best=2, every=4), {20, 30, 40}),
        (Keeping(best=9), {10, 20, 30}),
    ],
)
def test_every_so_many_and_the_best_stay(keeping: Keeping, kept: set[int]) -> None:
    losses = {0: 0.1, 10: 3.0, 20: 2.0, 30: 1.5}
    assert keeping.beside([10, 20, 30, 40], losses, checkpoint_every=10) == kept
    one_by_one: set[int] = set()
    for step in (10, 20, 30, 40):
        so_far = {at: loss for at, loss in losses.items() if at <= step}
        one_by_one = keeping.beside({*one_by_one, step}, so_far, checkpoint_every=10)
    assert one_by_one == kept


@pytest.mark.parametrize("field", ["last", "every", "best"])
def test_less_than_nothing_is_not_kept(field: str) -> None:
    with pytest.raises(UsageError, match=f"`keep_{field}` must be . or more, but is -1"):
        Keeping(**{field: -1}).check()
    with pytest.raises(UsageError, match="`keep_last` must be 1 or more"):
        Keeping(last=0).check()


def test_weights_and_biases_that_are_not_installed_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio_pipelines.ray_training.keeping.find_spec", lambda name: None)
    check_wandb("")
    with pytest.raises(UsageError, match="`wandb_project` must be empty where wandb is not installed, but is mine"):
        check_wandb("mine")


def test_a_copy_stays_when_the_run_is_cleared(store: Store) -> None:
    run = RunFolder(store, PLAN_ID)
    put_checkpoint(store, "checkpoint_1", "first")
    run.write_progress({"step": 3})
    run.keep("checkpoint_1", "stage3", 20)
    run.keep("checkpoint_1", "stage3-long", 30)
    run.clear()
    assert texts(store, f"{RUN}/checkpoint_1") == {}
    assert texts(store, "kept/stage3-00000020") == {file: f"first {file}" for file in FILES}
    assert (run.kept("stage3"), run.kept("stage3-long"), run.kept("stage")) == ({20}, {30}, set())
    run.let_go("stage3", 20)
    run.let_go("stage3-long", 30)
    run.clear()
    assert [entry.path for entry in store.files.entries("train")] == []


def test_a_step_that_is_done_again_has_the_newer_copy(store: Store) -> None:
    run = RunFolder(store, PLAN_ID)
    put_checkpoint(store, "checkpoint_1", "first")
    put_checkpoint(store, "checkpoint_2", "second")
    store.files.write(f"train/{PLAN_ID}/{RUN}/checkpoint_1/shard-00003-model-00001-of-00001.safetensors", b"of a third")
    run.keep("checkpoint_1", "stage3", 20)
    run.keep("checkpoint_2", "stage3", 20)
    assert texts(store, "kept/stage3-00000020") == {file: f"second {file}" for file in FILES}


def test_a_copy_without_its_state_is_none(store: Store) -> None:
    run = RunFolder(store, PLAN_ID)
    put_checkpoint(store, "checkpoint_1", "first")
    run.keep("checkpoint_1", "stage3", 20)
    store.files.delete(f"train/{PLAN_ID}/kept/stage3-00000020/state.json")
    assert run.kept("stage3") == set()


def test_a_copy_on_a_disk_takes_no_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    put_checkpoint(store, "checkpoint_1", "first")
    RunFolder(store, PLAN_ID).keep("checkpoint_1", "stage3", 20)
    folder = Path(store.root) / "train" / PLAN_ID
    assert (folder / RUN / "checkpoint_1" / FILES[0]).samefile(folder / "kept" / "stage3-00000020" / FILES[0])
