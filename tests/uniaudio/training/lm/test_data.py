import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import FingerprintError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.sequence.condition_dropout import without_condition
from uniaudio.sequence.layout import grid_of
from uniaudio.stages.config import StageConfig
from uniaudio.tasks import TASKS
from uniaudio.training.lm import data as data_module
from uniaudio.training.lm.chance import Chance
from uniaudio.training.lm.data import PADDING_DOCUMENT, Batch, MixtureData
from uniaudio.training.lm.doubles import tiny_sequence, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.losses import count_targets
from uniaudio.training.lm.metrics import HeldOut, SequenceLoss
from uniaudio.training.sequences.dataset import SequenceSet

NAMES = ("ids_BS9", "is_audio_BS", "is_text_BS", "loss_BS", "document_ids_BS")


def some_data(sequences: SequenceSet, stage: StageConfig, seed: int = 0) -> MixtureData:
    return MixtureData(sequences, tiny_vocabulary(), stage, seed)


def equal(left: Batch, right: Batch) -> bool:
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in NAMES)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_read_the_rows_of_one_rank(sequences: SequenceSet, stage: StageConfig, world_size: int) -> None:
    alone = some_data(sequences, stage)
    ranks = [some_data(sequences, stage) for _ in range(world_size)]
    for _ in range(5):
        whole = alone.read(alone.next_step())
        parts = [data.read(data.next_step(), rank=rank, world_size=world_size) for rank, data in enumerate(ranks)]
        for rank, part in enumerate(parts):
            assert torch.equal(part.ids_BS9, whole.ids_BS9[rank::world_size])


def test_a_rank_of_a_step_with_too_few_rows_reads_none(sequences: SequenceSet, stage: StageConfig) -> None:
    data = some_data(sequences, replace(stage, num_rows=1))
    batch = data.read(data.next_step(), rank=1, world_size=2)
    assert len(batch) == 0 and batch.ids_BS9.shape == (0, stage.context, 9)
    assert count_targets(batch, "loss_frames") == (0, 0)


def test_tasks_are_those_of_the_examples_in_the_steps_before_and_of_no_other_of_their_group(stage: StageConfig) -> None:
    rows = [replace(row, mixture="asr" if row.task == "asr" else "auditory_sentences") for row in tiny_sequences()]
    sequences = SequenceSet.of([to_table(rows, Sequence)], "tiny")
    task_of = {row.sequence_id: row.task for row in rows}
    data = some_data(sequences, replace(stage, num_rows=1))
    seen: set[str] = set()
    num_seen: list[int] = []
    # Reading ahead changes nothing.
    ahead = some_data(sequences, data.stage)
    ahead.next_step()
    for _ in range(60):
        seen |= {task_of[name] for name in data.sequence_ids(data.next_step())}
        position = json.loads(json.dumps(data.order.state()))
        ahead.next_step()
        assert ahead.trained_tasks(position) == data.trained_tasks(position) == sorted(seen)
        num_seen.append(len(seen))
    assert num_seen[0] < num_seen[-1] == len(set(task_of.values()))


@pytest.mark.parametrize("num_shards", [1, 2, 7])
def test_the_order_does_not_depend_on_the_shard_layout(
    sequences: SequenceSet, stage: StageConfig, num_shards: int
) -> None:
    rows = tiny_sequences()
    shards = [to_table(rows[start::num_shards], Sequence) for start in range(num_shards)]
    here, there = some_data(sequences, stage), some_data(SequenceSet.of(shards[::-1], "content"), stage)
    for _ in range(5):
        assert equal(here.read(here.next_step()), there.read(there.next_step()))


@pytest.mark.parametrize("at", [0, 3, 11])
def test_resuming_at_any_step_reads_the_same_batches(sequences: SequenceSet, stage: StageConfig, at: int) -> None:
    undisturbed, resumed = some_data(sequences, stage), some_data(sequences, stage)
    for _ in range(at):
        undisturbed.next_step()
    state = json.dumps(undisturbed.state())
    assert len(state) <= 16 * 1024
    resumed.restore(json.loads(state))
    for _ in range(3):
        assert equal(undisturbed.read(undisturbed.next_step()), resumed.read(resumed.next_step()))


def test_a_row_holds_its_examples_one_after_the_other(sequences: SequenceSet, stage: StageConfig) -> None:
    data = some_data(sequences, replace(stage, condition_dropout=0.0))
    plan = data.next_step()
    batch = data.read(plan)
    for row, draws in enumerate(plan.rows):
        start = 0
        for document, draw in enumerate(draws):
            grid = grid_of(sequences.row(data.groups[draw.group], draw.index))
            here = slice(start, start + len(grid.ids))
            assert np.array_equal(batch.ids_BS9[row, here].numpy(), grid.ids)
            assert bool((batch.document_ids_BS[row, here] == document).all())
            start += len(grid.ids)
        assert bool((batch.document_ids_BS[row, start:] == PADDING_DOCUMENT).all())
        assert not bool((batch.is_audio_BS | batch.is_text_BS | batch.loss_BS)[row, start:].any())


def test_another_vocabulary_stops_the_run(stage: StageConfig) -> None:
    table = to_table(tiny_sequences(), Sequence).replace_schema_metadata({"vocabulary_fingerprint": "0" * 32})
    with pytest.raises(FingerprintError, match="but was made with 00000000"):
        some_data(SequenceSet.of([table], "content"), stage)


def test_a_step_leads_back_to_its_sequences(sequences: SequenceSet, stage: StageConfig) -> None:
    data = some_data(sequences, stage)
    assert set(data.sequence_ids(data.next_step())) <= {row.sequence_id for row in tiny_sequences()}


def test_held_out_rows_are_never_trained_on(sequences: SequenceSet, stage: StageConfig) -> None:
    data = some_data(sequences, stage)
    held_out = {row.sequence_id for row in tiny_sequences() if row.split != "train"}
    seen = {sequence_id for _ in range(40) for sequence_id in data.sequence_ids(data.next_step())}
    assert not seen & held_out
    assert seen == {row.sequence_id for row in tiny_sequences()} - held_out


def held_out_of(sequences: SequenceSet, task: str) -> list[Sequence]:
    examples = sequences.held_out(max_length=1_000)[task]
    return [sequences.row(examples, index) for index in range(len(examples))]


def test_held_out_rows_are_of_all_splits_in_turn() -> None:
    rows = [
        tiny_sequence("asr", split, number) for split, count in (("val", 1), ("test", 3)) for number in range(count)
    ]
    rows += [tiny_sequence("tts", "test", 0), tiny_sequence("text_only", "train", 0)]
    sequences = SequenceSet.of([to_table(rows, Sequence)], "content")
    assert [row.split for row in held_out_of(sequences, "asr")] == ["val", "test", "test", "test"]
    ids = [row.sequence_id for row in held_out_of(sequences, "asr")[1:]]
    assert ids == sorted(ids)
    assert set(sequences.held_out(max_length=1_000)) == {"asr", "tts"}


def test_a_held_out_row_knows_the_recording_behind_it(tmp_path: Path) -> None:
    cut = {"corpus": "made", "path": "x.wav", "domain": "music", "licence": "CC0-1.0", "split": "val"}
    clips = [
        Annotated(clip_id="cut", raw_clip_id="whole", **cut),
        Annotated(clip_id="stem", raw_clip_id="guitar", part_of="song", **cut),
    ]
    rows = [
        replace(tiny_sequence("asr", "val", number), clip_ids=clip_ids)
        for number, clip_ids in enumerate((["mixture", "cut"], ["stem"], ["elsewhere"]))
    ]
    store, parents = Store(tmp_path), {}
    for kind, members in (("annotated", clips), ("instructions", []), ("sequences", rows)):
        plan = Plan(
            kind=kind,
            schema_version=newest(kind).version,
            parents=parents,
            parameters={},
            code_version="test",
            units=["a"],
        )
        with store.writer(plan, owner="test") as writer:
            writer.put_shard("a", members)
            manifest = writer.publish()
        parents = {kind: manifest.content_id}
    sequences = SequenceSet.open(store, manifest)
    found = sequences.recordings(held_out_of(sequences, "asr"))
    assert found == ["whole", "made/song", rows[2].sequence_id]


def test_the_interval_of_a_held_out_loss_is_over_recordings() -> None:
    def losses(recordings: str) -> HeldOut:
        rated = [SequenceLoss(float(number), 1, name) for number, name in enumerate(recordings)]
        return HeldOut.of(5.0, rated, Chance(uniform=5.5, unigram=4.5))

    assert (losses("aaaa").low, losses("aaaa").num_sequences) == (None, 4)
    wide, narrow = losses("aabb"), losses("abcd")
    assert None not in (wide.low, wide.high, narrow.low, narrow.high)
    assert (wide.low, wide.high) == (0.5, 2.5)


def test_examples_longer_than_the_context_are_named(sequences: SequenceSet) -> None:
    groups = [group for group in sequences.group_names if group != "tts"]
    named = dict(sequences.too_long(groups, max_length=20))
    rows = [row for row in tiny_sequences() if row.split == "train" and row.task != "tts"]
    lengths = {row.sequence_id: sum(segment.length for segment in row.segments) for row in rows}
    assert named == {sequence_id: length for sequence_id, length in lengths.items() if length > 20}


def test_conditions_are_dropped_of_the_tasks_that_say_so_and_of_no_other(
    sequences: SequenceSet, stage: StageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def num_dropped(group: str) -> int:
        data = some_data(sequences, replace(stage, condition_dropout=1.0))
        drawn = [draw for _ in range(20) for row in data.next_step().rows for draw in row if draw.group == group]
        plain = some_data(sequences, replace(stage, condition_dropout=0.0))
        pairs = zip(
            map(data._grids, drawn, data._documents(drawn)),
            map(plain._grids, drawn, plain._documents(drawn)),
            strict=True,
        )
        return sum(not np.array_equal(ours[0].ids, theirs[0].ids) for ours, theirs in pairs)

    assert num_dropped("tts") > 0 and num_dropped("asr") == 0
    swapped = {"tts": replace(TASKS["tts"], drops_condition=False), "asr": replace(TASKS["asr"], drops_condition=True)}
    monkeypatch.setattr(data_module, "TASKS", swapped)
    assert num_dropped("tts") == 0 and num_dropped("asr") > 0


def test_dropping_the_condition_keeps_targets_and_length() -> None:
    grid, vocabulary = grid_of(tiny_sequence("tts", "train", 0)), tiny_vocabulary()
    dropped = without_condition(grid, vocabulary)
    assert np.array_equal(dropped.ids[grid.loss], grid.ids[grid.loss])
    assert set(dropped.ids[~grid.loss, 8].tolist()) == {vocabulary.text_pad}
    assert np.array_equal(dropped.is_audio, grid.is_audio)


def test_a_tenth_of_the_generation_examples_lose_their_condition(sequences: SequenceSet, stage: StageConfig) -> None:
    vocabulary = tiny_vocabulary()
    data = some_data(sequences, replace(stage, condition_dropout=0.1))
    drawn = [draw for _ in range(200) for row in data.next_step().rows for draw in row if draw.group == "tts"]
    laid_out = map(data._grids, drawn, data._documents(drawn))
    lost = sum(int(grid.ids[0, 8] == vocabulary.text_pad) for grids in laid_out for grid in grids)
    assert 0.06 < lost / len(drawn) < 0.14
