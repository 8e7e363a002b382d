"""Tables beside a sound, a row a stretch of it: what Whisper writes as .tsv, and lists of utterances as .csv.

Reads    start	end	text
         500	1500	Hello you.
Row out  Label(path="talk.wav", start_s=0.5, end_s=1.5, given_text="Hello you.")
"""

from collections.abc import Iterator

from uniaudio_pipelines.source_to_raw.formats.beside import Beside, in_seconds
from uniaudio_pipelines.source_to_raw.formats.columns import label, meanings
from uniaudio_pipelines.source_to_raw.formats.delimited import DELIMITERS, rows
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import first_line

ENDS = (".csv", ".tsv")


def delimiter_of(folder: Folder, file: str) -> str | None:
    """The delimiter of a table whose columns say when it begins and what it is; None where the file is no such table."""
    header = first_line(folder, file)
    for delimiter in DELIMITERS:
        named = set(meanings(_names(header.split(delimiter)), folder, "").values())
        if (
            named & {"start_s", "start_ms"}
            and named & {"end_s", "end_ms", "duration_s", "duration_ms"}
            and named & {"given_text", "given_tags"}
        ):
            return delimiter
    return None


def timed_table(one: Beside) -> Iterator[Label | Problem]:
    delimiter = delimiter_of(one.folder, one.file) or DELIMITERS[0]
    columns: list[str] = []
    labels = []
    for row in rows(one.folder, one.file, delimiter):
        if isinstance(row, Problem):
            yield row
        elif not columns:
            columns = _names(row[1])
            meaning = meanings(columns, one.folder, "")
        else:
            # A text that stands last may hold delimiters that nobody quoted.
            last = len(columns) - 1
            values = dict(zip(columns, [*row[1][:last], delimiter.join(row[1][last:])], strict=False))
            try:
                labels.append(label(one.path, values, meaning, one.folder, one.file, None))
            except ValueError as error:
                yield Problem(path=one.file, reason="bad_line", detail=f"line {row[0]}: {error}")
    yield from in_seconds(one, labels)


def _names(fields: list[str]) -> list[str]:
    return [field.strip().strip('"') for field in fields]
