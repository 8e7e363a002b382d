"""The list of annotators, in the code and in the README."""

import re
from pathlib import Path

import pytest
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_schemas.kinds.cuts import Cut

README = Path(__file__).parents[3] / "pipelines/README.md"
COLUMNS = set(Cut.__dataclass_fields__)


def test_the_readme_lists_the_annotators_in_their_order_and_says_which_are_asked() -> None:
    section = README.read_text().partition("## Annotators")[2]
    listed = re.findall(r"^\| (\w+) \| (always|by name) \|", section, re.MULTILINE)
    assert listed == [(name, "always" if name in table.DEFAULT else "by name") for name in table.ANNOTATORS]


@pytest.mark.parametrize("name", list(table.ANNOTATORS))
def test_an_annotator_reads_and_writes_columns_that_are_there(name: str) -> None:
    cls = table.ANNOTATORS[name]
    assert cls.writes and cls.writes <= COLUMNS
    assert cls.reads <= COLUMNS
    assert cls.version()


def test_what_an_annotator_reads_is_written_before_it_or_said_by_the_source() -> None:
    written = {"language", "tags", "captions", "facts", "given_text"}
    for name, cls in table.ANNOTATORS.items():
        assert cls.reads <= written | cls.writes, name
        written |= cls.writes
