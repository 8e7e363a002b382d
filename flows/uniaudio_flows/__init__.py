"""Prefect flows: one flow brings one dataset kind up to date. START HERE: `everything`."""
