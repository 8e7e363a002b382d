"""Which cuts one voice speaks, across corpora, by their speaker embeddings.

Reads    `clip_id`, `speaker_embedding` and lengths of `cuts`
Gives    for each embedded cut the name of its cluster: the clip id of the cluster's first cut

Memory: an embedding of 256 numbers is kept as 2-byte floats in a file of the temporary folder.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

_ANCHOR_S = 2.0
"""Clips of that length found clusters; shorter ones join the nearest, because their embeddings scatter."""


@dataclass(frozen=True, kw_only=True)
class Voices:
    ids: np.ndarray
    """`[N]` S32, sorted."""
    first: np.ndarray
    """`[N]` int64: index of the first cut of the cluster."""

    @classmethod
    def of(cls, store: Store, cuts: Manifest) -> "Voices":
        from uniaudio.audio.voices import cluster_voices

        ids: list[np.ndarray] = [np.zeros(0, "S32")]
        seconds: list[np.ndarray] = [np.zeros(0)]
        width = 0
        with tempfile.TemporaryFile() as file:
            for table in store.tables(cuts, ["clip_id", "speaker_embedding", "num_samples", "sample_rate"]):
                rows_with_voice = table.filter(
                    pc.greater(pc.list_value_length(table["speaker_embedding"]), 0)
                ).combine_chunks()
                if not len(rows_with_voice):
                    continue
                values = rows_with_voice["speaker_embedding"].combine_chunks().flatten().to_numpy()
                width = len(values) // len(rows_with_voice)
                file.write(values.astype(np.float16).tobytes())
                ids.append(np.array(rows_with_voice["clip_id"].to_pylist(), dtype="S32"))
                seconds.append(rows_with_voice["num_samples"].to_numpy() / rows_with_voice["sample_rate"].to_numpy())
            joined = np.concatenate(ids)
            if not len(joined):
                return cls(ids=joined, first=np.zeros(0, np.int64))
            file.flush()
            embeddings = np.memmap(file, np.float16, "r", shape=(len(joined), width))
            order = np.argsort(joined, kind="stable")
            is_anchor = np.concatenate(seconds)[order] >= _ANCHOR_S
            labels = cluster_voices(embeddings[order], anchors=is_anchor)
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        return cls(ids=joined[order], first=first[inverse])

    def clusters_of(self, clip_ids: Sequence[str]) -> list[str | None]:
        """Cluster of each cut; None for a cut that is not embedded."""
        if not len(self.ids):
            return [None] * len(clip_ids)
        wanted_ids = np.array(clip_ids, dtype="S32")
        places = np.minimum(np.searchsorted(self.ids, wanted_ids), len(self.ids) - 1)
        clusters = zip(self.ids[self.first[places]], self.ids[places] == wanted_ids, strict=True)
        return [name.decode() if is_there else None for name, is_there in clusters]
