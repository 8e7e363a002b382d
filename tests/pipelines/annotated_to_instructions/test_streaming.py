"""Many units: the same examples however the rows lie in shards, few of them changed by a new row, and no unit that reads the corpus."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from uniaudio_pipelines.annotated_to_instructions.examples import has_audio
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.history.recount import recount
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.task_statistics import example_of, example_statistics
from uniaudio_schemas.store import Store

from tests.pipelines.annotated_to_instructions.corpus import ALL, RATE, a_clip, build, rows_of, write
from uniaudio.tasks.recipes import samples_of

SMALL = replace(ALL, clips_per_unit=32)
"""As many units as thousands of rows would have."""


def a_large_corpus(count: int = 100) -> list[Annotated]:
    """Speech of voices that say five clips each, sounds, recordings in three cuts, and the same sentence by every tenth clip's voice."""
    speech = [
        a_clip(
            f"s{number:03}",
            "speech",
            speaker=f"v{number // 5}",
            given_text="we all say this" if number % 10 == 0 else f"line {number}",
        )
        for number in range(count)
    ]
    sounds = [
        a_clip(f"n{number:03}", "sound", caption=f"a bell {number}", tags=[("bell", "dog", "rain")[number % 3]])
        for number in range(count // 2)
    ]
    cuts = [
        a_clip(
            f"c{number:03}",
            "music",
            raw_clip_id=f"r{number // 3}",
            first_sample=2 * RATE * (number % 3),
            caption="a tune",
            tags=["folk"],
        )
        for number in range(30)
    ]
    return [*speech, *sounds, *cuts]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Any]:
    return build(tmp_path_factory.mktemp("large"), a_large_corpus(), SMALL, shards=7)


def test_every_clip_is_at_home_in_one_unit(large: tuple[Store, Any]) -> None:
    store, manifest = large
    assert len(manifest.shards) == 8
    alone = Counter(row.clip_ids[0] for row in rows_of(store, manifest) if row.task == "audio_only")
    assert set(alone) == {clip.clip_id for clip in a_large_corpus()}
    assert set(alone.values()) == {1}


def test_how_clips_lie_in_shards_changes_nothing(large: tuple[Store, Any], tmp_path: Path) -> None:
    _, manifest = large
    assert build(tmp_path, reversed(a_large_corpus()), SMALL, shards=2)[1].content_id == manifest.content_id


def test_clips_that_belong_together_meet_wherever_they_lie(large: tuple[Store, Any]) -> None:
    rows = rows_of(*large)
    runs = [row.clip_ids for row in rows if row.task == "sentence_consecutive" and not row.recipes]
    assert sorted(runs) == [[f"c{3 * number + part:03}" for part in range(3)] for number in range(10)]
    turns = {clip for row in rows if row.task == "sentence_transcribed" for clip in row.clip_ids}
    assert len(turns) == 80, "four of the five clips of each voice"
    same = {clip for row in rows if row.task == "sentence_same_words" for clip in row.clip_ids}
    assert same == {f"s{number:03}" for number in range(0, 100, 10)}


def test_a_new_clip_changes_few_examples(large: tuple[Store, Any], tmp_path: Path) -> None:
    before = {row.instruction_id: row for row in rows_of(*large)}
    new = a_clip("s900", "speech", speaker="v900", given_text="something new")
    after = {row.instruction_id for row in rows_of(*build(tmp_path, [*a_large_corpus(), new], SMALL, shards=3))}
    gone = [row.task for name, row in before.items() if name not in after]
    assert len(before) > 500
    assert len(gone) < 20, Counter(gone)


def test_no_unit_reads_more_for_a_voice_that_says_everything(tmp_path: Path) -> None:
    clips = [a_clip(f"s{number:03}", "speech", speaker="one", given_text=f"line {number}") for number in range(200)]
    store, manifest = build(tmp_path, clips, SMALL)
    worker = InstructionWorker(str(tmp_path), SMALL, SMALL.plan(store))
    sizes = [len(worker._annotated.clips("home", shard.unit, alone=True)[0]) for shard in manifest.shards]
    assert sum(sizes) == 200
    assert max(sizes) <= 3 * SMALL.clips_per_unit


def test_a_pack_that_was_not_finished_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, a_large_corpus(20))
    plan = SMALL.plan(store)
    folder = tmp_path / "cache" / SMALL.EDGE / plan.plan_id
    folder.mkdir(parents=True)
    (folder / "c-00000.123").write_bytes(b"half of a pack")
    first = InstructionWorker(str(tmp_path), SMALL, plan).process("c-00000")
    (folder / "c-00000.arrow").unlink()
    assert InstructionWorker(str(tmp_path), SMALL, plan).process("c-00000").rows == first.rows


def test_an_example_is_in_one_shard(large: tuple[Store, Any]) -> None:
    store, manifest = large
    ids = [row.instruction_id for row in rows_of(store, manifest)]
    assert len(set(ids)) == len(ids)


def test_a_clip_is_dropped_once_for_a_reason_and_tasks_count_their_own(tmp_path: Path) -> None:
    clips = [a_clip(f"s{number}", "speech", speaker="one", caption="x") for number in range(3)]
    store, manifest = build(tmp_path, clips)
    rows = store.dropped(manifest).to_pylist()
    assert len({(row["row_id"], row["reason"]) for row in rows}) == len(rows)
    assert manifest.statistics["not_built/asr/no_text"] == 3


def test_one_reason_of_two_tasks_is_one_dropped_row(tmp_path: Path) -> None:
    _, manifest = build(tmp_path, [a_clip("s", "speech", speaker="one", given_text="hello")])
    tasks = {
        name.split("/")[1]
        for name in manifest.statistics
        if name.startswith("not_built/") and name.endswith("/no_partner")
    }
    assert tasks == {"speech_separation", "speech_enhancement", "voice_conversion"}
    assert manifest.dropped["no_partner"] == 1


def test_the_statistics_are_what_the_rows_say(large: tuple[Store, Any]) -> None:
    """So that they can be counted again when a source is forgotten."""
    store, manifest = large
    lengths = {clip.clip_id: samples_of(clip) for clip in a_large_corpus() if has_audio(clip)}
    found: Counter[str] = Counter()
    for table in store.tables(manifest):
        rows = table.to_pylist()
        made = {recipe["clip_id"]: recipe["num_samples"] for row in rows for recipe in row["recipes"]}
        found.update(example_statistics(example_of(row, lengths | made) for row in rows))
    counted = {
        name: value
        for name, value in manifest.statistics.items()
        if name.startswith(("examples/", "seconds/", "positions/"))
    }
    assert counted == pytest.approx(dict(found))


def test_a_corpus_with_a_forgotten_clip_is_counted_again(tmp_path: Path) -> None:
    store, manifest = build(tmp_path, a_large_corpus(20))
    (shard,) = manifest.shards
    table = store.table_of_shard(manifest, shard)
    kept = table.filter(pc.not_equal(table["task"], "asr"))
    plan = ALL.plan(store)
    after = recount(store, plan, kept, shard.statistics)
    gone = {name for name in shard.statistics if "/asr/" in name and not name.startswith("not_built/")}
    assert gone and set(shard.statistics) - set(after) == gone
    assert {name: after[name] for name in after} == pytest.approx({name: shard.statistics[name] for name in after})


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
@pytest.mark.services
def test_two_workers_make_what_one_makes(large: tuple[Store, Any], tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, a_large_corpus(), 7)
    assert run_edge(store, SMALL, InstructionWorker, num_workers=2).content_id == large[1].content_id
