"""Finished units of a version that is not published yet: the hashes of a unit's rows, and in the metadata what the shard is.

    <kind>/staging/<plan id>/<unit>.arrow      rows (id, hash); metadata {"shard": '{"unit": "queen-00000", "sha256": …}', "token": "2"}

The hashes are there so that publishing does not read the shard again. A unit is written once; one that is there stays.
"""

from dataclasses import asdict, dataclass

import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store.content import HASHES
from uniaudio_schemas.store.files import Files, Seen
from uniaudio_schemas.store.manifest import ShardInfo

SUFFIX = ".arrow"


@dataclass(frozen=True, kw_only=True)
class Unit:
    shard: ShardInfo
    hashes: pa.Table
    token: int
    """Token of the lease under which the unit was put."""


def unit_bytes(unit: Unit) -> bytes:
    metadata = {"shard": canonical_json(asdict(unit.shard)), "token": str(unit.token)}
    described = unit.hashes.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, described.schema) as writer:
        writer.write_table(described)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_unit(files: Files, path: str) -> Unit | None:
    """The unit in a file; None where there is no file. `DataError` where it is no finished unit."""
    where = f"{files.root}/{path}"

    def parse(seen: Seen) -> Unit:
        try:
            table = pa.ipc.open_file(pa.py_buffer(seen.data)).read_all()
        except pa.ArrowInvalid as error:
            raise DataError(f"{where}: not a finished unit ({error}).") from error
        metadata = table.schema.metadata or {}
        shard = from_json(ShardInfo, metadata.get(b"shard", b""), where)
        token = metadata.get(b"token", b"").decode()
        if table.schema != HASHES or len(table) != shard.num_rows or not token.isdigit():
            raise DataError(f"{where}: not the hashes of {shard.num_rows} rows.")
        return Unit(shard=shard, hashes=table.replace_schema_metadata(None), token=int(token))

    return files.load(path, parse)
