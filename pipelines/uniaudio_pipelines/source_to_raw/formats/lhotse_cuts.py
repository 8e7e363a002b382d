"""What one object of a lhotse manifest says: recordings, supervisions and cuts to labels.

    Recording.of({"id": "a", "sources": [{"type": "file", "channels": [0, 1], "source": "audio/a.wav"}], …}, places)
        ->  Recording(name="a", sources=(Source(path="audio/a.wav", channels=(0, 1)),), duration_s=3.2)

Audio that lies in a file is used; commands, links to the network and sound that only transforms make are refused, each with its reason.
Source: https://lhotse.readthedocs.io/en/latest/corpus.html and cuts.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.columns import language_code
from uniaudio_pipelines.source_to_raw.formats.format import GivenTime, Label
from uniaudio_pipelines.source_to_raw.formats.lines import finite
from uniaudio_pipelines.source_to_raw.formats.places import Places
from uniaudio_pipelines.source_to_raw.formats.samples import facts_of, said

_HARMLESS = frozenset({"Resample"})
"""Transforms after which every time is still one of the file."""
_SLACK_S = 0.05
"""Aligners round words to frames, also beyond the ends of what they align."""
_WHOLE_S = 1e-3
"""An utterance that ends no earlier before its recording is the recording to its end."""


class RefusedError(Exception):
    """An object that makes no label, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    path: str
    channels: tuple[int, ...]
    """Numbers that the recording gives the channels of this file, in the file's order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    name: str
    sources: tuple[Source, ...]
    duration_s: float | None
    facts: tuple[Fact, ...] = ()

    @staticmethod
    def of(value: Any, places: Places, shar_path: str | None = None) -> "Recording":
        """`shar_path`: the audio file of the cut that this recording belongs to, in a Shar folder. `RefusedError` where its sound does not
        lie in files of the corpus."""
        if (
            not isinstance(value, dict)
            or not isinstance(value.get("id"), str)
            or not isinstance(value.get("sources"), list)
        ):
            raise RefusedError("no_audio", "has no recording with an id and sources")
        for transform in value.get("transforms") or []:
            name = transform.get("name") if isinstance(transform, dict) else transform
            if name not in _HARMLESS:
                raise RefusedError("transform_refused", f"recording {value['id']} is made by {str(name)[:40]}")
        sources = tuple(_source(one, places, shar_path) for one in value["sources"])
        if not sources:
            raise RefusedError("no_audio", f"recording {value['id']} has no source")
        return Recording(
            name=value["id"], sources=sources, duration_s=finite(value.get("duration")), facts=custom_facts(value)
        )

    def places_of(self, channels: tuple[int, ...] | None) -> Iterator[tuple[str, int | None]]:
        """Path and channel of each file that holds some of `channels`; None: all of a file's."""
        for source in self.sources:
            shared = [number for number in source.channels if channels is None or number in channels]
            if len(shared) == len(source.channels):
                yield source.path, None
            else:
                yield from ((source.path, source.channels.index(number)) for number in shared)


def _source(value: Any, places: Places, shar_path: str | None) -> Source:
    kind = value.get("type") if isinstance(value, dict) else None
    channels = numbers(value.get("channels")) if isinstance(value, dict) else None
    if channels is None:
        raise RefusedError("bad_line", f"a source must have channels, but is {str(value)[:80]}")
    name = str(value.get("source"))
    shown = name[:60] + ("…" if len(name) > 60 else "")
    if kind == "command":
        raise RefusedError("pipe_refused", f"commands are never run: {shown}")
    if kind == "shar" and shar_path is not None:
        return Source(path=shar_path, channels=channels)
    if kind != "file":
        raise RefusedError("source_refused", f"sound must lie in a file, but is of type {str(kind)[:20]}: {shown}")
    path = places.find(name)
    if path is None:
        raise RefusedError("missing", f"{name[:200]} must be a file of the corpus, but is none")
    return Source(path=path, channels=channels)


def numbers(value: Any) -> tuple[int, ...] | None:
    """Channels, which are one or a list; None where they are none."""
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in listed):
        return None
    return tuple(listed)


def custom_facts(value: Mapping[str, Any]) -> tuple[Fact, ...]:
    custom = value.get("custom")
    if not isinstance(custom, dict):
        return ()
    return tuple(fact for name, inner in custom.items() for fact in facts_of(name, inner))


def labels_of(supervision: Mapping[str, Any], recording: Recording, first_s: float, **known: Any) -> Iterator[Label]:
    """The labels of one supervision, one for each file that its channels lie in; `first_s`: where its time 0 lies in the recording.
    `RefusedError` where its times or channels are none."""
    start_s, duration_s = finite(supervision.get("start")), finite(supervision.get("duration"))
    channels = numbers(supervision.get("channel", 0))
    if start_s is None or duration_s is None or duration_s <= 0 or channels is None:
        raise RefusedError("bad_line", f"must have start, duration and channel, but is {str(dict(supervision))[:120]}")
    # Rounding in toolkits puts starts a little before 0.
    start_s, end_s = max(0.0, first_s + start_s), first_s + start_s + duration_s
    places = list(recording.places_of(channels))
    if not places or end_s <= start_s:
        raise RefusedError(
            "bad_line", f"channel {channels}, {start_s} to {end_s} s is no part of recording {recording.name}"
        )
    text = said(supervision.get("text"))
    language = said(supervision.get("language"))
    gender = said(supervision.get("gender"))
    facts = ((Fact(name="gender", value=gender),) if gender else ()) + custom_facts(supervision) + recording.facts
    for path, channel in places:
        yield Label(
            path=path, start_s=round(start_s, 6), end_s=end_of(recording, end_s), channel=channel,
            utterance=said(supervision.get("id")), recording=recording.name, speaker=said(supervision.get("speaker")),
            given_text=text, language=language_code(language) if language else None, domain="speech" if text else None,
            given_words=_words(supervision, start_s, end_s), facts=facts, **known,
        )  # fmt: skip


def end_of(recording: Recording, end_s: float) -> float | None:
    """End of a stretch; None where the recording ends there."""
    is_whole = recording.duration_s is not None and end_s >= recording.duration_s - _WHOLE_S
    return None if is_whole else round(end_s, 6)


def _words(supervision: Mapping[str, Any], start_s: float, end_s: float) -> tuple[GivenTime, ...]:
    """Word times, which count from the recording's start also in cuts. Some tools shift them and some do not: where they leave the
    utterance they are not of it, and none is used."""
    alignment = supervision.get("alignment")
    listed = alignment.get("word") if isinstance(alignment, dict) else None
    words = []
    for one in listed if isinstance(listed, list) else ():
        values = [one.get(name) for name in ("symbol", "start", "duration")] if isinstance(one, dict) else one
        if not isinstance(values, list) or len(values) < 3 or not isinstance(values[0], str):
            return ()
        first_s, duration_s = finite(values[1]), finite(values[2])
        if first_s is None or duration_s is None or duration_s < 0:
            return ()
        if first_s < start_s - _SLACK_S or first_s + duration_s > end_s + _SLACK_S:
            return ()
        if values[0]:  # aligners write silence as an empty word
            words.append(GivenTime(word=values[0], start_s=first_s, duration_s=duration_s))
    return tuple(words)
