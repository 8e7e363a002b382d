"""Which ends of a step are tried again: a lost Ray head, never a mistake of the user's. In Prefect's own engine, on a server of the test."""

from typing import Any

import pytest
from prefect.testing.utilities import prefect_test_harness
from uniaudio_flows import flow as flows
from uniaudio_flows import ingest_corpus
from uniaudio_flows.job_log import LostConnectionError
from uniaudio_flows.ray_jobs import NoHeadError
from uniaudio_schemas.errors import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def server() -> Any:
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """How the attempts end, one after the other; None: well. Those that were not made are left."""
    left: list[Exception | None] = []

    def attempt(*_: Any) -> Any:
        if (error := left.pop(0)) is not None:
            raise error
        return type("Made", (), {"content_id": "77aa"})

    monkeypatch.setattr(flows, "bring_up_to_date", attempt)
    monkeypatch.setattr(flows, "RETRY_DELAY_S", 0)
    return left


def run() -> Any:
    return ingest_corpus.ingest_corpus(return_state=True)


def test_a_lost_head_is_tried_again_until_it_is_there(ends: list[Exception | None]) -> None:
    ends += [LostConnectionError("away"), LostConnectionError("away"), None]
    assert run().result() == "77aa"


def test_a_head_that_stays_lost_is_the_reason_in_the_end(ends: list[Exception | None]) -> None:
    ends += [LostConnectionError(f"away {number}") for number in range(10)]
    state = run()
    assert state.is_failed() and state.message == f"away {flows.NUM_RETRIES}"
    assert len(ends) == 10 - 1 - flows.NUM_RETRIES


def test_a_head_that_starts_again_is_waited_for_and_one_that_never_ran_is_not(ends: list[Exception | None]) -> None:
    ends += [LostConnectionError("away"), NoHeadError("not yet"), None]
    assert run().result() == "77aa"
    ends += [NoHeadError("run `uniaudio up`"), None]
    assert run().message == "run `uniaudio up`"


def test_a_mistake_of_the_users_is_not_tried_again(
    ends: list[Exception | None], caplog: pytest.LogCaptureFixture
) -> None:
    ends += [UsageError("`x` must be A, but is B."), None]
    state = run()
    assert state.is_failed() and state.message == "`x` must be A, but is B."
    assert len(ends) == 1
    assert not [record for record in caplog.records if record.exc_info]


def test_a_mistake_of_ours_keeps_its_stack_trace(ends: list[Exception | None]) -> None:
    ends += [ZeroDivisionError("ours"), None]
    state = run()
    assert state.is_failed() and "ZeroDivisionError" in state.message
    assert len(ends) == 1


def test_runs_are_named_by_kind_size_and_ref(ends: list[Exception | None]) -> None:
    from prefect.client.orchestration import get_client

    ends += [None]
    state = ingest_corpus.ingest_corpus(ref="mine", return_state=True)
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).name == "raw mine"
