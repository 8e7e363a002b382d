"""The one reader of our JSON: a frozen dataclass from a text, strictly. Manifests, leases, jobs and models' configurations go through it.

    from_json(Lease, b'{"token": 2, "owner": "a", "expires_at": 0.0}', "raw/leases/4f.json")
    from_plain(StageConfig, manifest.parameters["stage"], "`stage`")

Whatever does not fit is one error, of the class that the caller names, and it says where: `DataError` for a file, `UsageError` for what a user typed.

    raw/leases/4f.json: `token` must be a whole number, but is "2".

Strict means: no NaN, no infinity, no name twice in one object, no field unknown or missing, `true` is no number and 1 no flag. A whole number is a
number, and stays whole: what is read and written again is the same text. What a class's own checks refuse (`__post_init__`) is the same error.
"""

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from uniaudio_schemas.errors import DataError, UniaudioError

T = TypeVar("T")
Reader = Callable[[Any], Any]
"""JSON value -> the value as its hint wants it."""

_NAMES: dict[Any, str] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_MAX_SHOWN = 80


class _MisfitError(Exception):
    """What is wrong, before anybody knows the file. Each level adds its own part of the path on the way up."""

    def __init__(self, problem: str, *, is_own_check: bool = False) -> None:
        super().__init__(problem)
        self._problem, self._separator, self._path = problem.removesuffix("."), ": " if is_own_check else " ", ""

    def below(self, part: str) -> "_MisfitError":
        self._path = part + ("." if self._path and not self._path.startswith("[") else "") + self._path
        return self

    def __str__(self) -> str:
        return f"`{self._path}`{self._separator}{self._problem}." if self._path else f"{self._problem}."


def from_json(
    cls: type[T], text: str | bytes, where: str, *, error: type[UniaudioError] = DataError, is_whole: bool = False
) -> T:
    """An instance of a dataclass from the text of a JSON object; the inverse of `json.dumps(dataclasses.asdict(...))`.

    `where` is what an error begins with, such as a path. `is_whole`: fields with a default must be there too.
    """
    return from_plain(cls, json_value(text, where, error=error), where, error=error, is_whole=is_whole)


def from_plain(
    cls: type[T], value: Any, where: str, *, error: type[UniaudioError] = DataError, is_whole: bool = False
) -> T:
    """The same from what JSON holds; tuples may be tuples already."""
    of: Any = cls
    try:
        if is_whole and isinstance(value, dict) and (missing := sorted(_fields(of).keys() - value.keys())):
            raise _MisfitError(f"must have all fields of {cls.__name__}, but lacks {', '.join(missing)}")
        result: T = _dataclass_reader(of)(value)
        return result
    except _MisfitError as misfit:
        raise error(f"{where}: {misfit}") from misfit.__cause__


def json_object(text: str | bytes, where: str, *, error: type[UniaudioError] = DataError) -> dict[str, Any]:
    """An object whose fields are not ours to name, such as another project's configuration."""
    value = json_value(text, where, error=error)
    if not isinstance(value, dict):
        raise error(f"{where}: must be a JSON object, but is {_shown(value)}.")
    return value


def json_value(text: str | bytes, where: str, *, error: type[UniaudioError] = DataError) -> Any:
    """Any JSON value: UTF-8, finite numbers, no name twice in one object."""
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = _DECODER.decode(decoded)
        # A lone surrogate can neither be hashed nor written again.
        if not decoded.isascii() or "\\ud" in decoded or "\\uD" in decoded:
            json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as problem:
        raise error(f"{where}: must be JSON in UTF-8, but is not ({problem.reason}).") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: must be JSON, but is not ({problem}).") from problem
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_MAX_SHOWN]} is no finite number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)


@functools.cache
def _fields(cls: Any) -> dict[str, bool]:
    """Name of each field that is given -> whether it must be."""
    nothing = dataclasses.MISSING
    return {
        field.name: field.default is nothing and field.default_factory is nothing
        for field in dataclasses.fields(cls)
        if field.init
    }


@functools.cache
def _dataclass_reader(cls: Any) -> Reader:
    hints, names = typing.get_type_hints(cls), _fields(cls)
    readers = {name: _reader(hints[name]) for name in names}
    required = [name for name, is_required in names.items() if is_required]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _MisfitError(f"must be an object with the fields of {cls.__name__}, but is {_shown(value)}")
        if not value.keys() <= readers.keys() or any(name not in value for name in required):
            raise _MisfitError(_wrong_fields(cls, value, required))
        values, name = {}, ""
        try:
            for name, one in value.items():
                values[name] = readers[name](one)
        except _MisfitError as misfit:
            raise misfit.below(name) from misfit.__cause__
        try:
            return cls(**values)
        except UniaudioError as problem:
            raise _MisfitError(str(problem), is_own_check=True) from problem

    return read


def _wrong_fields(cls: Any, value: dict[Any, Any], required: list[str]) -> str:
    missing = [name for name in required if name not in value]
    unknown = sorted(str(name) for name in value.keys() - _fields(cls).keys())
    wrong = [f"lacks {', '.join(missing)}"] if missing else []
    wrong += [f"has {', '.join(unknown)}, which only a newer version may know"] if unknown else []
    return f"must have the fields of {cls.__name__}, but {' and '.join(wrong)}"


@functools.cache
def _reader(hint: Any) -> Reader:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if hint in _NAMES:
        return _scalar_reader(hint)
    has_fields: bool = isinstance(hint, type) and dataclasses.is_dataclass(hint)
    if has_fields:
        return _dataclass_reader(hint)
    if origin is Literal:
        return _choice_reader(inner)
    if origin in (typing.Union, types.UnionType):
        return _optional_reader(hint, inner)
    if origin is dict:
        return _dict_reader(inner[1])
    if origin in (list, tuple):
        return _list_reader(origin, inner)
    raise TypeError(f"no JSON value is a {hint!r}")


def _scalar_reader(hint: type[Any]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not hint and not (hint is float and type(value) is int):
            raise _MisfitError(f"must be {_NAMES[hint]}, but is {_shown(value)}")
        if hint is float and not _is_finite(value):
            raise _MisfitError(f"must be a finite number, but is {_shown(value)}")
        return value

    return read


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False


def _choice_reader(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise _MisfitError(f"must be {' or '.join(map(str, choices))}, but is {_shown(value)}")
        return value

    return read


def _optional_reader(hint: Any, inner: tuple[Any, ...]) -> Reader:
    kinds = [one for one in inner if one is not type(None)]
    if kinds and len(kinds) == len(inner) and all(dataclasses.is_dataclass(one) for one in kinds):
        return _which_reader(kinds)
    if len(kinds) != 1:
        raise TypeError(f"a field is of one type, with None or without, but not {hint!r}")
    reader = _reader(kinds[0])
    return lambda value: None if value is None else reader(value)


def _which_reader(kinds: list[Any]) -> Reader:
    """Reader of `X | Y` where both are dataclasses: it takes the class that knows most of the value's fields, the first of equals."""

    def read(value: Any) -> Any:
        names = value.keys() if isinstance(value, dict) else set()
        nearest = max(kinds, key=lambda kind: len(_fields(kind).keys() & names))
        return _dataclass_reader(nearest)(value)

    return read


def _dict_reader(hint: Any) -> Reader:
    reader = _reader(hint)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _MisfitError(f"must be an object, but is {_shown(value)}")
        values, name = {}, ""
        try:
            for name, one in value.items():
                values[name] = reader(one)
        except _MisfitError as misfit:
            raise misfit.below(f"[{name}]") from misfit.__cause__
        return values

    return read


def _list_reader(origin: type[Any], inner: tuple[Any, ...]) -> Reader:
    """Reader of `list[X]`, `tuple[X, ...]` and `tuple[X, Y]`."""
    is_any_length = origin is list or inner[-1] is Ellipsis
    readers = [_reader(one) for one in inner if one is not Ellipsis]
    expected = "a list" if is_any_length else f"a list of {len(readers)}"

    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not (is_any_length or len(value) == len(readers)):
            raise _MisfitError(f"must be {expected}, but is {_shown(value)}")
        values: list[Any] = []
        try:
            for reader, one in zip(readers * len(value) if is_any_length else readers, value, strict=True):
                values.append(reader(one))
        except _MisfitError as misfit:
            raise misfit.below(f"[{len(values)}]") from misfit.__cause__
        return origin(values)

    return read


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
