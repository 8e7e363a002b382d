"""VCTK: a text file an utterance in `txt/<speaker>/`, audio of one or two microphones in `wav48*/<speaker>/`.

Reads    txt/p225/p225_001.txt    Please call Stella.
         speaker-info.txt         p225  23  F    English    Southern  England
Row out  Label(path="wav48_silence_trimmed/p225/p225_001_mic1.flac", speaker="p225", recording="p225_001", given_text="Please call Stella.",
               facts=(Fact(name="microphone", value="mic1"), Fact(name="age", value="23"), …))

Source: https://datashare.ed.ac.uk/handle/10283/3443
"""

import posixpath
import re
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio, stem_of
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import read_lines
from uniaudio_pipelines.source_to_raw.formats.whole_texts import read_text

_TEXT = re.compile(r"(?:^|/)txt/([^/]+)/\1_[^/]+\.txt$")
_AUDIO = re.compile(r"(?:^|/)wav[^/]*/([^/]+)/(\1_[^/]+?)(?:_(mic\d))?\.[^./]+$")
_SPEAKERS = "speaker-info.txt"
_ABOUT = re.compile(r"(?:^|/)(README|LICENSE|COPYING|NOTE|update|speaker-info|log)[^/]*$", re.IGNORECASE)
_COLUMNS = ("age", "gender", "accent")


class Vctk:
    """Speakers with their texts."""

    name: ClassVar[str] = "vctk"

    def claim(self, folder: Folder) -> Claim | None:
        texts = [path for path in folder.paths if _TEXT.search(path)]
        audio = [path for path in folder.paths if _AUDIO.search(path) and is_audio(path)] if texts else []
        if not audio:
            return None
        about = [path for path in folder.paths if _ABOUT.search(path) and not is_audio(path)]
        speakers = [path for path in about if posixpath.basename(path) == _SPEAKERS]
        summary = f"VCTK: {len(texts)} texts in txt/" + (f", {_SPEAKERS}" if speakers else "")
        details = {"audio": audio, "texts": texts, "speakers": speakers}
        return Claim(format=self.name, label_files=(*texts, *about), summary=summary, details=details)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        known: dict[str, tuple[Fact, ...]] = {}
        for file in claim.details["speakers"]:
            for line in read_lines(folder, file):
                if isinstance(line, Problem):
                    yield line
                elif len(fields := line.text.split()) > 1 and fields[0] != "ID":
                    facts = tuple(
                        Fact(name=name, value=value) for name, value in zip(_COLUMNS, fields[1:], strict=False)
                    )
                    # Older releases leave the `p` out.
                    known[fields[0]] = known[f"p{fields[0]}"] = facts
        texts = {stem_of(path): path for path in claim.details["texts"]}
        heard = set()
        for path in claim.details["audio"]:
            match = _AUDIO.search(path)
            assert match is not None
            speaker, utterance, microphone = match.groups()
            heard.add(utterance)
            given = read_text(folder, texts[utterance]) if utterance in texts else None
            if isinstance(given, Problem):
                yield given
                given = None
            facts = (Fact(name="microphone", value=microphone),) if microphone else ()
            yield Label(
                path=path, utterance=utterance, recording=utterance, speaker=speaker, given_text=given, domain="speech",
                facts=(*facts, *known.get(speaker, ())), said_by=texts.get(utterance, ""),
            )  # fmt: skip
        for utterance in sorted(set(texts) - heard):
            yield Problem(path=texts[utterance], reason="missing", detail="a text whose audio is not there")
