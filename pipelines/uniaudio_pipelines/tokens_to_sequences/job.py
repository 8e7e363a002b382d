"""The job of the edge `tokens_to_sequences`."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from uniaudio_schemas.errors import FingerprintError, UsageError
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines.jobs import parent

CODE_VERSION = "1"
"""Goes up when the same instructions and tokens would give other rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensToSequences:
    """Lay instructions out as ids."""

    EDGE: ClassVar[str] = "tokens_to_sequences"
    WRITES: ClassVar[str] = "sequences"

    tokenizer: str = "bytes"
    """`bytes`, or the path of a Hugging Face tokenizer folder."""
    max_positions: int = 1536
    """Longer examples are dropped as `too_long`: the context of stage 4."""
    instructions_ref: str = "latest"
    tokens_ref: str = "latest"
    codec_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        if self.max_positions < 1:
            raise UsageError(f"`max_positions` must be 1 or more, but is {self.max_positions}.")
        instructions = parent(store, "instructions", "build-multitask-data", self.instructions_ref)
        tokens = parent(store, "tokens", "tokenize-corpus", self.tokens_ref)
        codec = parent(store, "codec", "train-codec", self.codec_ref)
        if tokens.parents.get("codec", codec.content_id) != codec.content_id:
            raise FingerprintError(
                "`tokens` were made with another codec: run `prefect deployment run tokenize-corpus/local` first."
            )
        parents = {"instructions": instructions.content_id, "tokens": tokens.content_id, "codec": codec.content_id}
        parameters = {name: value for name, value in asdict(self).items() if not name.endswith("ref")}
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents=parents,
            parameters=parameters,
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted(shard.unit for shard in instructions.shards),
        )

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}
