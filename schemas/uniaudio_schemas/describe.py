"""Write down what the kinds are: `schemas/README.md` with one row of each, and the lock that no released version ever changes.

python -m uniaudio_schemas.describe schemas/README.md tests/golden/schema_lock.json
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds import ROWS
from uniaudio_schemas.kinds.record import SCHEMAS, schema_of
from uniaudio_schemas.testing import example_rows

TEST_KIND_PREFIX = "test_"
"""Kinds that a test registers are not released."""
_SHOWN = 3
_MAX_ELEMENTS = 12


def readme() -> str:
    lines = [
        "# Schemas",
        "",
        "Layer 0: what a row of each dataset kind is (`uniaudio_schemas/kinds/<kind>.py`), and the store that keeps immutable",
        "versions of them (`uniaudio_schemas/store/store.py`, start there). Needs numpy and pyarrow.",
        "",
        "One row of each kind follows, from `uniaudio_schemas/testing.py`; long lists are cut (`…`). This page is made by",
        "`python -m uniaudio_schemas.describe schemas/README.md tests/golden/schema_lock.json`.",
    ]
    for row_class in ROWS:
        schema = schema_of(row_class)
        doc = (sys.modules[row_class.__module__].__doc__ or "").split("\n")[0]
        row = _row_text(asdict(example_rows(schema.kind)[0]))
        lines += ["", f"## {schema.kind}, version {schema.version}", "", doc, "", "```text", row, "```"]
    return "\n".join(lines) + "\n"


def lock(known: dict[str, Any]) -> dict[str, Any]:
    """`known` with every version that is new; one that changed is a `UsageError`."""
    entries = dict(known)
    for (kind, version), schema in sorted(SCHEMAS.items()):
        if kind.startswith(TEST_KIND_PREFIX):
            continue
        name, entry = f"{kind}.v{version}", {**schema.describe(), "fingerprint": schema.fingerprint}
        if entries.setdefault(name, entry) != entry:
            raise UsageError(
                f"{name} is released and must not change: give {kind} version {version + 1} and a migration."
            )
    return entries


def lock_text(entries: dict[str, Any]) -> str:
    return json.dumps(entries, indent=1, sort_keys=True) + "\n"


def _row_text(row: dict[str, Any]) -> str:
    """One column a line; one element a line where a column holds a list of structs or codes."""
    lines = []
    for name, value in row.items():
        elements = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(elements, list) and elements and isinstance(elements[0], list | dict):
            element_lines = [f"    {_one_line(element)}" for element in elements[:_SHOWN]] + ["    …"] * (
                len(elements) > _SHOWN
            )
            lines.append(f'  "{name}": [\n' + ",\n".join(element_lines) + "\n  ]")
        else:
            lines.append(f'  "{name}": {_one_line(elements)}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _one_line(value: Any) -> str:
    if isinstance(value, list) and len(value) > _MAX_ELEMENTS:
        return json.dumps(value[:_MAX_ELEMENTS], ensure_ascii=False)[:-1] + ", …]"
    return json.dumps(value, ensure_ascii=False)


def main(arguments: list[str]) -> int:
    readme_path, lock_path = map(Path, arguments)
    readme_path.write_text(readme(), encoding="utf-8")
    earlier_entries = json.loads(lock_path.read_text()) if lock_path.exists() else {}
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock_path.write_text(lock_text(lock(earlier_entries)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
