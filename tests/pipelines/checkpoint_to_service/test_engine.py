"""Answers share a batch and nothing else: what is wrong with one of them ends that one."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from uniaudio_pipelines.checkpoint_to_service.engine import Engine
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_schemas.errors import DataError

from uniaudio.lm.answer import Generated, Piece
from uniaudio.lm.running_batch import Query, RunningBatch
from uniaudio.lm.sampling import Sampling
from uniaudio.run.model import Options
from uniaudio.run.request import Request

BAD_SEED = 666
NUM_GOOD_FRAMES = 2
"""Frames that the bad answer has before it fails."""
PATIENCE_S = 60
Step = Callable[..., Any]


@pytest.fixture
def engine(replica: Replica) -> Iterator[Engine]:
    parts = replica._loaded.model.parts
    made = Engine(parts.model, parts.vocabulary, num_rows=4)
    yield made
    made.close()


def query_of(replica: Replica, seed: int) -> Query:
    options = Options(sampling=Sampling(temperature=0.9, top_k=50, seed=seed), max_seconds=0.8)
    return replica._loaded.model.query("tts", Request(text=f"word {seed}"), options)


def is_due(row: Any) -> bool:
    """Whether it is the bad answer, and far enough to fail."""
    return bool(row.sampling.seed == BAD_SEED and row.answer.num_steps > NUM_GOOD_FRAMES)


def sampling_illegal_ids(original: Step) -> Step:
    def sample(self: RunningBatch, hidden: Any, uniforms: Any, rows: Any) -> Any:
        drawn = original(self, hidden, uniforms, rows)
        return [[1 << 20] * 8 if is_due(row) else ids for row, ids in zip(rows, drawn, strict=True)]

    return sample


def failing(original: Step) -> Step:
    def feed(self: RunningBatch) -> None:
        if any(is_due(row) for row in self.rows):
            raise RuntimeError("no memory is left")
        original(self)

    return feed


def plain(answer: Generated) -> Any:
    return [(segment.kind, segment.ids.tolist(), segment.finished) for segment in answer.segments]


def asked_together(engine: Engine, queries: list[Query]) -> list[Any]:
    async def run() -> list[Any]:
        asking = (asyncio.wait_for(engine.answer(query), PATIENCE_S) for query in queries)
        return await asyncio.gather(*asking, return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "broken", "error"),
    [("_sample_frames", sampling_illegal_ids, DataError), ("_feed", failing, RuntimeError)],
    ids=["illegal ids", "a whole step"],
)
def test_what_is_wrong_with_one_answer_ends_that_one_alone(
    engine: Engine,
    replica: Replica,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    broken: Callable[[Step], Step],
    error: type[Exception],
) -> None:
    seeds = [1, 2, BAD_SEED, 3, 4]
    queries = [query_of(replica, seed) for seed in seeds]
    alone = {seed: plain(asked_together(engine, [query])[0]) for seed, query in zip(seeds, queries, strict=True)}
    monkeypatch.setattr(RunningBatch, method, broken(getattr(RunningBatch, method)))
    for seed, answer in zip(seeds, asked_together(engine, queries), strict=True):
        if seed == BAD_SEED:
            assert isinstance(answer, error), answer
        else:
            assert isinstance(answer, Generated), answer
            assert plain(answer) == alone[seed]
    engine.check()
    assert not engine.num_writing and not engine.num_waiting


def test_an_answer_that_begins_again_tells_no_piece_twice(
    engine: Engine, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pieces_of(query: Query) -> list[Piece]:
        return [piece async for piece, _ in engine.write(query)]

    async def run(*seeds: int) -> list[Any]:
        asking = (asyncio.wait_for(pieces_of(query_of(replica, seed)), PATIENCE_S) for seed in seeds)
        return await asyncio.gather(*asking, return_exceptions=True)

    [alone] = asyncio.run(run(1))
    monkeypatch.setattr(RunningBatch, "_feed", failing(RunningBatch._feed))
    together, failed = asyncio.run(run(1, BAD_SEED))
    assert isinstance(failed, RuntimeError)
    assert together == alone
