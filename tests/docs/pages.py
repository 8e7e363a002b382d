"""The pages of `docs/` and the README, and their fenced blocks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')
SHELL = ("sh", "bash")


class Block(NamedTuple):
    page: str
    language: str
    title: str
    text: str


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for indent, language, rest, text in FENCE.findall(path.read_text(encoding="utf-8")):
        found = TITLE.search(rest)
        plain = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) if indent else text
        yield Block(str(path.relative_to(ROOT)), language, found[1] if found else "", plain)


def is_shell(block: Block) -> bool:
    """Blocks without a language are the README's commands, which are typed in order by `tests/flows/test_readme.py`."""
    return block.language in SHELL or (block.page == "README.md" and not block.language)


def commands(block: Block) -> list[str]:
    """The lines of a block of shell, continued ones in one piece, without prompts."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]
