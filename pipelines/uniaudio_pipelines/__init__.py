"""The edges of the data flow, one package each, called `<reads>_to_<writes>`; each is a Ray job that writes one
dataset version.

START HERE: `edge.run_edge` (plan, run, resume, publish) and `source_to_raw`, the first edge. Each edge has a light
`job.py` (a frozen dataclass that plans from manifests alone: neither torch nor ray), a `worker.py` that turns one
unit into one shard, and a `__main__.py`, the job's entry point.
"""
