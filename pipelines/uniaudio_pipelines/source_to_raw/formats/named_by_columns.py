"""Audio files whose names are made of several columns of a table, or of a video's name and a time.

Reads    Dialogue_ID,Utterance_ID,Utterance    0,1,"You must have had your hands full."    of MELD: dia0_utt1.mp4
         ---g-f_I2yQ,1,people marching,train                                               of VGGSound: ---g-f_I2yQ_000001.wav
Gives    "dia{Dialogue_ID}_utt{Utterance_ID}" and what it is in a row; the card of a corpus may give one of its own as its column `path`:
         path = "{book}_{line:04}", where `:04` fills with zeros up to four characters

Sources: https://github.com/declare-lab/MELD, https://www.robots.ox.ac.uk/~vgg/data/vggsound/
"""

import re
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.columns import text_of
from uniaudio_pipelines.source_to_raw.formats.format import Folder
from uniaudio_pipelines.source_to_raw.formats.which_columns import Finder, Rows

_TEMPLATES = ("dia{Dialogue_ID}_utt{Utterance_ID}",)
_FIELD = re.compile(r"\{([^{}:]+)(?::0(\d{1,2}))?\}")
_VIDEO = re.compile(r"[\w-]{11}")
VGGSOUND = (("column_1", "path"), ("column_3", "given_tags"), ("column_4", "split"))


def filled(template: str, values: dict[str, Any]) -> str:
    """The name that a row gives; empty where there is no template or a column of it is missing."""
    columns = [match[1] for match in _FIELD.finditer(template)]
    if not columns or any(values.get(column) in (None, "") for column in columns):
        return ""
    return _FIELD.sub(lambda match: text_of(values[match[1]]).strip().zfill(int(match[2] or 0)), template)


def template_of(finder: Finder, sample: Rows, columns: list[str], by_card: str | None) -> str:
    """The template whose names are files that are there; the card's, even where none is. Empty where none fits."""
    for template in (by_card or "", *_TEMPLATES):
        named = {match[1] for match in _FIELD.finditer(template)}
        if named and named <= set(columns):
            is_there = any(finder.find(name) for row in sample if (name := filled(template, row)))
            if is_there or template == by_card:
                return template
    return ""


def is_vggsound(folder: Folder, sample: Rows) -> bool:
    return bool(sample) and all(is_row_of_vggsound(folder, [text_of(cell) for cell in row.values()]) for row in sample)


def is_row_of_vggsound(folder: Folder, fields: list[str]) -> bool:
    """Whether fields are a video, a second, a class and a split: the class is no transcript."""
    if len(fields) != 4 or not _VIDEO.fullmatch(fields[0].strip()) or not fields[1].strip().isdecimal():
        return False
    return folder.split(fields[3]) is not None
