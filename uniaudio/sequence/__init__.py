"""Sequences: the vocabulary of ids, the layout of segments on the grid of 9 streams, packing. START HERE: `layout`."""
