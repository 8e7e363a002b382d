"""Forms that `uniaudio export raw --to FORM` writes beside WebDataset: what lhotse and what the package datasets read.

lhotse    audio/<clip_id>.flac  recordings.jsonl.gz  supervisions.jsonl.gz
          RecordingSet.from_file("exported/recordings.jsonl.gz").with_path_prefix("exported")
datasets  data/train-00000.parquet with the FLAC of each clip, what the source says of it, and its features in the schema
          datasets.load_dataset("exported")

Neither package is needed to write them.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

SAID = ("corpus", "path", "licence", "domain", "language", "speaker", "split")
"""Columns of `raw` that both forms keep by their names."""
_COLUMNS = [
    "clip_id", "medium", *SAID, "sample_rate", "num_samples", "channels", "tar", "tar_offset", "tar_size", "given_text",
    "given_title", "given_captions", "given_tags",
]  # fmt: skip
_ROW_GROUP_CLIPS = 100
"""Few, since a group is read as a whole and holds its clips' sound."""
_FEATURES = {
    "audio": {"_type": "Audio"},
    **{name: {"dtype": "string", "_type": "Value"} for name in ("clip_id", "text", "title", *SAID)},
    **{name: {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"} for name in ("captions", "tags")},
}
"""Features as the package datasets writes them into a schema."""
_SCHEMA = pa.schema(
    [
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *((name, pa.string()) for name in ("clip_id", "text", "title", *SAID)),
        *((name, pa.list_(pa.string())) for name in ("captions", "tags")),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def write_lhotse(folder: Path, store: Store, manifest: Manifest) -> str:
    """Returns what was written, in words."""
    (folder / "audio").mkdir()
    num_clips = 0
    with ExitStack() as files:
        recordings, supervisions = (
            files.enter_context(gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8"))
            for name in ("recordings", "supervisions")
        )
        for row, flac in _clips(store, manifest):
            (folder / "audio" / f"{row['clip_id']}.flac").write_bytes(flac)
            for file, line in ((recordings, _recording(row)), (supervisions, _supervision(row))):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            num_clips += 1
    return f"{num_clips} recordings and supervisions of lhotse"


def write_datasets(folder: Path, store: Store, manifest: Manifest) -> str:
    """Returns what was written, in words. A clip that its source puts into no split is in `train`."""
    (folder / "data").mkdir()
    num_clips, licences = 0, set()
    examples: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as files:
        writers: dict[str, pq.ParquetWriter] = {}

        def write(split: str) -> None:
            if split not in writers:
                path = folder / "data" / f"{split}-00000.parquet"
                writers[split] = files.enter_context(pq.ParquetWriter(path, _SCHEMA))
            writers[split].write_table(pa.Table.from_pylist(examples.pop(split), schema=_SCHEMA))

        for row, flac in _clips(store, manifest):
            split = row["split"] or "train"
            examples.setdefault(split, []).append(_example(row, flac))
            if len(examples[split]) == _ROW_GROUP_CLIPS:
                write(split)
            num_clips += 1
            licences.add(row["licence"])
        for split in list(examples):
            write(split)
        splits = sorted(writers)
    (folder / "README.md").write_text(_card(splits, sorted(licences)), encoding="utf-8")
    return f"{num_clips} clips in the splits {', '.join(splits)}"


def _clips(store: Store, manifest: Manifest) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Rows of clips of sound, and their FLAC as it is kept."""
    for table in store.tables(manifest, _COLUMNS):
        rows = [row for row in table.to_pylist() if row["medium"] == "audio"]
        for sha256, rows_of_tar in groupby(rows, key=itemgetter("tar")):
            with Path(store.open_blob(sha256)).open("rb") as tar:
                for row in rows_of_tar:
                    tar.seek(row["tar_offset"])
                    yield row, tar.read(row["tar_size"])


def _recording(row: dict[str, Any]) -> dict[str, Any]:
    channels = list(range(row["channels"]))
    return {
        "id": row["clip_id"],
        "sources": [{"type": "file", "channels": channels, "source": f"audio/{row['clip_id']}.flac"}],
        "sampling_rate": row["sample_rate"],
        "num_samples": row["num_samples"],
        "duration": row["num_samples"] / row["sample_rate"],
        "channel_ids": channels,
    }


def _supervision(row: dict[str, Any]) -> dict[str, Any]:
    custom = {name: row[name] for name in SAID if name not in ("language", "speaker") and row[name] is not None}
    others = {"title": row["given_title"], "captions": row["given_captions"], "tags": row["given_tags"]}
    supervision = {
        "id": row["clip_id"],
        "recording_id": row["clip_id"],
        "start": 0.0,
        "duration": row["num_samples"] / row["sample_rate"],
        "channel": list(range(row["channels"])) if row["channels"] > 1 else 0,
        "text": row["given_text"],
        "language": row["language"],
        "speaker": row["speaker"],
        "custom": custom | {name: value for name, value in others.items() if value},
    }
    return {name: value for name, value in supervision.items() if value is not None}


def _example(row: dict[str, Any], flac: bytes) -> dict[str, Any]:
    return {
        "audio": {"bytes": flac, "path": f"{row['clip_id']}.flac"},
        "clip_id": row["clip_id"],
        "text": row["given_text"],
        "title": row["given_title"],
        **{name: row[name] for name in SAID},
        "captions": row["given_captions"],
        "tags": row["given_tags"],
    }


def _card(splits: list[str], licences: list[str]) -> str:
    files = "".join(f"      - split: {split}\n        path: data/{split}-*.parquet\n" for split in splits)
    head = f"---\nconfigs:\n  - config_name: default\n    data_files:\n{files}---\n"
    return f"{head}\nClips with what their sources say of them. Licences, clip by clip in `licence`: {', '.join(licences)}.\n"
