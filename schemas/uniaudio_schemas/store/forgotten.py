"""What was forgotten: one record a source, so that ingest does not bring it back and lineage finds what took a version's place.

    <root>/forgotten/<id>.json
    {"clips": ["5f1c…", …], "examples": […], "is_done": true, "models": […], "raw": ["5f1c…"], "rewritten": [["raw", "4f1c…", "a00b…"], …]}

A record holds hashes alone: neither paths nor words of what was forgotten. It is written before anything else changes, so it holds
from then on; `is_done` says that nothing of the source is left in the store.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import layout, versions
from uniaudio_schemas.store.lease import STORE_LOCK
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

REASON = "forgotten"
"""Reason of a dropped row. The id of such a row is a hash, also in `raw`, where other dropped rows are named by their paths."""
PARAMETER = "forgotten"
"""Parameter of a plan whose version leaves out forgotten clips of its source; its value is the `digest` of these clips."""


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """One record."""

    raw: list[str]
    """Ids of the raw clips, sorted."""
    clips: list[str]
    """Ids of all clips that come from them: themselves, their cuts, and recipes with one of those among their parents."""
    examples: list[str]
    """Ids of the instructions, which are those of the sequences, with such a clip."""
    models: list[dict[str, Any]] = field(default_factory=list)
    """Codecs and checkpoints made from versions that held it (`traces.Model`). They stay as they are."""
    rewritten: list[list[str]] = field(default_factory=list)
    """[kind, content id before, content id after]."""
    is_done: bool = False

    @property
    def record_id(self) -> str:
        return digest(self.raw)


def digest(clip_ids: Iterable[str]) -> str:
    """32 hex digits of a set of ids."""
    return short(hash_json(sorted(clip_ids)))


def records(store: "Store") -> list[Forgotten]:
    """All records, by id."""
    forgotten = []
    for entry in store.files.entries(layout.FORGOTTEN):
        name = entry.path.rpartition("/")[2]
        if name.endswith(".json") and not name.startswith("."):
            forgotten.append(from_json(Forgotten, store.files.read(entry.path) or b"", f"{store.root}/{entry.path}"))
    return forgotten


def write_record(store: "Store", record: Forgotten) -> None:
    """Atomic and durable. Nobody collects garbage meanwhile."""
    with store.files.lock(STORE_LOCK, exclusive=False):
        store.files.write(layout.forgotten_path(record.record_id), (canonical_json(asdict(record)) + "\n").encode())


def forgotten_clips(store: "Store") -> frozenset[str]:
    """Ids of the raw clips that no version may hold again."""
    return frozenset(clip for record in records(store) for clip in record.raw)


def replacements(store: "Store") -> dict[tuple[str, str], str]:
    """(kind, content id) of a version that was rewritten -> content id of what stands for it now."""
    step = {(kind, before): after for record in records(store) for kind, before, after in record.rewritten}
    successors = {}
    for (kind, before), after in step.items():
        # Each rewriting takes rows away, so that this ends.
        while (kind, after) in step:
            after = step[(kind, after)]
        successors[(kind, before)] = after
    return successors


def version_with(store: "Store", kind: str, content_id: str) -> Manifest | None:
    """The version of `kind` with these contents, or what is left of it where some of it was forgotten."""
    content_ids = {content_id, replacements(store).get((kind, content_id), content_id)}
    return versions.with_content(store.files, kind, content_ids)
