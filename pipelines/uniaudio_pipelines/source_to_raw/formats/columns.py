"""Which column of somebody's table means what, and a label out of one of its rows.

Row in   {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2.0, "text": "hello", "gender": "f", "speaker": 17}
Row out  Label(path="a.wav", start_s=1.5, end_s=3.5, given_text="hello", speaker="17", facts=(Fact(name="gender", value="f"),))

A column is known by what makers of corpora call it; the card of a corpus has the first word. What has no meaning here is kept as a fact.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.cards import DOMAINS
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label
from uniaudio_pipelines.source_to_raw.formats.lines import finite

PATHS = (
    "audiofilepath", "audiofilename", "audiofile", "audiopath", "audio", "filename", "filepath", "file", "path", "wavpath", "wavfile",
    "wavfilename", "wav", "wavs", "clip", "clippath", "audioid", "soundfile", "sound", "recordingpath", "audiourl", "fname", "key", "id",
    "uttid", "utteranceid", "ytid", "youtubeid", "audiocapid", "trackid", "uid", "segmentid",
)  # fmt: skip
"""What a column that names audio files is called; that it does is seen by its values."""
SURE_PATHS = frozenset(PATHS[: PATHS.index("file")])
"""Columns of these names hold audio files even where none of them is there."""
_NAMES: dict[str, tuple[str, ...]] = {
    "given_text": (
        "giventext", "text", "sentence", "transcript", "transcription", "normalizedtext", "normalizedtranscript",
        "normalizedtranscription", "normalizedsentence", "rawtranscription", "rawtext", "spokentext", "utterance", "words", "txt",
        "script", "orthographic", "orthography", "transcripttext", "lyrics", "texttn", "transkript", "transkription", "satz", "texte",
        "texto", "testo",
    ),
    "given_title": ("giventitle", "title", "songtitle", "tracktitle", "trackname", "songname", "canonicaltitle"),
    "given_captions": ("givencaptions", "caption", "captions", "description", "audiocaption", "textcaption"),
    "given_tags": (
        "giventags", "tags", "tag", "keywords", "label", "labels", "category", "categories", "class", "classname", "genre", "genres",
        "aspectlist", "events", "event", "eventlabel", "audiosetlabels", "positivelabels",
    ),
    "speaker": (
        "speaker", "speakerid", "speakername", "spk", "spkid", "spkname", "clientid", "readerid", "reader", "userid", "actor", "actorid",
        "singer", "singerid", "voice", "voiceid", "talker", "sprecher", "sprecherin", "locuteur", "hablante", "locutor",
    ),
    "language": ("language", "lang", "locale", "languageid", "languagecode", "langid"),
    "licence": ("licence", "license"),
    "domain": ("domain",),
    "split": ("split", "subset", "partition", "datasetsplit", "set"),
    "split_group": ("splitgroup",),
    "recording": ("recording", "recordingid", "sessionid", "session"),
    "part_of": ("partof",),
    "part": ("part", "stem"),
    "channel": ("channel", "channelid", "chan"),
    "start_s": ("starts", "start", "offset", "starttime", "begin", "begintime", "segmentstart", "startsec", "startseconds", "onset", "beginn", "anfang"),
    "start_ms": ("startms", "offsetms", "beginms", "onsetms", "starttimems"),
    "end_s": ("ends", "end", "endtime", "stop", "segmentend", "endsec", "endseconds", "ende"),
    "end_ms": ("endms", "endtimems", "stopms"),
    "duration_s": ("durations", "duration", "dur", "durationsec", "durationseconds"),
    "duration_ms": ("durationms",),
}  # fmt: skip
_CUT_ALREADY = ("slicefilename", "ytid", "youtubeid", "audiocapid")
"""Columns of files that were cut from what the times beside them are of: UrbanSound8K, AudioSet, AudioCaps."""
_OF_EVENTS = {"onset": "start_s", "offset": "end_s"}
_NOBODY = frozenset({"n/a", "na", "<na>", "nan", "none", "null", "unknown", "unk", "<unk>", "-", "?"})
"""What tables write where they do not know who speaks: no speaker, whose clips would be one person's."""
_NO_TEXT = frozenset({"nan", "NaN", "NULL", "N/A", "n/a", "<NA>", "#N/A"})
"""What libraries of tables write where there is no text; `null` in small letters is a German word."""
_NO_NAME = re.compile(r"-?\d+(?:\.0+)?|/[mtg]/\w+")
"""`3`, and AudioSet's `/m/068hy`."""
_TIMES = ("start_s", "start_ms", "end_s", "end_ms", "duration_s", "duration_ms", "channel")
_MAX_FACT = 10_000
_LIST = re.compile(r"[,;|]")
_DECIMAL_COMMA = re.compile(r"\d{1,7},\d{1,9}")
"""Half of Europe writes numbers so, and its spreadsheets do."""


def plain(name: str) -> str:
    """A column's name without case and marks: `Audio_FilePath` and `audio file path` are one."""
    return re.sub(r"[\W_]+", "", name.lower())


def is_named(name: str, field: str) -> bool:
    """Whether makers of corpora call our `field` so."""
    return plain(name) in _NAMES[field]


def meanings(columns: list[str], folder: Folder, path_column: str) -> dict[str, str]:
    """Column -> our field. A field that several columns could mean is that of the one that comes first among its names."""
    field_by_column = {column: field for field, column in folder.card.columns.items() if column in columns}
    field_by_column[path_column] = "path"
    by_name: dict[str, list[str]] = {}
    # `what.text` of an object inside is a text where no column of its own is called so.
    named = [(column, column) for column in columns] + [(one, one.rpartition(".")[2]) for one in columns if "." in one]
    for column, name in named:
        by_name.setdefault(re.sub(r"\d+$", "", plain(name)) or plain(name), []).append(column)
    for field, names in _NAMES.items():
        if field in field_by_column.values() or (
            plain(path_column) in _CUT_ALREADY and field.startswith(("start", "end"))
        ):
            continue
        for name in names:
            free = [column for column in by_name.get(name, ()) if column not in field_by_column]
            if free:
                # `caption_1` to `caption_5` are five; of `text` and `text2` the first is the text.
                for column in free if field in ("given_captions", "given_tags") else free[:1]:
                    field_by_column[column] = field
                break
    if any(plain(column) == "onset" for column in columns):
        # Event annotations call beginning and end so; NeMo's manifests call the beginning `offset`.
        field_by_column |= {column: _OF_EVENTS[plain(column)] for column in columns if plain(column) in _OF_EVENTS}
    return field_by_column


def label(
    path: str, row: Mapping[str, Any], meaning: Mapping[str, str], folder: Folder, said_by: str, split: str | None
) -> Label:
    """A label of the audio file `path`; ValueError where a time is none."""
    values: dict[str, Any] = {}
    facts, captions, tags = [], [], []
    for column, value in row.items():
        field = _field(meaning.get(column), value)
        if field == "given_captions":
            captions += as_list(value, splits=False)
        elif field == "given_tags":
            tags += as_list(value, splits=True)
        elif field is None:
            facts.append(Fact(name=column, value=text_of(value)[:_MAX_FACT]))
        elif field != "path":
            values[field] = value
    start_s, end_s, channel = _times(values)
    if end_s is None and "duration_s" in values:
        facts.append(Fact(name="duration_s", value=text_of(values["duration_s"])))
    texts: dict[str, Any] = {
        name: text_of(value).strip() or None for name, value in values.items() if name not in _TIMES
    }
    said_split = folder.split(texts.pop("split", None) or "") or split
    if language := texts.get("language"):
        texts["language"] = language_code(language)
    if domain := texts.get("domain"):
        texts["domain"] = domain.lower()
    return Label(
        path=path, start_s=start_s, end_s=end_s, channel=channel, split=said_split, said_by=said_by, facts=tuple(facts),
        given_captions=tuple(dict.fromkeys(captions)), given_tags=tuple(dict.fromkeys(tags)), **texts,
    )  # fmt: skip


def _is_nested(value: Any) -> bool:
    """Whether a value is data rather than a text or a list of texts."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value))


def _field(field: str | None, value: Any) -> str | None:
    """What a value of a column is; None: a fact; `path`: nothing to say here."""
    if value is None or value == "" or value == [] or value == {}:
        return "path"
    if field in ("given_text", "given_title") and (_is_nested(value) or text_of(value).strip() in _NO_TEXT):
        return "path"
    if field == "given_tags":
        # Numbers of classes, and what machines call them, are no names.
        tags = as_list(value, splits=True)
        return None if tags and all(map(_NO_NAME.fullmatch, tags)) else field
    said = text_of(value).strip().lower()
    is_none_of_ours = (field == "domain" and said not in DOMAINS) or (field == "speaker" and said in _NOBODY)
    return None if is_none_of_ours else field


def _times(values: dict[str, Any]) -> tuple[float, float | None, int | None]:
    start_s, end_s, duration_s = (_seconds(values, name) for name in ("start", "end", "duration"))
    # A duration without a beginning says how long the file is, in whatever unit.
    if start_s is not None and end_s is None and duration_s is not None:
        end_s = start_s + duration_s
    channel = finite(values["channel"]) if "channel" in values else None
    if "channel" in values and (channel is None or channel != int(channel) or channel < 0):
        raise ValueError(f"channel must be a whole number from 0, but is {str(values['channel'])[:40]}")
    return start_s or 0.0, end_s, None if channel is None else int(channel)


def _seconds(values: dict[str, Any], name: str) -> float | None:
    for unit, factor in (("s", 1.0), ("ms", 0.001)):
        if f"{name}_{unit}" in values:
            given = values[f"{name}_{unit}"]
            number = finite(given)
            number = clock(str(given)) if number is None else number * factor
            if number is None and _DECIMAL_COMMA.fullmatch(str(given).strip()):
                number = float(str(given).replace(",", ".")) * factor
            if number is None or number < 0:
                raise ValueError(f"{name} must be a time from 0, but is {str(given)[:40]}")
            return number
    return None


def clock(text: str) -> float | None:
    """Seconds of `1:02:03.4` and `02:03,400`."""
    parts = text.strip().replace(",", ".").split(":")
    numbers = [finite(part) for part in parts]
    if not 2 <= len(parts) <= 3 or any(number is None or number < 0 for number in numbers):
        return None
    seconds = 0.0
    for number in numbers:
        seconds = 60 * seconds + (number or 0.0)
    return seconds


def text_of(value: Any) -> str:
    """A value as text: integer speaker ids, flags and nested values too."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < 1e15 else repr(value)
    if isinstance(value, list):
        return ", ".join(text_of(one) for one in value)
    return str(value)


def as_list(value: Any, *, splits: bool) -> list[str]:
    """A list, a list written as text (`['a', 'b']`), or, for tags, parts between commas."""
    if isinstance(value, str) and value[:1] == "[" and len(value) < 100_000:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = value.strip("[]")
    texts = [text_of(one) for one in value if not _is_nested(one)] if isinstance(value, list) else [text_of(value)]
    parts = _LIST.split(texts[0]) if splits and not isinstance(value, list) else texts
    return [part.strip(" \t\"'") if splits else part.strip() for part in parts if part.strip()]


def language_code(said: str) -> str:
    """`en` of `en_US`; a name that is no code stays."""
    code = re.split(r"[-_]", said.strip())[0]
    return code.lower() if 2 <= len(code) <= 3 and code.isascii() and code.isalpha() else said.strip()
