"""Layer 0: the dataset kinds, and the store that versions them. START HERE: `store`."""
