"""The one reader of our JSON: whatever stands in a text, there is the dataclass or the declared error."""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.plain import from_json, from_plain, json_object, json_value

from tests.schemas.any_json import ANY_JSON, changed, check


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"`size` must be 1 or more, but is {self.size}.")


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    part: Part
    is_on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    parts: tuple[Part, ...] = ()
    pair: tuple[str, float] = ("a", 0.5)
    counts: dict[str, int] = field(default_factory=dict)
    words: list[str] | None = None
    extra: Any = None
    derived: int = field(default=0, init=False)


WHOLE: dict[str, Any] = {"name": "x", "part": {"size": 1}}


def test_what_is_written_is_read() -> None:
    whole = Whole(
        name="é", part=Part(size=2), mode="slow", parts=(Part(size=3),), counts={"a": 1}, words=[], extra={"b": [None]}
    )
    values = asdict(whole)
    del values["derived"]
    assert from_json(Whole, json.dumps(values), "file") == from_plain(Whole, values, "file") == whole
    assert from_json(Whole, json.dumps(values).encode(), "file") == whole


def test_a_whole_number_is_a_number_and_stays_whole() -> None:
    # What is read and written again is the same text: ids are hashes of it.
    assert json.dumps(asdict(from_json(Part, '{"size": 1, "rate": 2}', "file"))) == '{"size": 1, "rate": 2}'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "file: `name` must be a string, but is 3."),
        ({"is_on": 1}, "file: `is_on` must be true or false, but is 1."),
        ({"mode": "late"}, 'file: `mode` must be fast or slow, but is "late".'),
        ({"part": None}, "file: `part` must be an object with the fields of Part, but is null."),
        ({"part": {}}, "file: `part` must have the fields of Part, but lacks size."),
        ({"part": {"size": True}}, "file: `part.size` must be a whole number, but is true."),
        ({"part": {"size": 1.0}}, "file: `part.size` must be a whole number, but is 1.0."),
        ({"part": {"size": 1, "rate": False}}, "file: `part.rate` must be a number, but is false."),
        ({"part": {"size": 1, "rate": 10**400}}, "file: `part.rate` must be a finite number, but is 1000"),
        ({"part": {"size": 0}}, "file: `part`: `size` must be 1 or more, but is 0."),
        ({"parts": [{"size": 1}, {"size": "1"}]}, 'file: `parts[1].size` must be a whole number, but is "1".'),
        ({"parts": {}}, "file: `parts` must be a list, but is {}."),
        ({"pair": ["a"]}, 'file: `pair` must be a list of 2, but is ["a"].'),
        ({"pair": ["a", "b"]}, 'file: `pair[1]` must be a number, but is "b".'),
        ({"counts": {"a": "1"}}, 'file: `counts[a]` must be a whole number, but is "1".'),
        ({"counts": []}, "file: `counts` must be an object, but is []."),
        ({"words": "a"}, 'file: `words` must be a list, but is "a".'),
        ({"derived": 1}, "file: must have the fields of Whole, but has derived, which only a newer version may know."),
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_named_with_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        from_json(Whole, json.dumps({**WHOLE, **change}), "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "name": "b"}', "file: must be JSON, but is not ('name' stands twice in one object)."),
        ('{"x": {"a": 1, "a": 1}}', "file: must be JSON, but is not ('a' stands twice"),
        ('{"x": NaN}', "file: must be JSON, but is not (NaN is no finite number)."),
        ('{"x": -Infinity}', "-Infinity is no finite number"),
        ('{"x": 1e999}', "1e999 is no finite number"),
        ('{"x": 1' + "0" * 5000 + "}", "file: must be JSON, but is not (Exceeds the limit"),
        ("[" * 100_000, "file: must be JSON, but is not (maximum recursion depth"),
        ("{", "file: must be JSON, but is not ("),
        ("", "file: must be JSON, but is not ("),
        (b"\xff", "file: must be JSON in UTF-8, but is not (invalid start byte)."),
        ('{"x": "\\ud800"}', "file: must be JSON in UTF-8, but is not (surrogates not allowed)."),
        ('{"x": "\\uD800"}', "file: must be JSON in UTF-8"),
        ('{"x": "\ud800"}', "file: must be JSON in UTF-8"),
    ],
)
def test_a_text_that_is_no_strict_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        json_object(text, "file")


def test_a_pair_of_surrogates_is_one_letter() -> None:
    assert json_value('"\\ud83d\\ude00"', "file") == "😀"


def test_an_object_is_no_list() -> None:
    with pytest.raises(DataError, match=re.escape("file: must be a JSON object, but is [].")):
        json_object("[]", "file")


def test_the_caller_says_whose_fault_it_is() -> None:
    for text in ("{", "[]", '{"size": 0}', "{}"):
        with pytest.raises(UsageError, match=r"^`job`: "):
            from_json(Part, text, "`job`", error=UsageError)


def test_where_nothing_is_guessed_every_field_must_be_there() -> None:
    assert from_json(Part, '{"size": 1, "rate": 1.0}', "file", is_whole=True) == Part(size=1)
    with pytest.raises(DataError, match="must have all fields of Part, but lacks rate"):
        from_json(Part, '{"size": 1}', "file", is_whole=True)


@pytest.mark.parametrize("hint", [str | int, set[str], bytes])
def test_a_class_whose_fields_no_json_gives_is_a_defect(hint: Any) -> None:
    cls = dataclass(type("Odd", (), {"__annotations__": {"x": hint}}))
    with pytest.raises(TypeError):
        from_plain(cls, {"x": 1}, "file")


@settings(max_examples=300, deadline=None)
@given(ANY_JSON)
def test_any_value_is_the_dataclass_or_the_error(value: Any) -> None:
    for cls in (Part, Whole):
        check(cls, value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_of_one_value_is_the_dataclass_or_the_error(data: st.DataObject) -> None:
    check(Whole, changed(asdict(Whole(name="x", part=Part(size=1), parts=(Part(size=1),), counts={"a": 1})), data))


@settings(max_examples=300, deadline=None)
@given(st.binary() | st.text(alphabet='{}[]":,0123456789eE+-.truefalsn \\ud8') | ANY_JSON.map(json.dumps))
def test_any_text_is_the_dataclass_or_the_error(text: str | bytes) -> None:
    try:
        made = from_json(Whole, text, "file", error=UsageError)
    except UsageError as error:
        assert str(error).startswith("file: ")
    else:
        assert type(made) is Whole
