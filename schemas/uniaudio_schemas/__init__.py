"""Layer 0: what a row of each dataset kind is, and the store that keeps versions of them. Needs numpy and pyarrow.

Three rooms, each above the one before:
    kinds/     the row of each kind, its schema versions and migrations
    store/     versions, shards, commits, leases. START HERE: `store/store.py`
    history/   lineage, differences, forgetting
`query` is the door for Polars; `testing` has example rows.
"""
