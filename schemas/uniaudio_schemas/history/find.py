"""What a user's word names: a version of a kind, or a row of one. A start of an id is enough where only one fits."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.traces import DATA_KINDS, MODEL_KINDS
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

_START = re.compile(r"[0-9a-f]{6,64}")
_ROW_KINDS = (
    "checkpoint",
    "codec",
    "sequences",
    "instructions",
    "annotated",
    "cuts",
    "raw",
    "tokens",
    "evalset",
    "scores",
    "codec_scores",
)
"""Kinds in the order in which a row is looked for: an example as a sequence before an instruction, a clip with its cut before its file."""


@dataclass(frozen=True, kw_only=True)
class Found:
    manifest: Manifest
    row_id: str = ""
    """Empty where the version itself was named."""


def version_named(store: "Store", kind: str, name: str) -> Manifest:
    """The version with this ref, or whose plan id or content id starts so. A content id that was rewritten names what is left of it."""
    if kind not in (*DATA_KINDS, *MODEL_KINDS):
        raise UsageError(f"`kind` must be one of {', '.join((*DATA_KINDS, *MODEL_KINDS))}, but is {kind!r}.")
    refs = store.refs(kind)
    if name in refs:
        return refs[name]
    candidates = _starting(store, kind, name) if _START.fullmatch(name) else []
    if not candidates:
        raise UsageError(
            f"`{name}` must be a ref of {kind} ({', '.join(sorted(refs)) or 'there is none'}) or the start, of 6 digits or more, of "
            f"a version's plan id or content id, but names none."
        )
    return _only(candidates, name)


def find(store: "Store", name: str) -> Found:
    """What `name` stands for: `KIND`, `KIND/REF`, or the start of an id of a version, a model, an example or a clip. UsageError where none
    or several fit."""
    kind, _, ref = name.partition("/")
    if kind in (*DATA_KINDS, *MODEL_KINDS):
        return Found(manifest=version_named(store, kind, ref or "latest"))
    if not _START.fullmatch(name):
        raise UsageError(f"`id` must be KIND, KIND/REF or 6 hex digits or more of an id, but is {name!r}.")
    versions = [one for each in (*DATA_KINDS, *MODEL_KINDS) for one in _starting(store, each, name)]
    if versions:
        return Found(manifest=_only(versions, name))
    for each in _ROW_KINDS:
        for manifest in _latest_first(store, each):
            ids = _ids_starting(store, manifest, name)
            if len(ids) > 1:
                raise UsageError(f"`id` must name one row, but {name} is the start of {len(ids)} ids of {each}.")
            if ids:
                return Found(manifest=manifest, row_id=ids.pop())
    raise UsageError(f"`id` must be in the store, but no version, model, example or clip there begins with {name}.")


def _starting(store: "Store", kind: str, start: str) -> list[Manifest]:
    after = {
        content for (of, before), content in replacements(store).items() if of == kind and before.startswith(start)
    }
    return [
        manifest
        for manifest in _latest_first(store, kind)
        if manifest.plan_id.startswith(start) or manifest.content_id.startswith(start) or manifest.content_id in after
    ]


def _latest_first(store: "Store", kind: str) -> list[Manifest]:
    refs = store.refs(kind)
    pointed = [refs[name] for name in sorted(refs, key=lambda name: (name != "latest", name))]
    manifests = list({manifest.plan_id: manifest for manifest in pointed}.values())
    plan_ids = {manifest.plan_id for manifest in manifests}
    return manifests + [manifest for manifest in store.versions(kind) if manifest.plan_id not in plan_ids]


def _only(manifests: list[Manifest], name: str) -> Manifest:
    """Several plans with one content are one version to a reader: the first, which a ref points to if to any."""
    if len({(manifest.kind, manifest.content_id) for manifest in manifests}) > 1:
        names = ", ".join(f"{manifest.kind} {manifest.plan_id[:12]}" for manifest in manifests)
        raise UsageError(f"`{name}` must name one version, but fits {names}.")
    return manifests[0]


def _ids_starting(store: "Store", manifest: Manifest, start: str) -> set[str]:
    id_field = newest(manifest.kind).id_field
    columns: Iterable[pa.ChunkedArray] = (table[id_field] for table in store.tables(manifest, [id_field]))
    return {value for column in columns for value in column.filter(pc.starts_with(column, start)).to_pylist()}
