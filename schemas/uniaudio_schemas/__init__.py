"""Layer 0: what a row of each dataset kind is, and the store that keeps versions of them.

Start at `store.py` (versions, commits, leases) or at the module of a kind (`raw`, `annotated`, `instructions`, `codec`,
`tokens`, `sequences`, `checkpoint`, `scores`). Needs numpy and pyarrow; `query` and `runs` use Polars where it is called.
"""
