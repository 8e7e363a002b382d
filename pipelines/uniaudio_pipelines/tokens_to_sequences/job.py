"""The job of the edge `tokens_to_sequences`: which text tokenizer, and how long an example may be."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import FingerprintError, UsageError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.jobs import parent

CODE_VERSION = "2"
"""Goes up when the same instructions and tokens would give other rows."""
BYTES = "bytes"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
VOCABULARY = "vocabulary.json"
MODEL_FILES = (VOCABULARY, *(f"tokenizer/{name}" for name in TOKENIZER_FILES))
"""Files in a model's folder (`uniaudio.run.folder`) that decide the ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensToSequences:
    """Lay instructions out as ids."""

    EDGE: ClassVar[str] = "tokens_to_sequences"
    WRITES: ClassVar[str] = "sequences"

    tokenizer: str = BYTES
    """`bytes`, a folder with a `tokenizer.json`, or the folder of a whole model, whose vocabulary the sequences then have."""
    max_positions: int = 2048
    """Longer examples are dropped as `too_long`: the longest context of the paper. A stage leaves out what its own
    context cannot hold."""
    reasoning: bool = True
    """False leaves every reasoning segment out (the paper's ablation): a model of such sequences neither reads nor writes
    reasoning tokens."""
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
        parents = {"instructions": instructions.content_id, "tokens": tokens.content_id, "codec": codec.content_id}
        for kind in ("instructions", "codec"):
            if tokens.parents.get(kind, parents[kind]) != parents[kind]:
                raise FingerprintError(
                    f"`tokens` must be made from {kind} {parents[kind][:8]}, but are from {tokens.parents[kind][:8]}: "
                    f"run `prefect deployment run tokenize-corpus/local` first."
                )
        parameters = {name: value for name, value in asdict(self).items() if not name.endswith("ref")}
        if self.reasoning:
            del parameters["reasoning"]  # the rule; only the ablation is named
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents=parents,
            parameters={**parameters, "tokenizer": self.tokenizer_contents()},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            units=sorted({shard.unit for shard in instructions.shards}),
        )

    def tokenizer_contents(self) -> str:
        """The tokenizer's identity without loading it: where its folder lies is no part of a version."""
        if self.tokenizer == BYTES:
            return BYTES
        folder = Path(self.tokenizer)
        is_model = (folder / VOCABULARY).is_file()
        names = MODEL_FILES if is_model else TOKENIZER_FILES
        if not is_model and not (folder / TOKENIZER_FILES[0]).is_file():
            raise UsageError(
                f"`tokenizer` must be bytes, a folder with a tokenizer.json or that of a model, but is {self.tokenizer}."
            )
        return " ".join(hash_file(folder / name) for name in names if (folder / name).is_file())

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}
