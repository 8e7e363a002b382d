"""The decontamination gate, on versions that hang together as the edges would make them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.sequences_to_checkpoint.gate import check_leaks, leaking_examples
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import Forgotten, write_record
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import clip_id, example_rows

from tests.pipelines.sequences_to_checkpoint.conftest import put_sequences


def publish(
    store: Store, kind: str, rows: Iterable[Any], parents: dict[str, str] | None = None, ref: str = "latest", **parameters: Any
) -> Manifest:  # fmt: skip
    plan = Plan(
        kind=kind, schema_version=newest(kind).version, parents=parents or {}, parameters=parameters, code_version="test",
        units=["all"],
    )  # fmt: skip
    with store.writer(plan, owner="test", ref=ref) as writer:
        if "all" not in writer.done():
            writer.put_shard("all", list(rows))
        return writer.publish()


def register(store: Store, name: str, num_items: int = 1) -> Manifest:
    rows = [replace(row, name=name) for row in example_rows("evalset", num_items)]
    return publish(store, "evalset", rows, ref=name, name=name, num_items=num_items)


def annotate(store: Store, leaks: dict[int, list[str]]) -> Manifest:
    """Four clips, of which some leak, compared with every set that is registered now."""
    evalsets = {name: head.content_id for name, head in store.refs("evalset").items()}
    rows = [replace(row, leaks=leaks.get(number, [])) for number, row in enumerate(example_rows("annotated", 4))]
    return publish(store, "annotated", rows, leaks=str(leaks), **({"evalsets": evalsets} if evalsets else {}))


def put_examples(store: Store, annotated: Manifest, examples: dict[str, tuple[str, list[int]]]) -> Manifest:
    """Sequences: id -> (split, its clips by number)."""
    made = example_rows("instructions", len(examples))
    instructions = publish(store, "instructions", made, {"annotated": annotated.content_id})
    (row,) = example_rows("sequences")
    rows = [
        replace(row, sequence_id=name, split=split, clip_ids=[clip_id(number) for number in numbers])
        for name, (split, numbers) in examples.items()
    ]
    return publish(store, "sequences", rows, {"instructions": instructions.content_id})


def check(store: Store, sequences: Manifest, *allowed: str, start: Manifest | None = None) -> None:
    check_leaks(store, sequences, start, allowed)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


EXAMPLES = {"alone": ("train", [0]), "mixed": ("train", [1, 2]), "held": ("val", [2]), "fine": ("train", [3])}


def test_without_a_registered_set_training_starts(store: Store) -> None:
    check(store, put_examples(store, annotate(store, {2: ["removed"]}), EXAMPLES))


def test_a_training_example_with_a_leaking_clip_among_its_clips_is_refused_by_name(store: Store) -> None:
    register(store, "esc")
    register(store, "asr")
    sequences = put_examples(store, annotate(store, {0: ["asr", "esc"], 2: ["esc"]}), EXAMPLES)
    with pytest.raises(UsageError, match=r"but 2 training examples do") as error:
        check(store, sequences)
    assert "asr (1), esc (2); such as alone (asr, esc), mixed (esc)" in str(error.value)
    with pytest.raises(UsageError, match=r"but 1 training examples do, with asr \(1\); such as alone \(asr\)"):
        check(store, sequences, "esc")
    check(store, sequences, "asr", "esc")


def test_what_leaks_and_is_only_held_out_or_in_no_example_is_no_obstacle(store: Store) -> None:
    register(store, "esc")
    sequences = put_examples(
        store, annotate(store, {2: ["esc"], 1: ["esc"]}), {"held": ("val", [2]), "fine": ("train", [3, 0])}
    )
    check(store, sequences)


def test_a_set_that_was_registered_after_the_corpus_was_annotated_is_asked_for(store: Store) -> None:
    register(store, "old")
    annotated = annotate(store, {})
    sequences = put_examples(store, annotated, EXAMPLES)
    check(store, sequences)
    register(store, "new")
    with pytest.raises(UsageError, match=r"but new was registered or changed later: run .*annotate-corpus"):
        check(store, sequences)
    check(store, sequences, "new")
    # Annotated again, the rows are equal, so that neither instructions nor sequences are made anew.
    again = annotate(store, {})
    assert again.content_id == annotated.content_id and again.plan_id != annotated.plan_id
    check(store, sequences)


def test_a_set_that_changed_since_is_asked_for(store: Store) -> None:
    register(store, "esc")
    sequences = put_examples(store, annotate(store, {}), EXAMPLES)
    register(store, "esc", 2)
    with pytest.raises(UsageError, match="but esc was registered or changed later"):
        check(store, sequences)


def test_a_set_that_lost_items_since_by_forgetting_was_compared_with_all_the_same(store: Store) -> None:
    before = register(store, "esc", 2)
    sequences = put_examples(store, annotate(store, {0: ["esc"]}), EXAMPLES)
    after = register(store, "esc", 1)
    write_record(
        store, Forgotten(raw=[], clips=[], examples=[], rewritten=[["evalset", before.content_id, after.content_id]])
    )
    with pytest.raises(UsageError, match="1 training examples do"):
        check(store, sequences)


def test_sequences_whose_annotations_are_gone_are_refused(store: Store) -> None:
    register(store, "esc")
    annotated = annotate(store, {})
    sequences = put_examples(store, annotated, EXAMPLES)
    store.unpoint("annotated", "latest")
    (Path(store.root) / f"annotated/versions/{annotated.plan_id}.json").unlink()
    with pytest.raises(UsageError, match="esc was registered or changed later"):
        check(store, sequences)


def test_a_set_that_is_removed_is_asked_for_no_more_and_may_not_be_allowed(store: Store) -> None:
    register(store, "esc")
    sequences = put_examples(store, annotate(store, {0: ["esc"]}), EXAMPLES)
    store.unpoint("evalset", "esc")
    check(store, sequences)
    with pytest.raises(
        UsageError, match=r"`allow_leaks` must name registered evaluation sets \(there is none\), but names esc"
    ):
        check(store, sequences, "esc")


def test_a_checkpoint_that_learned_from_leaks_is_no_start(store: Store) -> None:
    register(store, "esc")
    leaking = put_examples(store, annotate(store, {0: ["esc"]}), EXAMPLES)
    clean = put_examples(store, annotate(store, {2: ["esc"]}), {"fine": ("train", [3])})
    first = publish(store, "checkpoint", example_rows("checkpoint"), {"sequences": leaking.content_id})
    parents = {"sequences": clean.content_id, "checkpoint": first.content_id}
    second = publish(store, "checkpoint", example_rows("checkpoint", first=1), parents)
    check(store, clean)
    for start in (first, second):
        with pytest.raises(UsageError, match=r"`parent`, trained on sequences .* such as alone \(esc\)"):
            check(store, clean, start=start)
        check(store, clean, "esc", start=start)
    (Path(store.root) / f"sequences/versions/{leaking.plan_id}.json").unlink()
    with pytest.raises(UsageError, match="are not in the store any more"):
        check(store, clean, start=second)


def test_leaking_examples_are_told_with_their_sets(store: Store) -> None:
    annotated = annotate(store, {0: ["esc"], 1: ["asr"], 2: ["esc"]})
    sequences = put_examples(store, annotated, EXAMPLES)
    both = {"esc": annotated, "asr": annotated}
    assert dict(leaking_examples(store, sequences, both)) == {"alone": ["esc"], "mixed": ["asr", "esc"]}
    assert dict(leaking_examples(store, sequences, {"asr": annotated})) == {"mixed": ["asr"]}


def test_of_several_annotations_behind_equal_instructions_each_set_is_asked_where_it_was_compared(store: Store) -> None:
    # `leaks` = keep: other annotations, the same instructions and so the same sequences.
    register(store, "esc")
    first = put_examples(store, annotate(store, {0: ["esc"]}), EXAMPLES)
    store.unpoint("evalset", "esc")
    register(store, "asr")
    second = put_examples(store, annotate(store, {3: ["asr"]}), EXAMPLES)
    assert first.plan_id == second.plan_id
    register(store, "esc")
    with pytest.raises(UsageError, match=r"2 training examples do, .* such as alone \(esc\), fine \(asr\)"):
        check(store, second)


def test_the_plan_is_refused_and_what_is_allowed_is_part_of_it(tmp_path: Path) -> None:
    put_sequences(tmp_path)
    store, job = Store(tmp_path), SequencesToCheckpoint()
    before = job.plan(store)
    assert "allow_leaks" not in before.parameters
    for name in ("esc", "asr"):
        register(store, name)
    with pytest.raises(UsageError, match="asr, esc was registered or changed later"):
        job.plan(store)
    allowed = replace(job, allow_leaks=("esc", "asr")).plan(store)
    assert allowed.parameters == {**before.parameters, "allow_leaks": ["asr", "esc"]}
    assert replace(job, allow_leaks=("asr", "esc")).plan(store).plan_id == allowed.plan_id != before.plan_id
