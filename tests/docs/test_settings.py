"""The page of settings names all of them."""

import re

from uniaudio_schemas.settings_file import NAMES, PREFIX, VARIABLE

from tests.docs.pages import ROOT


def test_the_page_of_settings_names_each_and_no_other() -> None:
    named = set(re.findall(r"^\| (`UNIAUDIO_.*?) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    listed = {variable for cell in named for variable in re.findall(r"UNIAUDIO_\w+", cell)}
    assert listed == {PREFIX + name.upper() for name in NAMES} | {VARIABLE}
