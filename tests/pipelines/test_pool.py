"""How units are given out, on workers that are played: what is lost, what is late and what is scarce is chosen."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from uniaudio_pipelines.running import pool as pools
from uniaudio_pipelines.running.hand import MAX_DEATHS, Losses
from uniaudio_pipelines.running.pool import Pool, WorkerLostError
from uniaudio_schemas.errors import StoreError, UsageError


class Played:
    """`num_places` workers fit; the others wait. A reference is done at the next look once its worker has a place."""

    def __init__(self, num_places: int) -> None:
        self.num_places = num_places
        self.placed: list[int] = []
        self.waiting: list[int] = []
        self.of: dict[int, tuple[int, str]] = {}
        """Reference -> worker and unit, "" for its start."""
        self.given: list[tuple[str, bool, frozenset[str]]] = []
        self.dies_in: list[str] = []
        """Units that end their worker, once for each time they are named."""
        self.num_dead_starts = 0
        self.with_node = False
        self.most_asked = self._last = 0
        self.ended: list[int] = []

    def start(self) -> tuple[int, int]:
        worker, reference = self._next(), self._next()
        self.waiting.append(worker)
        self.of[reference] = (worker, "")
        self.most_asked = max(self.most_asked, len(self.waiting) + len(self.placed))
        return worker, reference

    def give(self, worker: int, unit: str, *, careful: bool, refused: frozenset[str]) -> int:
        assert worker in self.placed, "a worker without a place was given a unit"
        reference = self._next()
        self.of[reference] = (worker, unit)
        self.given.append((unit, careful, refused))
        return reference

    def first(self, references: Sequence[int], timeout_s: float) -> list[int]:
        while self.waiting and len(self.placed) < self.num_places:
            self.placed.append(self.waiting.pop(0))
        return [reference for reference in references if self.of[reference][0] in self.placed]

    def result(self, reference: int) -> str:
        worker, unit = self.of.pop(reference)
        if not unit and self.num_dead_starts:
            self.num_dead_starts -= 1
            self.placed.remove(worker)
            raise WorkerLostError("died while it was built")
        if unit in self.dies_in:
            self.dies_in.remove(unit)
            self.placed.remove(worker)
            lost = WorkerLostError("was killed")
            lost.with_node = self.with_node
            raise lost
        return unit

    def release(self, workers: Sequence[int]) -> None:
        for worker in workers:
            assert worker not in [of for of, unit in self.of.values() if unit], "a worker was released at work"
            self.end(worker)

    def end(self, worker: int) -> None:
        self.ended.append(worker)
        for place in (self.placed, self.waiting):
            if worker in place:
                place.remove(worker)

    def shortage(self) -> str:
        return "for a worker of 1 CPU to start: the cluster has 0 of 0 CPU free on 1 node"

    def _next(self) -> int:
        self._last += 1
        return self._last


def units(count: int) -> list[str]:
    return [f"n-{number}" for number in range(count)]


def worked(workers: Played, todo: list[str], limit: int = 100, row: str = "") -> tuple[list[Any], list[str]]:
    """What was finished, and the lines; `row` is in every careful worker's hand."""
    said: list[str] = []
    pool = Pool(workers, Losses(lambda unit: row), limit=limit, say=said.append)
    return list(pool.work(todo)), said


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by a second at each look."""
    now = iter(range(10**9))
    monkeypatch.setattr(pools.time, "monotonic", lambda: float(next(now)))


def test_each_unit_is_answered_once_and_no_worker_is_left() -> None:
    workers = Played(num_places=3)
    done, _ = worked(workers, units(20))
    assert sorted(done) == sorted(units(20))
    assert workers.placed == workers.waiting == []


def test_workers_are_asked_for_as_units_wait_but_never_beyond_the_limit() -> None:
    few, many = Played(num_places=2), Played(num_places=64)
    worked(few, units(10_000))
    worked(many, units(1_000), limit=24)
    assert few.most_asked == 2 + pools.SPARE
    assert many.most_asked == 24


def test_what_is_asked_for_doubles_while_the_cluster_grows() -> None:
    workers = Played(num_places=64)
    worked(workers, units(10_000), limit=1_000)
    assert workers.most_asked == 128


def test_a_lost_unit_goes_to_an_idle_worker_though_no_place_is_free_for_another() -> None:
    """Replacements of the workers of a dead node wait for ever here: the last units must not wait for them."""
    workers = Played(num_places=2)
    workers.dies_in = ["n-22"]
    original = workers.result

    def result(reference: int) -> str:
        try:
            return original(reference)
        except WorkerLostError:
            workers.num_places = 1
            raise

    workers.result = result  # type: ignore[method-assign]
    done, said = worked(workers, units(24))
    assert sorted(done) == sorted(units(24))
    assert said == ["lost the worker of n-22 (was killed); trying again, row by row"]


def test_a_lost_unit_is_the_next_one() -> None:
    """So that one that kills its workers is known early."""
    workers = Played(num_places=1)
    workers.dies_in = ["n-0"]
    worked(workers, units(3), limit=1)
    assert [unit for unit, *_ in workers.given] == ["n-0", "n-0", "n-1", "n-2"]


def test_idle_workers_are_released_while_the_last_units_run() -> None:
    workers = Played(num_places=4)
    original = workers.first
    # One answers at a time.
    workers.first = lambda references, timeout_s: original(references, timeout_s)[-1:]  # type: ignore[method-assign]
    pool = Pool(workers, Losses(lambda unit: ""), limit=4, say=print)
    reports = pool.work(units(4))
    assert next(reports)
    assert next(reports)
    assert len(workers.placed) <= 3
    assert len(list(reports)) == 2


def test_a_late_worker_is_used() -> None:
    workers = Played(num_places=1)
    pool = Pool(workers, Losses(lambda unit: ""), limit=8, say=print)
    reports = pool.work(units(6))
    next(reports)
    workers.num_places = 3
    next(reports)
    assert len(workers.placed) == 3
    assert len(list(reports)) == 4


def test_without_a_worker_it_is_said_what_is_waited_for_less_and_less_often() -> None:
    workers = Played(num_places=0)
    original, looks = workers.first, iter(range(200))

    def first(references: Sequence[int], timeout_s: float) -> list[int]:
        workers.num_places = 0 if next(looks) < 50 else 1
        return original(references, timeout_s)

    workers.first = first  # type: ignore[method-assign]
    done, said = worked(workers, units(2))
    assert len(done) == 2
    assert 2 <= len(said) <= 5
    assert all(
        line.endswith("s for a worker of 1 CPU to start: the cluster has 0 of 0 CPU free on 1 node") for line in said
    )


def test_an_error_of_a_worker_ends_the_work_and_every_worker() -> None:
    class Refuses(Played):
        def result(self, reference: int) -> str:
            raise UsageError("node b has no folder /data")

    workers = Refuses(num_places=2)
    with pytest.raises(UsageError, match="node b"):
        worked(workers, units(3))
    assert workers.placed == workers.waiting == []


def test_workers_that_never_begin_are_given_up_by_their_reason() -> None:
    workers = Played(num_places=1)
    workers.num_dead_starts = 99
    with pytest.raises(StoreError, match="5 workers ended before they could begin, last: died while it was built"):
        worked(workers, units(1))


def test_a_worker_that_does_not_begin_is_followed_by_another() -> None:
    workers = Played(num_places=1)
    workers.num_dead_starts = 3
    done, said = worked(workers, units(2))
    assert len(done) == 2
    assert [
        line for line in said if line.startswith("a worker ended before it could begin (died while it was built)")
    ] == said[:3]


def test_workers_that_wait_for_one_node_and_are_lost_with_it_are_one_failed_start() -> None:
    workers = Played(num_places=8)
    workers.num_dead_starts = 8
    assert sorted(worked(workers, units(8))[0]) == units(8)


def test_failed_starts_count_only_in_a_row() -> None:
    workers = Played(num_places=1)
    workers.num_dead_starts, workers.dies_in = 4, ["n-0"]
    original = workers.result

    def result(reference: int) -> str:
        try:
            return original(reference)
        except WorkerLostError as error:
            if str(error) == "was killed":
                workers.num_dead_starts = 4
            raise

    workers.result = result  # type: ignore[method-assign]
    assert worked(workers, units(1))[0] == units(1)


def test_after_each_worker_that_does_not_begin_the_next_is_asked_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], list[float]()

    class Clocked(Played):
        def start(self) -> tuple[int, int]:
            asked.append(now[0])
            return super().start()

        def first(self, references: Sequence[int], timeout_s: float) -> list[int]:
            now[0] += 0.1
            return super().first(references, timeout_s)

    monkeypatch.setattr(pools.time, "monotonic", lambda: now[0])
    workers = Clocked(num_places=1)
    workers.num_dead_starts = 4
    assert worked(workers, units(1))[0] == units(1)
    gaps = [later - earlier for earlier, later in zip(asked[:-1], asked[1:], strict=True)]
    assert [int(gap) for gap in gaps] == [0, 1, 3, 7]


def test_what_was_tried_and_how_long_workers_were_held_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Clocked(Played):
        def first(self, references: Sequence[int], timeout_s: float) -> list[int]:
            now[0] += 1.0
            return super().first(references, timeout_s)

    monkeypatch.setattr(pools.time, "monotonic", lambda: now[0])
    workers = Clocked(num_places=2)
    workers.dies_in = ["n-1"]
    pool = Pool(workers, Losses(lambda unit: ""), limit=2, say=print)
    assert sorted(pool.work(units(2))) == units(2)
    # Two begin at 1; at 2 one is lost and the other answers, and does the lost unit until 3.
    assert (pool.attempts, pool.worker_seconds) == (3, 3.0)


def test_a_row_in_hand_of_three_lost_workers_is_refused_from_then_on() -> None:
    workers = Played(num_places=2)
    workers.dies_in = ["n-1"] * MAX_DEATHS
    done, said = worked(workers, units(3), row="clip-7")
    assert sorted(done) == units(3)
    of_it = [(careful, refused) for unit, careful, refused in workers.given if unit == "n-1"]
    assert of_it == [(False, frozenset()), (True, frozenset()), (True, frozenset()), (True, frozenset({"clip-7"}))]
    assert said[-1].endswith("clip-7 was in hand of 3 lost workers and is dropped as kills_its_worker; trying again")


def test_all_rows_that_kill_are_found() -> None:
    workers = Played(num_places=1)
    rows = iter("aabbbccc")
    workers.dies_in = ["n-0"] * (3 * MAX_DEATHS)
    pool = Pool(workers, Losses(lambda unit: next(rows)), limit=1, say=print)
    assert list(pool.work(units(1))) == units(1)
    assert workers.given[-1][2] == {"a", "b", "c"}


def test_workers_killed_at_random_accuse_no_row() -> None:
    workers = Played(num_places=1)
    rows = iter(["a", "b", "a", "b", "a", "b", "a"])
    workers.dies_in = ["n-0"] * 5
    pool = Pool(workers, Losses(lambda unit: next(rows)), limit=1, say=print)
    assert list(pool.work(units(1))) == units(1)
    assert workers.given[-1][2] == frozenset()


@pytest.mark.parametrize(("row", "num_deaths"), [("", MAX_DEATHS), ("other", 2 * MAX_DEATHS)])
def test_a_unit_that_ends_its_workers_and_no_row_can_be_named_is_given_up(row: str, num_deaths: int) -> None:
    workers = Played(num_places=1)
    workers.dies_in = ["n-0"] * 99
    rows = (f"{row}{number}" if row else "" for number in range(99))
    pool = Pool(workers, Losses(lambda unit: next(rows)), limit=1, say=print)
    with pytest.raises(StoreError, match=f"Unit n-0 ended its worker {num_deaths} times, last: was killed"):
        list(pool.work(units(1)))


def test_a_lost_node_accuses_no_row_and_makes_nobody_careful() -> None:
    workers = Played(num_places=1)
    workers.with_node, workers.dies_in = True, ["n-0"] * 4
    done, _ = worked(workers, units(1), row="clip-7")
    assert done == units(1)
    assert {given[1:] for given in workers.given} == {(False, frozenset())}
    workers.dies_in = ["n-0"] * 99
    with pytest.raises(StoreError, match="Unit n-0 was on 10 machines that were lost"):
        worked(workers, units(1))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_every_unit_is_answered_once(seed: int) -> None:
    draw = random.Random(seed)
    workers = Played(num_places=4)
    workers.dies_in = [draw.choice(units(40)) for _ in range(10)]
    original = workers.first

    def first(references: Sequence[int], timeout_s: float) -> list[int]:
        workers.num_places = draw.randint(0, 5)
        ready = original(references, timeout_s)
        return draw.sample(ready, len(ready))

    workers.first = first  # type: ignore[method-assign]
    marks = (f"row-{number}" for number in range(99))
    pool = Pool(workers, Losses(lambda unit: next(marks)), limit=draw.randint(1, 9), say=lambda line: None)
    assert sorted(pool.work(units(40))) == sorted(units(40))
    assert workers.placed == workers.waiting == []
