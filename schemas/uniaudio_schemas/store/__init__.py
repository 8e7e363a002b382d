"""The dataset store. START HERE: `store.py` (versions, shards, refs), then `shard_writer.py` and `writer.py` (commit), `lease.py`
(who may write) and `files.py` (what lies below: `disk.py`, or `objects.py`).
"""

from uniaudio_schemas.store.store import KINDS, Dropped, ShardWriter, Store, Writer

__all__ = ["KINDS", "Dropped", "ShardWriter", "Store", "Writer"]
