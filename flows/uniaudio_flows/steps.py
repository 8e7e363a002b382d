"""A step: one edge as flows know it, with the job that a run's settings and fields make, and the steps before it.

step      Step(flow="annotate-corpus", job_class=RawToAnnotated, job=job, after=(ingest_corpus.STEP,))
fields    {"annotators": ["loudness"], "max_speech_s": 300.0}, of the job, as a run gives them; those left out have their defaults
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic

from pydantic import PositiveInt
from uniaudio_pipelines.jobs import J, job_from_json
from uniaudio_schemas.fingerprint import canonical_json

from uniaudio_flows.artifacts import Log
from uniaudio_flows.settings import Settings

Fields = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extra:
    """A parameter of a flow that is no field of its job."""

    type: Any
    default: Any
    help: str


WORKERS = Extra(
    type=PositiveInt | None,
    default=None,
    help="Most workers that share the work. By default as many as there is work and room for.",
)
"""`num_workers` of an edge whose job does not say it: how many work on a version changes nothing of it."""


def unprepared(job: J, log: Log) -> J:
    """The job as it is, for an edge that needs nothing of others."""
    return job


@dataclass(frozen=True, kw_only=True, slots=True)
class Step(Generic[J]):
    flow: str
    """Name of the flow, such as `annotate-corpus`."""
    job_class: type[J]
    job: Callable[[Settings, Fields], J]
    after: tuple["Step[Any]", ...] = ()
    """Steps whose versions it reads."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """Fields that the settings decide where a run does not -> by what."""
    internal: Mapping[str, str] = field(default_factory=dict)
    """Fields that no run gives -> why."""
    extra: Mapping[str, Extra] = field(default_factory=dict)
    prepare: Callable[[J, Log], J] = unprepared
    """Brings in place what the job needs of others, such as models, before it is planned; the job, or another where that cannot be had."""

    @property
    def name(self) -> str:
        """Name as a parameter of the flows behind it: `annotate_corpus`."""
        return self.flow.replace("-", "_")

    @property
    def kind(self) -> str:
        return self.job_class.WRITES

    @property
    def fields(self) -> frozenset[str]:
        """Names of those of the job."""
        return frozenset(each.name for each in fields(self.job_class))

    @property
    def extras(self) -> dict[str, Extra]:
        """What its flow may be told besides fields of the job."""
        return dict(self.extra) if "num_workers" in self.fields else {**self.extra, "num_workers": WORKERS}

    def ancestors(self) -> list["Step[Any]"]:
        """All steps before it, each behind those it reads from."""
        return list(dict.fromkeys(self._before()))

    def _before(self) -> Iterator["Step[Any]"]:
        for step in self.after:
            yield from step._before()
            yield step

    def __hash__(self) -> int:
        return hash(self.flow)


def build(job_class: type[J], settings: Settings, chosen: Fields) -> J:
    """The job: the `chosen` fields, and of the settings what it has a field for and they leave out. UsageError where one does not fit."""
    names = {each.name for each in fields(job_class)}
    of_settings = {name: value for name, value in settings.of_jobs().items() if name in names}
    own_fields = {name: value for name, value in chosen.items() if value is not None}
    if "num_gpus" in names and own_fields.get("device", of_settings["device"]) != settings.device:
        of_settings["num_gpus"] = float(own_fields["device"] != "cpu")
    return job_from_json(job_class, canonical_json({**of_settings, **own_fields}))
