"""Units of `raw` are named by their contents, and partners were looked for within each of them: one speaker in two shards was two."""

from uniaudio_pipelines.annotated_to_instructions.units import source_of
from uniaudio_pipelines.source_to_raw.units import with_units

from tests.pipelines.source_to_raw.test_units import listing


def test_a_corpus_in_many_shards_of_raw_is_one_source() -> None:
    table = with_units(listing([f"queen/{number:04d}.wav" for number in range(300)]), 64, 1 << 30)
    units = sorted(set(table["unit"].to_pylist()))
    assert len(units) > 4
    assert {source_of(unit) for unit in units} == {"queen"}


def test_a_shard_with_a_number_and_a_corpus_with_a_dash_keep_their_names() -> None:
    assert source_of("queen-00003") == "queen"
    assert source_of("cv-corpus-17-0a00cb23e2b44904") == "cv-corpus-17"
    assert source_of("cv-corpus") == "cv-corpus"
