"""Makes `examples/voices.arrow` and `examples/sounds.arrow` out of a store: sequences that the starter's language model learns from.

python -m docs.starter_sequences data/store examples/voices.arrow kokoro asr tts
python -m docs.starter_sequences data/store examples/sounds.arrow freedesktop,hydrogen,minetest,opensfx,sonic-pi,ufoai audio_caption text_to_sound

All sequences of these tasks and corpora, in the order of their ids.
"""

import argparse
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.store import Store


def sequences_of(store: Store, corpora: Collection[str], tasks: Collection[str]) -> pa.Table:
    """The rows, with what is said of all sequences of the version."""
    manifest = store.head("sequences")
    if manifest is None:
        raise SystemExit(f"{store.root} holds no sequences yet: `uniaudio starter` makes them")
    is_wanted = pc.field("corpus").isin(corpora) & pc.field("task").isin(tasks)
    chosen = [table.filter(is_wanted) for table in store.tables(manifest)]
    metadata = store.read(manifest, ["sequence_id"]).schema.metadata
    return pa.concat_tables(table.replace_schema_metadata(metadata) for table in chosen).sort_by("sequence_id")


def main() -> None:
    parser = argparse.ArgumentParser(description="Sequences of some corpora and tasks as one file.")
    parser.add_argument("store")
    parser.add_argument("out")
    parser.add_argument("corpora", help="names with commas between")
    parser.add_argument("tasks", nargs="+")
    options = parser.parse_args()
    table = sequences_of(Store(options.store), options.corpora.split(","), options.tasks).combine_chunks()
    compressed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(options.out, "wb") as sink, pa.ipc.new_file(sink, table.schema, options=compressed) as file:
        file.write_table(table)


if __name__ == "__main__":
    main()
