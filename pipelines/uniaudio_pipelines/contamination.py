"""What a corpus shares with the evaluation sets that are registered: files, samples, sound, long text.

Reads    evalset, raw (files and sound), rows of annotated (text)
Gives    {"clip_id": "5f1c…", "name": "asr-test", "item": "77aa…", "how": "sound", "score": 0.93, "detail": "97 landmarks agree"}

    found = Contamination.find(store, raw, named(store, plan.parameters["evalsets"]))
    names = found.column(table)                                # list<string>: of each row of a table of annotated

Sound is compared once, raw clips with items, and what is shared is of those cuts of a recording that hold it; text is compared cut by
cut, as it is trained on. Memory: what `copies` may use, hashes of the items, and a record batch of rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.text.overlap import TextIndex, shared_text
from uniaudio_pipelines.copies import find_copies
from uniaudio_pipelines.jobs import cache_folder

LEAKS = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("how", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
    ]
)
"""`name` of the evaluation set, `item` its clip id; `how`: `file`, `samples`, `sound` or `text`; `score`: 0 to 1, the share of the
shorter recording, or of the item's long runs of words; `start_s`, `end_s`: which part of the raw clip it is, null where it may be all of it."""
_CUT_COLUMNS = ["clip_id", "raw_clip_id", "first_sample", "num_samples", "sample_rate"]
TEXT_COLUMNS = ("text", "given_text", "transcript", "lyrics", "caption", "captions")
"""Columns of `annotated` whose texts an example may be made of. What a recognizer heard is a text like any other."""
_ITEM_COLUMNS = ["clip_id", "name", "sha256", "audio_sha256", "landmarks", "num_samples", "sample_rate"]
Leak = tuple[str, str, str, str, float, str, float | None, float | None]
"""A row of `LEAKS`."""


def registered(store: Store) -> dict[str, Manifest]:
    """Name -> version of every evaluation set."""
    return store.refs("evalset")


def content_ids(evalsets: dict[str, Manifest]) -> dict[str, str]:
    """What a version of annotated says in its parameter `evalsets`: what its rows were compared with."""
    return {name: manifest.content_id for name, manifest in sorted(evalsets.items())}


def named(store: Store, content_ids: dict[str, str]) -> dict[str, Manifest]:
    """The inverse of `content_ids`: the versions that a plan was made for, whatever was registered since."""
    return {name: store.version_with("evalset", content_id) for name, content_id in content_ids.items()}


def text_index(store: Store, evalsets: dict[str, Manifest]) -> TextIndex:
    """Index of the texts of all items."""

    def references() -> Iterator[tuple[str, str, str | None]]:
        for name, manifest in sorted(evalsets.items()):
            for batch in store.batches(manifest, ["clip_id", "text"]):
                for clip, text in zip(batch["clip_id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    yield name, clip, text

    return TextIndex.build(references())


@dataclass(frozen=True, kw_only=True, slots=True)
class Contamination:
    """What the rows of a version of annotated are compared with."""

    raw: pa.Table
    """`LEAKS` by raw clip: files, samples and sound."""
    texts: TextIndex

    @classmethod
    def find(cls, store: Store, raw: Manifest, evalsets: dict[str, Manifest]) -> "Contamination":
        return cls(raw=shared_recordings(store, raw, evalsets), texts=text_index(store, evalsets))

    def leaks(self, table: pa.Table) -> pa.Table:
        """`LEAKS` by the clip ids of `table`, a table of annotated or cuts; of each row, set and item the first that was found."""
        of_raw: dict[str, list[Leak]] = defaultdict(list)
        for leak in _rows(self.raw.filter(pc.is_in(self.raw["clip_id"], pc.unique(table["raw_clip_id"])))):
            of_raw[leak[0]].append(leak)
        suspects = table.filter(pc.is_in(table["raw_clip_id"], pa.array(sorted(of_raw), pa.string())))
        leaks = [
            (cut["clip_id"], *leak[1:])
            for cut in suspects.select(_CUT_COLUMNS).to_pylist()
            for leak in of_raw[cut["raw_clip_id"]]
            if _is_in(cut, *leak[-2:])
        ]
        clips = table["clip_id"]
        for name in (name for name in TEXT_COLUMNS if name in table.column_names):
            rows, texts = _texts(table[name])
            for match in shared_text(self.texts, texts).to_pylist():
                clip = clips[rows[match["row"]] if rows else match["row"]].as_py()
                leaks.append(
                    (
                        clip,
                        match["name"],
                        match["item"],
                        "text",
                        match["score"],
                        f"{name}: {match['detail']}",
                        None,
                        None,
                    )
                )
        return leaks_table(leaks)

    def column(self, table: pa.Table) -> pa.Array:
        """list<string>: of each row of `table` the names of the sets that it shares something with, sorted."""
        names: dict[str, set[str]] = defaultdict(set)
        leaks = self.leaks(table)
        for clip, name in zip(leaks["clip_id"].to_pylist(), leaks["name"].to_pylist(), strict=True):
            names[clip].add(name)
        return pa.array([sorted(names.get(clip, ())) for clip in table["clip_id"].to_pylist()], pa.list_(pa.string()))


def shared_recordings(store: Store, raw: Manifest, evalsets: dict[str, Manifest]) -> pa.Table:
    """`LEAKS` by raw clip: the same file, the same samples in another file, the same sound. One pass over raw."""
    tables = [store.read(manifest, _ITEM_COLUMNS) for _, manifest in sorted(evalsets.items()) if manifest.num_rows]
    if not tables:
        return LEAKS.empty_table()
    items = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    return leaks_table([*_same_bytes(store, raw, items), *_same_sound(store, raw, items)])


def leaks_table(leaks: Iterable[Leak]) -> pa.Table:
    """Sorted; of each clip, set and item the first that was found, so the surest kind."""
    first: dict[tuple[str, str, str], Leak] = {}
    for leak in leaks:
        first.setdefault(leak[:3], leak)
    columns = list(zip(*(first[key] for key in sorted(first)), strict=True)) or [()] * len(LEAKS)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, LEAKS, strict=True)], schema=LEAKS)


def _same_bytes(store: Store, raw: Manifest, items: pa.Table) -> Iterator[Leak]:
    columns = ["clip_id", "sha256", "audio_sha256"]
    of_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    of_samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items.select([*columns, "name"]).to_pylist():
        of_file[item["sha256"]].append(item)
        if item["audio_sha256"]:
            of_samples[item["audio_sha256"]].append(item)
    files, samples = (pa.array(sorted(known), pa.string()) for known in (of_file, of_samples))
    for table in store.tables(raw, columns):
        is_known = pc.or_(pc.is_in(table["sha256"], files), pc.is_in(table["audio_sha256"], samples))
        for row in table.filter(is_known).to_pylist():
            for item in of_file.get(row["sha256"], ()):
                if _overlaps(row, item):
                    yield row["clip_id"], item["name"], item["clip_id"], "file", 1.0, "the same file", None, None
            for item in of_samples.get(row["audio_sha256"], ()):
                yield (
                    row["clip_id"],
                    item["name"],
                    item["clip_id"],
                    "samples",
                    1.0,
                    "the same samples in another file",
                    None,
                    None,
                )


def _overlaps(row: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether two clips are the same part of one file. Two utterances of a recording are two clips; whether they sound alike is decided elsewhere."""
    whole = row["sha256"][:32]
    return row["clip_id"] == item["clip_id"] or whole in (row["clip_id"], item["clip_id"])


def _same_sound(store: Store, raw: Manifest, items: pa.Table) -> Iterator[Leak]:
    columns = ["clip_id", "landmarks", "num_samples", "sample_rate"]
    items_with_landmarks = _with_landmarks(items)
    names: dict[str, list[str]] = defaultdict(list)
    for item, name in zip(
        items_with_landmarks["clip_id"].to_pylist(), items_with_landmarks["name"].to_pylist(), strict=True
    ):
        names[item].append(name)
    if not names:
        return
    # One file may be an item of several sets.
    firsts = pc.index_in(pa.array(list(names), pa.string()), items_with_landmarks["clip_id"].combine_chunks())
    items_with_landmarks = items_with_landmarks.take(firsts)
    durations = dict(zip(names, items_with_landmarks["duration_s"].to_pylist(), strict=True))
    folder = cache_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = find_copies(
        [items_with_landmarks], (_with_landmarks(table) for table in store.tables(raw, columns)), folder=folder
    )
    for pair in pairs.to_pylist():
        item, clip = pair["id_a"], pair["id_b"]
        # In the clip's own time: where the item begins, and where it ends.
        start_s = -pair["offset_s"] / pair["speed"]
        end_s = start_s + durations[item] / pair["speed"]
        score, detail = round(pair["overlap"], 3), f"{pair['votes']} landmarks agree"
        for name in names[item]:
            yield clip, name, item, "sound", score, detail, start_s, end_s


def _with_landmarks(table: pa.Table) -> pa.Table:
    """The clips of a table that can be found by sound, with their `duration_s`."""
    table = table.filter(pc.greater(pc.list_value_length(table["landmarks"]), 0))
    duration_s = pc.divide(pc.cast(table["num_samples"], pa.float64()), table["sample_rate"])
    return table.append_column("duration_s", duration_s)


def _is_in(cut: dict[str, Any], start_s: float | None, end_s: float | None) -> bool:
    """Whether a cut holds something of a part of its recording."""
    if start_s is None or end_s is None or not cut["sample_rate"]:
        return True
    first, last = cut["first_sample"], cut["first_sample"] + cut["num_samples"]
    return bool(first < end_s * cut["sample_rate"] and last > start_s * cut["sample_rate"])


def _rows(table: pa.Table) -> Iterator[Leak]:
    yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def _texts(column: pa.ChunkedArray) -> tuple[list[int], Iterator[str | None]]:
    """Texts of a column one after the other; of a column of lists also the row of each."""
    rows: list[int] = []
    if pa.types.is_list(column.type):
        rows = pc.list_parent_indices(column).to_pylist()
        column = pc.list_flatten(column)
    return rows, (text for chunk in column.chunks for text in chunk.to_pylist())
