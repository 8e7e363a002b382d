"""Codes of a unit that is not finished, kept beside the worker: one that is killed begins again after the last of them.

Writes   <cache>/instructions_to_tokens/<plan id>/finished/<unit>/<process>-<number>.arrow   rows of tokens

The folder goes when the unit's shard is put. It is only on the machine that encoded: elsewhere the unit begins anew.
"""

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio_pipelines.instructions_to_tokens.known import TOKENS, without
from uniaudio_pipelines.running.hashed import read_table, write_table

KEPT_EVERY_S = 20.0
"""Seconds of work that a killed worker loses at most, besides the clips that wait for their batch."""


class FinishedCodes:
    """Finished codes of one unit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._rows: list[Tokens] = []
        self._kept_at = time.monotonic()

    def read(self, clips: pa.Array) -> pa.Table:
        """What an earlier try has left of these clips, each once."""
        tables = [TOKENS.empty_table()]
        for path in sorted(self.folder.glob("*.arrow")):
            try:
                table = read_table(path)
            except (pa.ArrowInvalid, OSError):  # the machine went down while it was written
                path.unlink(missing_ok=True)
                continue
            new_rows = table.filter(pc.is_in(table["clip_id"], value_set=clips))
            clips = without(clips, new_rows)
            tables.append(new_rows)
        all_rows: pa.Table = pa.concat_tables(tables)
        return all_rows

    def add(self, row: Tokens) -> None:
        self._rows.append(row)
        if time.monotonic() - self._kept_at >= KEPT_EVERY_S:
            self.keep()

    def keep(self) -> None:
        """Write what was added since the last time."""
        table = to_table(self._rows, Tokens).replace_schema_metadata(None)
        path = self.folder / f"{os.getpid()}-{time.time_ns()}"
        write_table(table, path)
        path.replace(path.with_suffix(".arrow"))
        self._rows, self._kept_at = [], time.monotonic()
