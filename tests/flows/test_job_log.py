"""The log of a Ray job as its client tells it: in chunks that end anywhere, over connections that break."""

import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from uniaudio_flows import job_log
from uniaudio_flows.job_log import LostConnectionError, follow_log


class Played:
    """Each connection sends its chunks from the log's begin and then breaks by an error, closes, or finds the job ended."""

    def __init__(self, *connections: tuple[list[str], Exception | None]) -> None:
        self.connections, self.num_asked, self.num_opened = list(connections), 0, 0

    async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
        chunks, error = self.connections[min(self.num_opened, len(self.connections) - 1)]
        self.num_opened += 1
        for chunk in chunks:
            yield chunk
        if error is not None:
            raise error

    def get_job_status(self, submission_id: str) -> Any:
        self.num_asked += 1
        return SimpleNamespace(is_terminal=lambda: self.num_opened >= len(self.connections))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "_RETRY_S", 0.0)


def lines_of(client: Any) -> list[str]:
    return list(follow_log(client, "job-1"))


def test_chunks_become_lines_wherever_they_end() -> None:
    client = Played((["one\ntw", "o\n\nthr", "ee\nfour"], None))
    assert lines_of(client) == ["one", "two", "", "three", "four"]
    assert (client.num_opened, client.num_asked) == (1, 1), "one connection, and one question at its end"


def test_a_log_of_many_lines_is_sent_once() -> None:
    chunks = ["".join(f"line {100 * i + k}\n" for k in range(100)) for i in range(300)]
    client = Played((chunks, None))
    assert lines_of(client) == [f"line {i}" for i in range(30_000)]
    assert client.num_opened == 1


@pytest.mark.parametrize(
    "error", [None, RuntimeError("closed"), ConnectionError("reset"), aiohttp.ClientError("gone")], ids=str
)
def test_a_connection_that_breaks_is_opened_again_and_no_line_comes_twice(error: Exception | None) -> None:
    client = Played(
        (["one\ntwo\nth"], error),
        (["one\n", "two\nthr", "ee\nfour\n"], error),
        (["one\ntwo\nthree\nfour\nfive\n"], None),
    )
    assert lines_of(client) == ["one", "two", "three", "four", "five"]


def test_a_head_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "PATIENCE_S", 0.05)
    monkeypatch.setattr(job_log, "_RETRY_S", 0.02)
    client = Played(*[([], ConnectionError("refused"))] * 1000)
    with pytest.raises(LostConnectionError, match="finished shards are kept"):
        lines_of(client)
    assert client.num_opened > 1


def test_what_comes_in_between_starts_the_patience_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "PATIENCE_S", 0.2)
    monkeypatch.setattr(job_log, "_RETRY_S", 0.05)
    whole = "".join(f"{number}\n" for number in range(20))
    broken = [([whole[: 2 * number]], ConnectionError("reset")) for number in range(1, 11)]
    assert lines_of(Played(*broken, ([whole], None))) == whole.split()


@pytest.mark.timeout(60)
def test_a_head_that_is_gone_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is away: the connection stays open and silent, and only a question finds out."""
    monkeypatch.setattr(job_log, "QUIET_S", 0.02)
    monkeypatch.setattr(job_log, "PATIENCE_S", 0.05)

    class Silent(Played):
        async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
            import asyncio

            await asyncio.Event().wait()
            yield "never"

        def get_job_status(self, submission_id: str) -> Any:
            raise ConnectionError("no route")

    with pytest.raises(LostConnectionError):
        lines_of(Silent(([], None)))


def test_it_works_where_a_loop_runs_already_and_leaves_no_thread() -> None:
    import asyncio

    async def inside() -> list[str]:
        return lines_of(Played((["one\n"], None)))

    assert asyncio.run(inside()) == ["one"]
    assert not [thread for thread in threading.enumerate() if thread.name == "job-log"]
