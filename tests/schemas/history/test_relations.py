"""What a row's ids name is said on its class, and what is said there is what lineage and forgetting go by."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.history import lineage
from uniaudio_schemas.history.find import find
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.history.named import all_ids, bool_array, id_array, ids_at, naming
from uniaudio_schemas.history.traces import CUT_KINDS, DATA_KINDS, MODEL_KINDS, drawn_from, mask, trace
from uniaudio_schemas.kinds import ROWS
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.ids import Names, relations
from uniaudio_schemas.kinds.record import schema_of, to_table
from uniaudio_schemas.testing import clip_id, example_rows

from tests.schemas import arc

ID_ENDINGS = ("_id", "_ids", "sha256", "fingerprint", "blob", "tar", "weights", "parents", "parent")
NAME_NO_ROW = {"row_id", "audio_ids", "text_ids"}
"""Of a dropped row an id or a path; ids of a vocabulary."""


def marked_fields(cls: Any) -> typing.Iterator[tuple[str, bool]]:
    """Name of every field of a row class and of the classes in it, and whether its type says what it names."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        yield field.name, "Names(" in repr(hints[field.name])
        for inner in (hints[field.name], *typing.get_args(hints[field.name])):
            if dataclasses.is_dataclass(inner):
                yield from marked_fields(inner)


@pytest.mark.parametrize("row_class", ROWS, ids=lambda cls: cls.__name__)
def test_every_id_and_hash_of_a_row_says_what_it_names(row_class: Any) -> None:
    unsaid = [name for name, is_said in marked_fields(row_class) if name.endswith(ID_ENDINGS) and not is_said]
    assert set(unsaid) <= NAME_NO_ROW


def test_the_relations_are_these() -> None:
    found = {
        schema_of(row_class).kind: {".".join(one.path): one.names.what for one in schema_of(row_class).relations}
        for row_class in ROWS
    }
    cut = {"clip_id": "clip", "raw_clip_id": "raw"}
    assert found == {
        "raw": {"clip_id": "raw", "tar": "blob"},
        "evalset": {"clip_id": "raw"},
        "cuts": cut,
        "annotated": cut,
        "instructions": {
            "instruction_id": "example", "segments.clip_id": "clip", "recipes.clip_id": "clip", "recipes.parents": "clip",
            "clip_ids": "clip",
        },
        "codec": {"codec_id": "codec", "weights": "blob"},
        "tokens": {"clip_id": "clip"},
        "sequences": {"sequence_id": "example", "clip_ids": "clip"},
        "checkpoint": {
            "checkpoint_id": "checkpoint", "parent": "checkpoint", "weights": "blob", "codec_fingerprint": "codec",
            "sequences": "sequences",
        },
        "scores": {"checkpoint_id": "checkpoint", "predictions": "blob", "media.blob": "blob"},
        "codec_scores": {"codec_id": "codec", "predictions": "blob", "media.blob": "blob"},
        "dropped": {},
    }  # fmt: skip


def test_the_kinds_follow_from_the_relations() -> None:
    assert DATA_KINDS == (
        "raw", "evalset", "cuts", "annotated", "instructions", "tokens", "sequences", "scores", "codec_scores"
    )  # fmt: skip
    assert MODEL_KINDS == ("codec", "checkpoint")
    assert CUT_KINDS == ("cuts", "annotated")


def test_a_class_that_names_nothing_has_no_relations() -> None:
    assert relations(Dropped) == () and schema_of(Dropped).own_id == Names(what="")


def test_ids_are_found_in_lists_and_structs_of_slices() -> None:
    (row,) = example_rows("instructions")
    table = to_table([row, *example_rows("instructions", first=1)], type(row))
    for path, number in ((("segments", "clip_id"), 4), (("recipes", "parents"), 1), (("clip_ids",), 2)):
        for start in range(2):
            ((rows, values),) = ids_at(table.slice(start, 1), path)
            assert rows.tolist() == [0] * number and len(values) == number
    both = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    assert [rows.tolist() for rows, _ in ids_at(both, ("clip_ids",))] == [[0, 0], [1, 1]]
    wanted = id_array(table.slice(1)["recipes"][0].as_py()[0]["parents"])
    assert naming(both, ("recipes", "parents"), wanted).tolist() == [True, False]
    assert all_ids(table.slice(0, 1), ("segments", "clip_id")) == {table["segments"][0].as_py()[1]["clip_id"]}
    assert list(ids_at(table, ("of_a_later_version",))) == []


def test_arrays_are_made_without_pandas() -> None:
    assert id_array(["é", "a", "a"]).to_pylist() == ["a", "é"]
    assert id_array([]).to_pylist() == []
    mask = np.arange(20) % 3 == 0
    assert bool_array(mask).to_pylist() == mask.tolist()


@pytest.mark.parametrize("kind", [*DATA_KINDS, *MODEL_KINDS])
def test_every_kind_leads_back_to_the_files(memory_folder: Path, kind: str) -> None:
    store = arc.make_arc(memory_folder / "store")
    back = way_back(store, find(store, kind))
    assert [(one["corpus"], one["files"]) for one in back["sources"]] == [("bells", 2), ("queen", 3)]


@pytest.mark.parametrize(
    ("kind", "of"),
    [("codec", "annotated"), ("checkpoint", "sequences"), ("scores", "sequences"), ("codec_scores", "annotated")],
)
def test_of_its_parents_a_model_is_drawn_from_the_last_in_the_data_flow(
    memory_folder: Path, kind: str, of: str
) -> None:
    store = arc.make_arc(memory_folder / "store")
    head = store.head(kind)
    assert head is not None and drawn_from(store, head) == store.versions(of)


def test_each_relation_alone_makes_a_row_one_of_the_source(memory_folder: Path) -> None:
    store = arc.make_arc(memory_folder / "store")
    found = trace(store, [clip_id(3)])
    (one,) = [row for row in arc._instructions("queen") if row.recipes]
    assert found.clips == {clip_id(3), arc.mixture().clip_id} and one.instruction_id in found.examples
    plain = dataclasses.replace(one, instruction_id="0", segments=[], recipes=[], clip_ids=[])
    segments = [dataclasses.replace(one.segments[1], clip_id=clip_id(3))]
    for row in (
        dataclasses.replace(plain, segments=segments),
        dataclasses.replace(plain, recipes=one.recipes),
        dataclasses.replace(plain, clip_ids=[clip_id(3)]),
        dataclasses.replace(plain, instruction_id=one.instruction_id),
    ):
        assert mask(store, "instructions", to_table([row], type(row)), found).tolist() == [True]
    assert mask(store, "instructions", to_table([plain], type(plain)), found).tolist() == [False]


def test_a_clip_whose_corpus_is_not_annotated_yet_is_found_by_its_cut(memory_folder: Path) -> None:
    store = arc.make_arc(memory_folder / "store")
    cuts = store.head("cuts")
    assert cuts is not None
    (clip,), _ = lineage._clips(store, [cuts, *store.versions("raw")], [clip_id(3)])
    assert clip["file"]["path"] == "queen/3.wav" and "split" not in clip["cut"]
