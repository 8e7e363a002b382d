import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from uniaudio_schemas import describe
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.record import SCHEMAS

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "tests/golden/schema_lock.json"
README = ROOT / "schemas/README.md"


def test_no_released_version_changed_and_every_version_is_locked() -> None:
    known = json.loads(LOCK.read_text())
    assert describe.lock(known) == known, f"run: python -m uniaudio_schemas.describe {README} {LOCK}"


def test_every_locked_version_is_still_readable() -> None:
    assert set(json.loads(LOCK.read_text())) <= {f"{kind}.v{version}" for kind, version in SCHEMAS}


def changed(arrow: pa.Schema) -> list[pa.Schema]:
    nullable = arrow.field("num_samples").with_nullable(True)
    return [
        arrow.append(pa.field("language", pa.string())),
        arrow.remove(1),
        arrow.set(1, nullable),
        arrow.set(1, nullable.with_type(pa.int32()).with_nullable(False)),
        pa.schema([arrow.field(1), arrow.field(0), *list(arrow)[2:]]),
    ]


@pytest.mark.parametrize("change", range(5), ids=["added", "removed", "nullable", "type", "order"])
def test_a_changed_column_without_a_new_version_breaks_the_lock(change: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = SCHEMAS[("tokens", 1)]
    monkeypatch.setitem(SCHEMAS, ("tokens", 1), replace(tokens, arrow=changed(tokens.arrow)[change]))
    with pytest.raises(UsageError, match=r"tokens\.v1 is released and must not change"):
        describe.lock(json.loads(LOCK.read_text()))


def test_the_readme_shows_the_example_rows_as_they_are() -> None:
    assert README.read_text() == describe.readme(), f"run: python -m uniaudio_schemas.describe {README} {LOCK}"
