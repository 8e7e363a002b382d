"""The Python that a page shows compiles, and what it imports is there."""

import ast
import importlib

import pytest

from tests.docs.pages import PAGES, Block, blocks

BLOCKS = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "python" and "--8<--" not in block.text and not block.title
]


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{block.page}: {block.text.splitlines()[0][:50]}" for block in BLOCKS])
def test_what_a_block_imports_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
