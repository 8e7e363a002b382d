"""Give `raw` to readers that know nothing of this store: WebDataset tars as they are kept, and text documents as JSON lines; or the clips
in the forms of `export_forms`.

Writes  raw-00000.tar        <clip_id>.flac and <clip_id>.json (what the source says of it) of each clip
        documents-00000.jsonl {"clip_id": "7d…", "path": "books/a.txt", "corpus": "books", "licence": "CC0-1.0", "text": "Once …"}

    webdataset.WebDataset("exported/raw-{00000..00003}.tar").decode()
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.export_forms import write_datasets, write_lhotse

_OF_A_DOCUMENT = ["clip_id", "path", "corpus", "licence", "language", "text"]


def export_raw(store: Store, folder: Path, ref: str, say: Callable[[str], None], form: str = "webdataset") -> None:
    """Fill an empty or new `folder` from the version behind `ref`, in one of `FORMS`."""
    manifest = store.head("raw", ref)
    if manifest is None:
        raise UsageError(f"`raw` has no version behind `{ref}` yet: run `uniaudio ingest FOLDER` first.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"`folder` must be a new or empty folder, but {folder} holds something.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        folder_of_export = Path(temporary) / "made"
        folder_of_export.mkdir()
        summary = FORMS[form](folder_of_export, store, manifest)
        folder_of_export.rename(folder)  # a reader sees all of it or nothing
    say(f"{summary}: {folder}")


def _write_webdataset(folder: Path, store: Store, manifest: Manifest) -> str:
    num_tars = num_clips = num_documents = num_files = 0
    for table in store.tables(manifest, ["medium", "tar", *_OF_A_DOCUMENT]):
        audio = table.filter(pc.equal(table["medium"], "audio"))
        for sha256 in sorted(pc.unique(audio["tar"]).to_pylist()):
            shutil.copyfile(store.open_blob(sha256), folder / f"raw-{num_tars:05d}.tar")
            num_tars += 1
        num_clips += len(audio)
        if documents := _lines(table):
            (folder / f"documents-{num_files:05d}.jsonl").write_text("".join(documents), encoding="utf-8")
            num_files, num_documents = num_files + 1, num_documents + len(documents)
    return f"{num_clips} clips in {num_tars} tars, {num_documents} documents in {num_files} files"


def _lines(table: pa.Table) -> list[str]:
    texts = table.filter(pc.equal(table["medium"], "text")).select(_OF_A_DOCUMENT)
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in texts.to_pylist()]


FORMS: dict[str, Callable[[Path, Store, Manifest], str]] = {
    "webdataset": _write_webdataset,
    "lhotse": write_lhotse,
    "datasets": write_datasets,
}
