"""Answers join and leave a batch that is being written, and each is the answer that its query gets alone."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.lm.answer import Generated
from uniaudio.lm.cache import KVCache
from uniaudio.lm.config import LMConfig
from uniaudio.lm.grammar import plan_of
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.running_batch import Query, Row, RunningBatch
from uniaudio.lm.sampling import Draw, Sampling
from uniaudio.sequence.vocabulary import Vocabulary

VOCABULARY = Vocabulary()
MakeRow = Callable[..., SimpleNamespace]
SAMPLINGS = (
    Sampling(),
    Sampling(temperature=1.0, top_k=40, top_p=0.95),
    Sampling(temperature=0.8, cfg_scale=2.0),
    Sampling(temperature=1.0, repetition_penalty=1.5, no_repeat_ngram=2),
    Sampling(temperature=1.2, cfg_scale=0.5, groups={"acoustic": Draw(temperature=2.0)}),
)
PATTERNS = ("ttttt", "tttaaaaaaaaa", "t", "ttttttttttttttttaat")
MODES = ("text", "audio", "reconstruction")


@pytest.fixture(scope="module", params=[False, True], ids=["", "compiled"])
def model(request: pytest.FixtureRequest) -> UniAudioLM:
    model = UniAudioLM(LMConfig.preset("debug", VOCABULARY), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    model.compile_decoding(request.param)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def queries(make_row: MakeRow) -> list[Query]:
    """Every mode, every prompt and every sampling."""
    return [
        Query(
            prompt=make_row(PATTERNS[number % len(PATTERNS)], number),
            plan=plan_of(MODES[number % len(MODES)]),
            max_frames=4 + number % 5,
            max_text=6 + number % 7,
            sampling=SAMPLINGS[number % len(SAMPLINGS)],
            seed=100 + number,
        )
        for number in range(10)
    ]


def ids_of(answer: Generated) -> list[tuple[str, list[object], str]]:
    return [(segment.kind, segment.ids.tolist(), segment.finished) for segment in answer.segments]


def finish(batch: RunningBatch) -> None:
    while batch.rows:
        batch.step()


@pytest.fixture(scope="module")
def alone(model: UniAudioLM, queries: list[Query]) -> list[object]:
    answers = []
    for query in queries:
        batch = RunningBatch(model, VOCABULARY)
        row = batch.open(query)
        batch.join([row])
        finish(batch)
        answers.append(ids_of(row.answer.result()))
    return answers


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    joins=st.permutations(range(10)),
    steps=st.lists(st.integers(0, 5), min_size=10, max_size=10),
    leavers=st.sets(st.integers(0, 9), max_size=3),
)
def test_answers_that_join_and_leave_at_any_time_are_those_alone(
    model: UniAudioLM,
    queries: list[Query],
    alone: list[object],
    joins: list[int],
    steps: list[int],
    leavers: set[int],
) -> None:
    batch = RunningBatch(model, VOCABULARY, num_rows=8)
    rows: dict[int, Row] = {}
    for number, num_steps in zip(joins, steps, strict=True):
        rows[number] = batch.open(queries[number])
        batch.join([rows[number]])
        for _ in range(num_steps):
            batch.step()
        given_up = next((other for other in leavers & rows.keys() if rows[other] in batch.rows), None)
        if given_up is not None:
            batch.leave(rows[given_up])
    finish(batch)
    for number, row in rows.items():
        if row.answer.is_done:
            assert ids_of(row.answer.result()) == alone[number], number
        else:
            assert number in leavers
    assert batch.cache.num_bytes == 0


def test_seeds_decide_an_answer_and_neighbours_do_not(model: UniAudioLM, make_row: MakeRow) -> None:
    def answers(seeds: list[int]) -> list[list[tuple[str, list[object], str]]]:
        batch = RunningBatch(model, VOCABULARY, num_rows=len(seeds))
        query = {"prompt": make_row("ttt", 1), "plan": plan_of("audio"), "max_frames": 5, "sampling": SAMPLINGS[1]}
        rows = [batch.open(Query(**query, seed=seed)) for seed in seeds]
        batch.join(rows)
        finish(batch)
        return [ids_of(row.answer.result()) for row in rows]

    first, second, again = answers([7, 8, 7])
    assert first == again != second
    assert answers([7]) == [first]


def test_text_that_audio_joins_gets_no_audio_part_before(model: UniAudioLM, queries: list[Query]) -> None:
    batch = RunningBatch(model, VOCABULARY)
    batch.join([batch.open(queries[0])])
    assert set(batch.cache.stacks) == {"backbone"}
    batch.join([batch.open(queries[1])])
    assert set(batch.cache.stacks) == {"backbone", "understanding_expert", "generation_expert"}


def test_a_prompt_that_cannot_be_read_leaves_the_others_as_they_are(
    model: UniAudioLM, queries: list[Query], alone: list[object], make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = RunningBatch(model, VOCABULARY)
    row = batch.open(queries[3])
    batch.join([row])
    batch.step()
    with pytest.raises(UsageError, match="but is empty"):
        batch.join([batch.open(Query(prompt=make_row("", 1), plan=("text",)))])
    with monkeypatch.context() as patch, pytest.raises(DataError, match="overflows"):
        patch.setattr(
            UniAudioLM, "forward", lambda self, ids, *_, **__: torch.full((*ids.shape[:2], self.config.width), np.nan)
        )
        batch.join([batch.open(queries[1])])
    finish(batch)
    assert ids_of(row.answer.result()) == alone[3]
    assert batch.cache.num_bytes == 0


def test_a_prompt_that_cannot_be_read_holds_nothing(
    model: UniAudioLM, queries: list[Query], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*_: object, **__: object) -> torch.Tensor:
        raise MemoryError

    batch = RunningBatch(model, VOCABULARY)
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(UniAudioLM, "forward", forward)
        batch.join([batch.open(queries[1])])
    assert batch.cache.num_bytes == 0


def test_a_prompt_that_finds_no_room_leaves_the_others_as_they_are(
    model: UniAudioLM, queries: list[Query], alone: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = RunningBatch(model, VOCABULARY)
    row, late = batch.open(queries[1]), batch.open(queries[5])
    batch.join([row])
    batch.step()
    resize, stacks = KVCache.resize, []

    def resize_one_stack(cache: KVCache, num_rows: int, *sizes: int) -> None:
        if num_rows > 1 and stacks:
            raise MemoryError
        stacks.append(cache)
        resize(cache, num_rows, *sizes)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(KVCache, "resize", resize_one_stack)
        batch.join([late])
    batch.step()
    batch.join([late])
    finish(batch)
    assert [ids_of(one.answer.result()) for one in (row, late)] == [alone[1], alone[5]]


def test_numbers_that_are_none_in_one_row_reach_no_other(
    model: UniAudioLM, queries: list[Query], alone: list[object]
) -> None:
    batch = RunningBatch(model, VOCABULARY)
    broken, long, short = (batch.open(queries[number]) for number in (6, 3, 0))
    for row in (broken, long, short):
        batch.join([row])
    [cache] = batch.cache.stacks.values()
    cache.both[:, :, 0] = torch.nan
    batch.leave(broken)
    batch.step()
    # As a prompt leaves it with which the model overflows.
    cache._buffer[:, :, 2] = torch.nan
    late = batch.open(queries[6])
    batch.join([late])
    finish(batch)
    answers = [ids_of(row.answer.result()) for row in (long, short, late)]
    assert answers == [alone[3], alone[0], alone[6]]
