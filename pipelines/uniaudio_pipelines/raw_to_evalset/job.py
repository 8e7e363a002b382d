"""The job of the edge `raw_to_evalset`: which set. The set's audio and texts are a version of raw of their own."""

from dataclasses import dataclass
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.names import check_name
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

CODE_VERSION = "2"
"""Goes up when the same raw clips would give other items."""
RAW_REF = "evalset-"
"""Prefix of the ref of a set's version of raw; the set's name follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawToEvalset:
    """Register a version of raw as an evaluation set."""

    EDGE: ClassVar[str] = "raw_to_evalset"
    WRITES: ClassVar[str] = "evalset"

    name: str
    """Name of the evaluation set."""

    @property
    def ref(self) -> str:
        return self.name

    @property
    def raw_ref(self) -> str:
        return RAW_REF + self.name

    def plan(self, store: Store) -> Plan:
        check_set_name(self.name)
        raw = store.head("raw", self.raw_ref)
        if raw is None:
            raise UsageError(
                f"`raw` has no version behind `{self.raw_ref}` yet: run `uniaudio evalset add {self.name} FOLDER`."
            )
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"raw": raw.content_id},
            parameters={"name": self.name},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted({shard.unit for shard in raw.shards}),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}


def check_set_name(name: str) -> str:
    """A name that a ref can have, alone and behind `evalset-`, and that is not the ref of all other kinds."""
    check_name(RAW_REF + name, "name")
    if check_name(name, "name") == "latest":
        raise UsageError(
            "`name` must be the name of a set, but is latest, which names the newest version of other kinds."
        )
    return name
