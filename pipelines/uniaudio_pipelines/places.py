"""Where the audio of clips lies: the columns of `annotated` and `raw` that rendering reads (`uniaudio.audio.render`).

Row      Cut(clip_id="5f1c…", raw_clip_id="0a77…", domain="speech", first_sample=0, num_samples=46070, sample_rate=16000)
"""

from collections.abc import Collection
from dataclasses import dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """What a row of `annotated` says on how its audio is cut."""

    clip_id: str
    raw_clip_id: str
    domain: str
    first_sample: int
    num_samples: int
    sample_rate: int

    @classmethod
    def of(cls, row: Annotated) -> "Cut":
        return cls(**{each.name: getattr(row, each.name) for each in fields(cls)})


@dataclass(frozen=True, kw_only=True, slots=True)
class RawAudio:
    """What a row of `raw` says on where its audio lies."""

    clip_id: str
    medium: str
    path: str
    sample_rate: int
    tar: str
    tar_offset: int
    tar_size: int
    mono_channel: int | None


def raw_places(store: Store, raw: Manifest, raw_clip_ids: Collection[str]) -> dict[str, RawAudio]:
    """Places of the raw clips with these ids, by id."""
    wanted = pa.array(sorted(raw_clip_ids), pa.string())
    places: dict[str, RawAudio] = {}
    for table in store.tables(raw, [each.name for each in fields(RawAudio)]):
        rows = table.filter(pc.is_in(table["clip_id"], wanted)).to_pylist()
        places |= {row["clip_id"]: RawAudio(**row) for row in rows}
    return places
