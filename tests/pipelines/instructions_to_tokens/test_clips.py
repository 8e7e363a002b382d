"""What one pass over the parents finds for each unit, against all rows held in memory."""

from pathlib import Path

import pytest
from uniaudio_pipelines.instructions_to_tokens import clips
from uniaudio_pipelines.instructions_to_tokens.clips import Clips
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.running.hashed import ranges_of
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.store import Store

from tests.pipelines.instructions_to_tokens.token_corpus import (
    cuts_of,
    mixtures_of,
    put_codec,
    put_instructions,
    put_raw,
    sound,
)

JOB = InstructionsToTokens(clips_per_unit=4)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """72 cuts of 24 recordings, 18 of them only in mixtures, in 32 units and 4 parts, routed in small steps."""
    monkeypatch.setattr(clips, "MAX_PART_BITS", 2)
    monkeypatch.setattr(clips, "_ROUTED_ROWS", 7)
    store = Store(tmp_path)
    _, raws = put_raw(store, [sound(3_000, seed) for seed in range(24)])
    cuts = cuts_of(raws, 3)
    put_instructions(
        store, cuts, [*mixtures_of(cuts[:20]), *mixtures_of(cuts[1:21])], named=cuts[18:], lost=["nowhere"]
    )
    put_codec(store)
    return store


def test_each_unit_has_the_clips_of_its_range_and_what_they_are_made_from(store: Store) -> None:
    plan = JOB.plan(store)
    found = Clips(store, plan, 5, JOB.folder(store, plan))
    instructions, annotated = store.head("instructions"), store.head("annotated")
    assert instructions is not None and annotated is not None
    rows = list(store.rows(instructions, Instruction))
    recipes = {recipe.clip_id: recipe for row in rows for recipe in row.recipes}
    cuts = {row.clip_id: row for row in store.rows(annotated, Annotated)}
    named: set[str] = set()
    for unit in ranges_of(5):
        names = found.of(unit)
        of_unit = set(names.to_pylist())
        assert len(of_unit) == len(names) and not of_unit & named
        named |= of_unit
        sources = found.sources(unit, names)
        assert sources.recipes == {clip: recipes[clip] for clip in of_unit if clip in recipes}
        behind = (of_unit - set(recipes)) | {parent for clip in sources.recipes for parent in recipes[clip].parents}
        assert set(sources.cuts) == behind & set(cuts)
        for clip, cut in sources.cuts.items():
            whole = cuts[clip]
            assert (cut.raw_clip_id, cut.first_sample) == (whole.raw_clip_id, whole.first_sample)
        assert set(sources.raws) == {cut.raw_clip_id for cut in sources.cuts.values()}
    assert named == {part.clip_id for row in rows for part in row.segments if part.clip_id}
    assert "nowhere" in named and len(named) == 54 + 20 + 1


def test_only_the_sources_of_the_asked_clips_are_read(store: Store) -> None:
    plan = JOB.plan(store)
    found = Clips(store, plan, 0, JOB.folder(store, plan))
    (unit,) = ranges_of(0)
    names = found.of(unit)
    sources = found.sources(unit, names.slice(0, 3))
    assert len(sources.recipes) + len(set(sources.cuts) & set(names.slice(0, 3).to_pylist())) <= 3


def test_where_all_codes_are_there_neither_annotations_nor_raw_clips_are_read(store: Store, tmp_path: Path) -> None:
    plan = JOB.plan(store)
    found = Clips(store, plan, 5, JOB.folder(store, plan))
    for kind in ("annotated", "raw"):
        for path in tmp_path.glob(f"{kind}/shards/*"):
            path.unlink()
    assert sum(len(found.of(unit)) for unit in ranges_of(5)) == 75
