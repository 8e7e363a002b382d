"""The dataset store. START HERE: `store.py` (versions, shards, refs), then `writer.py` (commit), `lease.py` (who may write) and
`files.py` (a disk; `remote.py`: an object store).
"""

from uniaudio_schemas.store.store import KINDS, Dropped, ShardWriter, Store, Writer

__all__ = ["KINDS", "Dropped", "ShardWriter", "Store", "Writer"]
