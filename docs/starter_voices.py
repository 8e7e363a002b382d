"""Makes `examples/voices.arrow` out of a store: sequences in which the voices of the starter's corpus are transcribed or speak.

python -m docs.starter_voices data/store examples/voices.arrow

All sequences of `asr` and `tts`, in the order of their ids.
"""

import argparse

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.store import Store

CORPUS, TASKS = "kokoro", ("asr", "tts")


def voices(store: Store) -> pa.Table:
    """The rows, with what is said of all sequences of the version."""
    manifest = store.head("sequences")
    if manifest is None:
        raise SystemExit(f"{store.root} holds no sequences yet: `uniaudio starter` makes them")
    is_wanted = (pc.field("corpus") == CORPUS) & pc.field("task").isin(TASKS)
    chosen = [table.filter(is_wanted) for table in store.tables(manifest)]
    metadata = store.read(manifest, ["sequence_id"]).schema.metadata
    return pa.concat_tables(table.replace_schema_metadata(metadata) for table in chosen).sort_by("sequence_id")


def main() -> None:
    parser = argparse.ArgumentParser(description="Sequences of the starter's voices as one file.")
    parser.add_argument("store")
    parser.add_argument("out")
    options = parser.parse_args()
    table = voices(Store(options.store)).combine_chunks()
    compressed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(options.out, "wb") as sink, pa.ipc.new_file(sink, table.schema, options=compressed) as file:
        file.write_table(table)


if __name__ == "__main__":
    main()
