"""Audio and texts inside tars and tables, listed like files.

Row  {"path": "shards/000.tar/1034-0000.flac", "container": "shards/000.tar", "format": "webdataset", "size": 40211, "sha256": "5f1c…",
      "problem": "", "detail": ""}
"""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_pipelines.source_to_raw.formats.table import BROKEN, CONTAINERS
from uniaudio_pipelines.source_to_raw.hashes import OF_CONTAINERS, hash_files, hash_members
from uniaudio_pipelines.source_to_raw.recognize import Corpus

_NAMES = ("path", "container", "format", "size", "sha256", "problem", "detail")


def members_of(root: Path, files: pa.Table, corpora: list[Corpus], cache: Path) -> Any:
    """A polars frame of the members of all containers, and of containers that are broken. A container is read once as long as it stays
    the same."""
    import polars as pl

    formats = _formats(corpora)
    made = [_empty()]
    if not formats:
        return made[0]
    hashed, problems = hash_files(
        root, files.filter(pc.is_in(files["path"], pa.array(sorted(formats), pa.string()))), cache / OF_CONTAINERS
    )
    for path, sha256 in zip(hashed["path"].to_pylist(), hashed["sha256"].to_pylist(), strict=True):
        why = problems.get(path, "")
        if sha256:
            try:
                table: Any = pl.from_arrow(hash_members(root / path, sha256, CONTAINERS[formats[path]], cache))
            except BROKEN as error:
                why = " ".join(str(error).replace(f"{root}{os.sep}", "").split())[:500]
            else:
                inside = {"container": path, "format": formats[path], "problem": "", "detail": ""}
                table = table.with_columns(path=pl.lit(f"{path}/") + pl.col("member"))
                made.append(
                    table.with_columns(pl.lit(value).alias(name) for name, value in inside.items()).select(_NAMES)
                )
        if why:
            row = {"path": path, "problem": "unreadable", "detail": why}
            made.append(pl.DataFrame([row], schema=dict.fromkeys(row, pl.String)))
    return pl.concat(made, how="diagonal_relaxed")


def members_named(labels: pa.Table, corpora: list[Corpus]) -> Any:
    """Members that labels name, without their hashes."""
    import polars as pl

    named: Any = pl.from_arrow(labels.select(["path"]))
    made = [_empty()]
    for path, name in _formats(corpora).items():
        inside = named.filter(pl.col("path").str.starts_with(f"{path}/")).unique()
        made.append(
            inside.with_columns(container=pl.lit(path), format=pl.lit(name), problem=pl.lit(""), detail=pl.lit(""))
        )
    return pl.concat(made, how="diagonal_relaxed")


def _formats(corpora: list[Corpus]) -> dict[str, str]:
    """Container -> its format."""
    return {corpus.path(one): claim.format for corpus in corpora for claim in corpus.claims for one in claim.containers}


def _empty() -> Any:
    import polars as pl

    return pl.DataFrame(schema={name: pl.Int64 if name == "size" else pl.String for name in _NAMES})
