"""The walk-throughs, walked: their files and changes in a copy of the tree, then the program at their end.

A block with a title is a file; one of `diff` changes it, by lines that begin with a space (there), `-` (goes) or `+` (comes). A block of
Python titled `check` is run in the copy, and what it prints ends with the block of text titled `prints`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

PAGES = sorted((ROOT / "docs/extend").glob("*.md"))
LAYERS = {"uniaudio": ".", "schemas": "schemas", "pipelines": "pipelines", "flows": "flows"}
"""Top folder of the tree -> where its package is imported from."""


def change(text: str, diff: str) -> str:
    """`text` after a change; its old lines stand in `text` exactly once."""
    lines = [(line[:1] or " ", line[1:]) for line in diff.splitlines() if line != " …" and not line.startswith("@@")]
    before = "".join(f"{line}\n" for sign, line in lines if sign in " -")
    after = "".join(f"{line}\n" for sign, line in lines if sign in " +")
    assert text.count(before) == 1, (
        f"these lines must stand there once, but stand there {text.count(before)} times:\n{before}"
    )
    return text.replace(before, after)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_walk_through_ends_where_it_says(page: Path, tmp_path: Path) -> None:
    found = list(blocks(page))
    files = [block for block in found if "/" in block.title]
    assert files
    for layer in {block.title.partition("/")[0] for block in files} & set(LAYERS):
        shutil.copytree(ROOT / layer, tmp_path / layer, ignore=shutil.ignore_patterns("__pycache__"))
    for block in files:
        path = tmp_path / block.title
        if path.parts[len(tmp_path.parts)] not in LAYERS:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        assert path.exists() == (block.language == "diff"), (
            f"{block.title}: a file is new, a change is of one that is there"
        )
        path.write_text(change(path.read_text(), block.text) if block.language == "diff" else block.text)
    (check,) = [block.text for block in found if block.title == "check"]
    (prints,) = [block.text for block in found if block.title == "prints"]
    folders = [str(tmp_path / folder) for layer, folder in LAYERS.items() if (tmp_path / layer).exists()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(prints)


def test_a_change_that_no_longer_fits_is_noticed() -> None:
    assert change("a\nb\nc\n", " a\n-b\n+d\n") == "a\nd\nc\n"
    with pytest.raises(AssertionError, match="0 times"):
        change("a\nb\n", " x\n+y\n")
