"""Sequence shards as training reads them: memory-mapped, checked, indexed."""
