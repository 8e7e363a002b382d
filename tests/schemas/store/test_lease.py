import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.errors import LeaseLostError, StoreError
from uniaudio_schemas.store import Store, lease
from uniaudio_schemas.store.processes import Silence
from uniaudio_schemas.testing import a_plan, example_rows

PLAN = a_plan(units=("a", "b"))


def held(store: Store) -> lease.Lease:
    found = lease.read_lease(store.files, "raw", PLAN.plan_id)
    assert found is not None
    return found


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of the holder's process, as if it ran on another machine."""
    monkeypatch.setattr(lease, "process_lives", lambda identity: None)


def test_another_owner_is_refused_at_once_while_the_holders_process_lives(store: Store) -> None:
    with store.writer(PLAN, owner="one"):
        started = time.monotonic()
        with pytest.raises(StoreError, match="is being made by 'one' now"), store.writer(PLAN, owner="two"):
            pass
        assert time.monotonic() - started < 1


def test_the_same_owner_takes_over_and_the_old_writer_can_do_nothing_more(store: Store) -> None:
    zombie = store.writer(PLAN, owner="job-1")
    zombie.__enter__()
    zombie.put_shard("a", example_rows("raw"))
    with store.writer(PLAN, owner="job-1") as writer:
        assert writer.token == zombie.token + 1
        attempts = [
            lambda: zombie.put_shard("b", example_rows("raw", 2)),
            lambda: zombie.put_blob(b"late"),
            zombie.publish,
            lambda: store.shard_writer(PLAN, zombie.token).put_shard("b", []),
        ]
        for attempt in attempts:
            with pytest.raises(LeaseLostError, match=r"took over \(token 2, ours is 1\)"):
                attempt()
        assert writer.done() == {"a"}
        zombie.__exit__(None, None, None)
        writer.put_shard("b", example_rows("raw", first=1))
        assert writer.publish().num_rows == 2


def test_a_put_that_loses_its_lease_in_the_middle_is_not_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniaudio_schemas.store import shard_writer as module

    zombie = store.writer(PLAN, owner="job-1")
    zombie.__enter__()
    real = module.row_hashes

    def take_over(*arguments: Any) -> Any:
        with store.writer(PLAN, owner="job-1"):
            pass
        return real(*arguments)

    monkeypatch.setattr(module, "row_hashes", take_over)
    with pytest.raises(LeaseLostError):
        zombie.put_shard("a", example_rows("raw"))
    monkeypatch.undo()
    zombie.__exit__(None, None, None)
    with store.writer(PLAN, owner="job-1") as writer:
        assert writer.done() == set()


def test_a_worker_of_a_writer_that_ended_can_put_nothing(store: Store) -> None:
    with store.writer(PLAN, owner="one") as writer:
        store.shard_writer(PLAN, writer.token).put_shard("a", [])
    with pytest.raises(LeaseLostError, match="has ended"):
        store.shard_writer(PLAN, writer.token).put_shard("b", [])
    with pytest.raises(LeaseLostError, match="nobody holds its lease"):
        store.shard_writer(a_plan(other=1), 1).put_shard("queen-00000", [])


@pytest.mark.usefixtures("elsewhere")
def test_an_expired_lease_is_taken_over_after_waiting_for_it(store: Store) -> None:
    lease.acquire(store.files, "raw", PLAN.plan_id, "dead", lease_s=0.5)
    started = time.monotonic()
    with store.writer(PLAN, owner="next") as writer:
        assert writer.token == 2
        assert 0.3 < time.monotonic() - started < 1.5


@pytest.mark.usefixtures("elsewhere")
def test_a_heart_beat_keeps_the_lease_and_the_waiting_owner_gives_up(store: Store) -> None:
    with store.writer(PLAN, owner="one", lease_s=0.6) as writer:
        first = held(store).expires_at
        with (
            pytest.raises(StoreError, match="is being made by 'one' now"),
            store.writer(PLAN, owner="two", lease_s=0.6),
        ):
            pass
        time.sleep(0.7)
        assert held(store).expires_at > first and held(store).token == writer.token
        writer.put_shard("a", [])


def test_tokens_go_on_counting_after_release(store: Store) -> None:
    tokens = []
    for owner in ("one", "two", "one"):
        with store.writer(PLAN, owner=owner) as writer:
            tokens.append(writer.token)
        assert held(store).expires_at == 0
    assert tokens == [1, 2, 3]


def test_the_lease_of_a_dead_process_is_free_at_once(store: Store) -> None:
    code = (
        "import os, sys; from uniaudio_schemas.store import Store; from uniaudio_schemas.testing import a_plan;"
        "Store(sys.argv[1]).writer(a_plan(units=('a', 'b')), owner='dead').__enter__(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=True)
    assert held(store).expires_at > time.time() and not held(store).live
    started = time.monotonic()
    with store.writer(PLAN, owner="next") as writer:
        assert writer.token == 2
    assert time.monotonic() - started < 1


def test_a_process_is_known_by_more_than_its_number() -> None:
    mine = lease.process_identity()
    assert lease.process_lives(mine) is True
    assert lease.process_lives(mine.rpartition(":")[0] + ":1") is False
    assert lease.process_lives("other-machine:1:" + str(os.getpid()) + ":1") is None
    assert lease.process_lives("") is None


@pytest.mark.usefixtures("elsewhere")
def test_of_many_that_race_for_a_free_lease_one_gets_it(store: Store) -> None:
    taken, refused = [], []

    def race(owner: str) -> None:
        try:
            taken.append(lease._try(store.files, "raw", PLAN.plan_id, owner, 30.0, Silence())[0])
        except StoreError as error:
            refused.append(error)

    threads = [threading.Thread(target=race, args=(str(index),)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in taken if one]) == 1 and not refused and held(store).token == 1


@pytest.mark.slow
def test_two_processes_with_one_owner_racing_publish_once_and_the_loser_says_so(tmp_path: Path) -> None:
    worker = Path(__file__).with_name("worker.py")
    for attempt in range(5):
        root = tmp_path / str(attempt)
        both = [
            subprocess.Popen([sys.executable, str(worker), str(root), "same"], stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = [process.communicate()[1] for process in both]
        manifest = Store(root).head("tokens")
        assert manifest is not None and manifest.num_rows == 36
        Store(root).verify(manifest)
        assert [process.returncode for process in both].count(0) >= 1
        assert all("LeaseLostError" in text for process, text in zip(both, errors, strict=True) if process.returncode)
