"""Transcripts in XML: ELAN (.eaf), EXMARaLDA (.exb), Transcriber (.trs) and timed text (.ttml, .dfxp).

Reads    <TIER TIER_ID="A" PARTICIPANT="Ann"> … <ALIGNABLE_ANNOTATION TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"> good day </…>      of ELAN
         <event start="T0" end="T1">good day </event>    of a tier of type `t` of EXMARaLDA
         <Turn speaker="spk1" startTime="0" endTime="4"><Sync time="0.5"/>good day<Sync time="2"/>…</Turn>          of Transcriber
         <p begin="00:00:00.500" end="1.5s">good<br/>day</p>                                                             of timed text
Row out  Label(path="talk.wav", start_s=0.5, end_s=1.5, given_text="good day", speaker="Ann")

Tiers that depend on others (translations, glosses, comments) are not what is said. Neither entities nor other files are read.
Sources: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf, https://exmaralda.org/en/,
https://trans.sourceforge.net, https://www.w3.org/TR/ttml1/
"""

import io
import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import clock, language_code
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite

_ENTITY = "<!ENTITY"
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
"""It names an encoding, which the text no longer is in."""
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|m|s|ms)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_MAX_DEPTH = 100
_NO_WORDS = re.compile(r"\s*\(?\(?(?:pause|pron|rire|bb|i)?\)?\)?\s*", re.IGNORECASE)
Element = ElementTree.Element
Stretch = tuple[float | None, float | None, str, str]
"""Start, end, text and speaker."""


def _reader(stretches: Callable[[Element], Iterator[Stretch]]) -> Callable[[Beside], Iterator[Label | Problem]]:
    def read(one: Beside) -> Iterator[Label | Problem]:
        root = _root(one)
        if isinstance(root, Problem):
            yield root
            return
        language, num_found = root.get(_LANGUAGE), 0
        for start_s, end_s, said, speaker in stretches(root):
            text = " ".join(said.split())
            if not text:
                continue
            num_found += 1
            if start_s is None or end_s is None or end_s <= start_s:
                detail = f"a stretch must end behind its beginning: {start_s} to {end_s}, {text[:40]}"
                yield Problem(path=one.file, reason="bad_times", detail=detail)
            else:
                yield Label(
                    path=one.path, start_s=start_s, end_s=end_s, given_text=text, speaker=speaker.strip() or None, domain="speech",
                    language=language_code(language) if language else None, said_by=one.file,
                )  # fmt: skip
        if not num_found:
            yield Problem(path=one.file, reason="no_labels", detail="must hold what is said, with times, but has none")

    return read


def _root(one: Beside) -> Element | Problem:
    if _ENTITY in one.text:
        return Problem(path=one.file, reason="refused", detail="declares entities, which are not expanded")
    depth, root = 0, None
    try:
        for event, element in ElementTree.iterparse(
            io.StringIO(_DECLARATION.sub("", one.text, count=1)), ("start", "end")
        ):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if depth > _MAX_DEPTH:
                return Problem(path=one.file, reason="refused", detail=f"elements lie in more than {_MAX_DEPTH} others")
    except (ElementTree.ParseError, ValueError) as error:
        return Problem(path=one.file, reason="not_xml", detail=str(error)[:200])
    assert isinstance(root, Element)
    return root


def _elan(root: Element) -> Iterator[Stretch]:
    """Times are milliseconds; a slot may have none, and an annotation between two such has no times."""
    slots = {one.get("TIME_SLOT_ID"): finite(one.get("TIME_VALUE")) for one in root.iter("TIME_SLOT")}
    for tier in root.iter("TIER"):
        if tier.get("PARENT_REF"):
            continue
        speaker = tier.get("PARTICIPANT") or tier.get("TIER_ID") or ""
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = slots.get(one.get("TIME_SLOT_REF1")), slots.get(one.get("TIME_SLOT_REF2"))
            times = (None if start is None else start / 1000, None if end is None else end / 1000)
            yield *times, one.findtext("ANNOTATION_VALUE") or "", speaker


def _exmaralda(root: Element) -> Iterator[Stretch]:
    """Tiers of type `t` are transcribed; those of types `d` and `a` describe and annotate."""
    times = {one.get("id"): finite(one.get("time")) for one in root.iter("tli")}
    names = {one.get("id"): one.findtext("abbreviation") or one.get("id") or "" for one in root.iter("speaker")}
    for tier in root.iter("tier"):
        if tier.get("type") == "t":
            for event in tier.iter("event"):
                text = "".join(event.itertext())
                yield (
                    times.get(event.get("start")),
                    times.get(event.get("end")),
                    text,
                    names.get(tier.get("speaker"), ""),
                )


def _transcriber(root: Element) -> Iterator[Stretch]:
    """A turn is cut where it has marks of time; what two people say at once, each behind a mark of who it is, is left out."""
    names = {one.get("id"): one.get("name") or "" for one in root.iter("Speaker")}
    for turn in root.iter("Turn"):
        speakers = (turn.get("speaker") or "").split()
        end_s = finite(turn.get("endTime"))
        starts, texts, overlaps = [finite(turn.get("startTime"))], [turn.text or ""], [False]
        for mark in turn:
            if mark.tag == "Sync":
                starts.append(finite(mark.get("time")))
                texts.append("")
                overlaps.append(False)
            overlaps[-1] = overlaps[-1] or mark.tag == "Who"
            texts[-1] += mark.tail or ""
        speaker = names.get(speakers[0], speakers[0]) if len(speakers) == 1 else ""
        for start, end, text, overlap in zip(starts, [*starts[1:], end_s], texts, overlaps, strict=True):
            if not overlap and not _NO_WORDS.fullmatch(text):
                yield start, end, text, speaker


def _timed_text(root: Element) -> Iterator[Stretch]:
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "p":
            start_s, end_s = _time(element.get("begin")), _time(element.get("end"))
            if end_s is None and start_s is not None and (duration_s := _time(element.get("dur"))) is not None:
                end_s = start_s + duration_s
            yield start_s, end_s, " ".join(element.itertext()), ""


def _time(said: str | None) -> float | None:
    match = _OFFSET.fullmatch((said or "").strip())
    return float(match[1]) * _UNITS[match[2]] if match else clock(said or "")


elan, exmaralda, transcriber, timed_text = map(_reader, (_elan, _exmaralda, _transcriber, _timed_text))
