"""The Prefect flow of a step: what it may be told, what its runs are called, and its tasks: one an edge, named after the kind it makes.

A task that loses Ray is tried again: it finds its job, or starts it anew and goes on from the finished shards. An error that the user can mend
ends the run at once, as `failures.py` says.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple

import prefect
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run, task_run
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from uniaudio_pipelines.jobs import J
from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.store import Store

from uniaudio_flows.artifacts import Board, Shown
from uniaudio_flows.failures import failing_in_one_line
from uniaudio_flows.job_log import LostConnectionError
from uniaudio_flows.jobs import bring_up_to_date, check_up_to_date
from uniaudio_flows.parameters import docstring, parameters_of, run_settings, signature
from uniaudio_flows.ray_jobs import NoHeadError
from uniaudio_flows.settings import DEFAULT, Settings, load_settings
from uniaudio_flows.steps import Fields, Step

NUM_RETRIES, RETRY_DELAY_S = 3, 10


class Planned(NamedTuple, Generic[J]):
    """A step of a run."""

    step: Step[J]
    job: J
    num_workers: int | None = None
    """Number of workers; None: as many as there is work and room for, or what the job says."""


def flow(step: Step[Any], about: str, *, name: str = "") -> Any:
    """The flow that brings the version of `step` up to date, and what it reads. `name`: of one that takes the fields of every step alike."""
    own = not name

    def run(**parameters: Any) -> str:
        settings = settings_of(step, parameters)
        steps = [*step.ancestors(), step]
        # All jobs before any work: what is wrong with the fields of the last one is said now.
        planned = [plan(each, settings, chosen(each, parameters, own=own and each is step)) for each in steps]
        if not parameters.get("parents", True):
            for each in planned:
                if each.step in step.after:
                    check_up_to_date(Store.from_uri(settings.store), each.step.prepare(each.job, get_run_logger()))
            del planned[:-1]
        return make_all(name or step.flow, settings, planned)

    return told(run, name or step.flow, about, parameters_of(step, own=own), called=name or step.kind)


def told(run: Callable[..., Any], name: str, about: str, parameters: dict[str, FieldInfo], *, called: str) -> Any:
    """A Prefect flow that takes `parameters`; its runs are called such as `checkpoint starter` or `raw latest`."""
    run = failing_in_one_line(run)
    run.__signature__ = signature(parameters)  # type: ignore[attr-defined]
    run.__doc__ = docstring(about, parameters)
    run.__name__ = run.__qualname__ = name.replace("-", "_")

    def run_name() -> str:
        values = dict(flow_run.parameters)
        size = load_settings().of_run({"size": values.get("size")}).size if "size" in parameters else ""
        return " ".join(part for part in (called, size, values.get("ref", "")) if part)

    return prefect.flow(name=name, description=about, flow_run_name=run_name)(run)


def settings_of(step: Step[Any], parameters: Mapping[str, Any]) -> Settings:
    """Settings of the process, where values that the run is given replace its own."""
    names = run_settings([*step.ancestors(), step])
    return load_settings().of_run({name: parameters.get(name) for name in names})


def chosen(step: Step[Any], parameters: Mapping[str, Any], *, own: bool) -> Fields:
    """The fields of a step, as plain values, among the parameters of a run: its own, or in the parameter with the step's name."""
    if not own:
        return _told(parameters[step.name].model_dump(mode="json"))
    names = parameters_of(step).keys() & {*step.fields, *step.extras}
    names -= set(run_settings([*step.ancestors(), step]))
    return _told({name: _plain(parameters[name]) for name in sorted(names)})


def plan(step: Step[J], settings: Settings, fields: Fields) -> Planned[J]:
    """UsageError where a field does not fit."""
    if "num_workers" in step.fields:
        return Planned(step, step.job(settings, fields))
    others = {name: value for name, value in fields.items() if name != "num_workers"}
    return Planned(step, step.job(settings, others), fields.get("num_workers"))


def make_all(name: str, settings: Settings, planned: list[Planned[Any]]) -> str:
    """Make the version of each job, in order; the content id of the last one."""
    log = get_run_logger()
    log.info(
        "store %s, source %s, device %s, size %s (as the run is told; else as in the environment of `uniaudio up`; else as uniaudio.toml says now)",
        settings.store, settings.source, settings.device, settings.size,
    )  # fmt: skip
    board = Board(flow=name, kinds=[each.step.kind for each in planned], log=log)
    content_id = ""
    try:
        for each in planned:
            content_id = _make(settings, each, board)
    finally:
        if len(planned) > 1:
            board.table()
    return content_id


def _make(settings: Settings, planned: Planned[Any], board: Board) -> str:
    """Make an edge as a task of the run. FailedRun with the reason where it fails."""
    step, job, num_workers = planned
    progress = Shown(board, step.kind)

    @task(
        name=job.EDGE,
        task_run_name=step.kind,
        tags=[step.kind],
        retries=NUM_RETRIES + 1,  # the last is never taken: where none is left, Prefect logs a stack trace
        retry_delay_seconds=RETRY_DELAY_S,
        retry_condition_fn=_is_worth_it,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    @failing_in_one_line
    def make() -> str:
        try:
            prepared = step.prepare(job, get_run_logger())
            return bring_up_to_date(settings, prepared, progress, get_run_logger(), num_workers).content_id
        except (LostConnectionError, NoHeadError) as error:
            attempt = task_run.run_count or 1
            was_there = isinstance(error, LostConnectionError) or attempt > 1
            if was_there and attempt <= NUM_RETRIES:
                raise _TryAgainError(str(error)) from error
            progress.failed(str(error))
            raise
        except UniaudioError as error:
            progress.failed(str(error))
            raise

    # Called plainly, a task that returns a Failed state gives that state and not its error.
    ended: Any = make(return_state=True)
    return str(ended.result())


class _TryAgainError(Exception):
    """A failure that is not of the user's making."""


def _is_worth_it(task: Any, run: Any, state: Any) -> bool:
    return isinstance(state.data, _TryAgainError)


def _told(fields: dict[str, Any]) -> Fields:
    return {
        name: value for name, value in fields.items() if (name, value) not in (("device", DEFAULT), ("size", DEFAULT))
    }


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
