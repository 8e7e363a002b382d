"""What a run shows, on artifacts that are played."""

import logging
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from uniaudio_flows import artifacts
from uniaudio_flows.artifacts import Board, Shown

LOG = logging.getLogger(__name__)


class Server:
    """Key of an artifact -> what it was at last, and how often it was told."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[Any, str]]] = {}
        self.is_away = False

    def tell(self, key: str, data: Any, description: str) -> str:
        if self.is_away:
            raise httpx.ConnectError("refused")
        self.told.setdefault(key, []).append((data, description))
        return key

    def last(self, key: str) -> tuple[Any, str]:
        return self.told[key][-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    played = Server()
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(artifacts, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    create = lambda progress, key, description: played.tell(key, progress, description)  # noqa: E731
    monkeypatch.setattr(artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(
        artifacts,
        "update_progress_artifact",
        lambda key, progress, description: played.tell(key, progress, description),
    )
    monkeypatch.setattr(
        artifacts, "create_table_artifact", lambda table, key, description: played.tell(key, table, description)
    )
    return played


def manifest(kind: str) -> Any:
    return SimpleNamespace(kind=kind, num_rows=7, dropped={"too_short": 2}, content_id="77aa", plan_id="1234")


def test_the_whole_way_moves_with_each_edge(server: Server) -> None:
    board = Board(flow="build-it", kinds=["raw", "annotated", "codec", "tokens"], log=LOG)
    raw, annotated = Shown(board, "raw"), Shown(board, "annotated")
    raw.up_to_date(manifest("raw"))
    assert server.last("build-it-progress") == (25.0, "1 of 4: raw")
    assert "raw-progress" not in server.told, "nothing was done"
    annotated.progress(0.5)
    assert server.last("build-it-progress") == (37.5, "2 of 4: annotated")
    assert server.last("annotated-progress") == (50.0, "making annotated")
    annotated.made(
        manifest("annotated"),
        {"hours": 1.5, "seconds": 2.0, "attempts": 3, "peak_memory_bytes": 1_600_000_000},
        "raw_to_annotated",
    )
    ((row,), about) = server.last("annotated-result")
    assert about == "raw_to_annotated, 1234"
    assert row["dropped"] == "too_short: 2" and row["audio"] == "1.5 h" and row["peak memory"] == "1.5 GiB"
    Shown(board, "codec").failed("the disk is full")
    board.table()
    table = server.last("build-it-result")[0]
    assert {tuple(line) for line in table} == {artifacts.COLUMNS}, "columns that the first row lacks are not shown"
    assert [(line["kind"], line["state"]) for line in table] == [
        ("raw", "was there"), ("annotated", "made"), ("codec", "failed: the disk is full"),
    ]  # fmt: skip


def test_an_edge_alone_has_one_bar(server: Server) -> None:
    Shown(Board(flow="ingest-corpus", kinds=["raw"], log=LOG), "raw").progress(0.5)
    assert list(server.told) == ["raw-progress"]


def test_a_bar_of_ten_thousand_shards_asks_the_server_once_a_second(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(number / 1000 for number in range(1_000_000))
    monkeypatch.setattr(artifacts, "time", SimpleNamespace(monotonic=lambda: 100.0 + next(ticks)))
    shown = Shown(Board(flow="f", kinds=["raw"], log=LOG), "raw")
    for number in range(10_001):
        shown.progress(number / 10_000)
    assert 5 <= len(server.told["raw-progress"]) <= 25
    assert server.last("raw-progress")[0] == 100.0


def test_a_server_that_is_away_is_said_once_and_the_work_goes_on(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    shown = Shown(Board(flow="f", kinds=["raw", "codec"], log=LOG), "raw")
    server.is_away = True
    for share in (0.0, 0.5):
        shown.progress(share)
    assert len([record for record in caplog.records if "goes on unseen" in record.message]) == 1
    server.is_away = False
    shown.progress(1.0)
    assert server.last("raw-progress")[0] == 100.0
