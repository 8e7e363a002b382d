"""How every edge runs: its units, its workers, their machines, and what they cost."""
