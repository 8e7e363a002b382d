"""Common Voice: `<locale>/{train,dev,test,validated,…}.tsv` beside `<locale>/clips/`. Nothing is quoted in its tables.

Reads    client_id	path	sentence	up_votes	down_votes	age	gender	accents	locale
         5fec…	common_voice_en_0.mp3	"Unbalanced quote, she said.	2	0			en
Row out  Label(path="en/clips/common_voice_en_0.mp3", speaker="5fec…", given_text="\\"Unbalanced quote, she said.", language="en",
               split="train", domain="speech", facts=(Fact(name="up_votes", value="2"), …))

A sentence of `invalidated.tsv` was rejected by those who listened: it is a fact, and no text of the clip.
Source: https://github.com/common-voice/cv-dataset
"""

import posixpath
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import audio_names, is_audio, stem_of
from uniaudio_pipelines.source_to_raw.formats.columns import language_code
from uniaudio_pipelines.source_to_raw.formats.delimited import rows
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import first_line

_SPLITS = ("train", "dev", "test")
_OTHERS = ("validated", "other", "invalidated")
_BESIDE = frozenset({
    "reported", "clip_durations", "validated_sentences", "unvalidated_sentences", "times", "audios", "duration", "utterances",
})  # fmt: skip
"""Tables that say nothing of a clip that is not in the others."""
_TAKEN = frozenset({"client_id", "path", "sentence", "locale"})


class CommonVoice:
    """Any number of locales."""

    name: ClassVar[str] = "common_voice"

    def claim(self, folder: Folder) -> Claim | None:
        tables, beside = [], []
        for path in folder.paths:
            stem = posixpath.basename(path).removesuffix(".tsv")
            if path.endswith(".tsv") and stem in (*_SPLITS, *_OTHERS) and self._is_one(folder, path):
                tables.append(path)
            elif path.endswith((".tsv", ".txt")) and posixpath.splitext(stem)[0] in _BESIDE:
                beside.append(path)
        if not tables:
            return None
        folders = {posixpath.dirname(path) for path in tables}
        # Splits first: what they say of a clip is what is believed.
        order = (*_SPLITS, *_OTHERS)
        files = sorted(tables, key=lambda path: (posixpath.dirname(path), order.index(posixpath.basename(path)[:-4])))
        beside = [path for path in beside if posixpath.dirname(path) in folders]
        summary = f"Common Voice: {', '.join(files[:6])}{', …' if len(files) > 6 else ''}"
        return Claim(format=self.name, label_files=(*files, *beside), summary=summary, details={"files": files})

    def _is_one(self, folder: Folder, path: str) -> bool:
        return {"client_id", "path", "sentence"} <= set(first_line(folder, path).split("\t"))

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for file in claim.details["files"]:
            columns: list[str] = []
            for row in rows(folder, file, "\t"):
                if isinstance(row, Problem):
                    yield row
                elif not columns:
                    columns = row[1]
                elif len(row[1]) > len(columns) or len(row[1]) <= columns.index("sentence"):
                    detail = f"line {row[0]}: must have {len(columns)} fields, but has {len(row[1])}"
                    yield Problem(path=file, reason="bad_line", detail=detail)
                else:
                    yield _label(folder, file, dict(zip(columns, row[1], strict=False)))


def _label(folder: Folder, file: str, values: dict[str, str]) -> Label:
    stem = posixpath.basename(file)[:-4]
    name = values["path"] if is_audio(values["path"]) else f"{values['path']}.mp3"
    sentence = values["sentence"].strip() or None
    facts = [Fact(name=column, value=value) for column, value in values.items() if column not in _TAKEN and value]
    if stem in ("other", "invalidated"):
        facts.append(Fact(name="list", value=stem))
    if stem == "invalidated" and sentence:
        facts.append(Fact(name="rejected_sentence", value=sentence))
        sentence = None
    locale = values.get("locale")
    path = folder.below(file, f"clips/{name}")
    if folder.find(path) is None:
        # Converted from MP3.
        path = audio_names(folder).beside(posixpath.dirname(path), stem_of(name)) or path
    return Label(
        path=path, speaker=values["client_id"] or None, given_text=sentence, domain="speech",
        language=language_code(locale) if locale else None, split=folder.split(stem) if stem in _SPLITS else None, facts=tuple(facts),
        said_by=posixpath.basename(file),
    )  # fmt: skip
