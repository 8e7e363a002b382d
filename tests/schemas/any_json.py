"""Any JSON value, and what reading one as a dataclass may end in."""

from typing import Any

from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UniaudioError
from uniaudio_schemas.plain import from_plain

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def check(cls: type[Any], value: Any, error: type[UniaudioError] = DataError) -> None:
    try:
        made = from_plain(cls, value, "file", error=error)
    except error as problem:
        assert type(problem) is error
        assert str(problem).startswith("file: ")
    else:
        assert type(made) is cls


def changed(values: Any, data: st.DataObject) -> Any:
    """One value somewhere inside replaced, removed or added."""
    if isinstance(values, dict) and values and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(values)))
        return {**values, name: changed(values[name], data)}
    if isinstance(values, list | tuple) and values and data.draw(st.booleans()):
        return [changed(values[0], data), *values[1:]]
    return data.draw(ANY_JSON)
