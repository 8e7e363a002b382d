"""Which clips a file makes, and what is said of each: labels of all its copies merged, none lost.

Reads    the labels of byte-equal files, in order; the first to say something is believed, and who contradicts is a problem
Row in   Copy(path="dup_a/same.wav", labels=()), Copy(path="dup_b/same.wav", labels=(Label(speaker="bob", given_text="call forwarding"),))
Row out  Wanted(first_sample=0, end_sample=None, channel=None, said={"speaker": "bob", "given_text": "call forwarding"})
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uniaudio_schemas.fingerprint import hash_json

from uniaudio_pipelines.source_to_raw.formats.format import GivenTime, Label, composed
from uniaudio_pipelines.source_to_raw.labels import label_from_json

_ONE = (
    "domain", "licence", "speaker", "given_text", "given_title", "language", "split", "split_group", "part_of", "part", "recording",
    "utterance",
)  # fmt: skip
_MANY = ("given_captions", "given_tags", "facts")
_OF_THE_CLIP = frozenset({"given_text", "utterance", "given_captions", "given_words"})
"""What is said of a whole recording and not of each of its stretches."""
_HELD_OUT_FIRST = ("test", "val", "train")
_WHOLE_SLACK_S = 0.1
"""Durations in manifests are rounded: a stretch from the beginning that ends so near to the end is the whole file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """One of byte-equal files."""

    path: str
    corpus: str
    container: str = ""
    format: str = ""
    """Format of the container."""
    size: int = 0
    labels: tuple[Label, ...] = ()
    says: dict[str, Any] = field(default_factory=dict)
    """What holds for every file of its corpus and folder: policies, licence, language, domain, split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A clip to make."""

    first_sample: int = 0
    end_sample: int | None = None
    """First sample behind the clip; None: it goes to the end."""
    channel: int | None = None
    said: dict[str, Any] = field(default_factory=dict)
    """Field of the row -> value, times in seconds from the file's start."""
    problems: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return self.first_sample == 0 and self.end_sample is None and self.channel is None

    def clip_id(self, sha256: str, num_samples: int) -> str:
        """The clips of one file share 16 digits, so that what was forgotten is found without decoding."""
        if self.is_whole:
            return sha256[:32]
        return sha256[:16] + hash_json([sha256, self.first_sample, num_samples, self.channel])[:16]

    def name(self, path: str, sample_rate: int) -> str:
        """Name of the clip in a dropped row."""
        if self.is_whole:
            return path
        end = "" if self.end_sample is None else f"{self.end_sample / sample_rate:.3f}"
        channel = "" if self.channel is None else f" channel {self.channel}"
        return f"{path}#{self.said.get('utterance') or f'{self.first_sample / sample_rate:.3f}-{end}{channel}'}"


def copies(rows: Iterable[dict[str, Any]]) -> list[Copy]:
    """The files behind rows of a listing, which are by path and rank."""
    by_path: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_path.setdefault(row["path"], []).append(row)
    return [
        Copy(
            **{name: of_file[0][name] for name in ("path", "corpus", "container", "format", "size")},
            labels=tuple(label_from_json(path, row["label"]) for row in of_file if row["label"]),
            says=json.loads(of_file[0]["corpus_says"] or "{}"),
        )
        for path, of_file in by_path.items()
    ]


def wanted(same: Sequence[Copy], sample_rate: int, channels: int, duration_s: float | None) -> list[Wanted]:
    """The clips of byte-equal files, of which the first was decoded, in order of their beginnings."""
    by_place: dict[tuple[int, int | None, int | None], list[list[dict[str, Any]]]] = {}
    wholes = []
    for copy in same:
        whole, places = _places(copy, sample_rate, channels, duration_s)
        wholes.append((copy, whole, bool(places)))
        inherited = {name: value for name, value in _defaults(copy, whole).items() if name not in _OF_THE_CLIP}
        for place, said in places.items():
            by_place.setdefault(place, []).append([*said, inherited])
    is_cut = bool(by_place)
    for copy, whole, has_stretches in wholes:
        # A recording that is cut is not a clip itself; beside its stretches a copy that nothing is said of adds nothing.
        if not has_stretches and (whole or not is_cut):
            by_place.setdefault((0, None, None), []).append([*whole, dict(copy.says)])
    clips = []
    for (first_sample, end_sample, channel), of_copies in by_place.items():
        merged, problems = _merge_copies(of_copies)
        clip = Wanted(
            first_sample=first_sample, end_sample=end_sample, channel=channel, said=merged, problems=tuple(problems)
        )
        clips += _by_channel(clip, same[0].says.get("channels", "mean"), channels)
    return sorted(clips, key=lambda clip: (clip.first_sample, clip.end_sample or 1 << 62, clip.channel or 0))


def _places(
    copy: Copy, sample_rate: int, channels: int, duration_s: float | None
) -> tuple[list[dict[str, Any]], dict[tuple[int, int | None, int | None], list[dict[str, Any]]]]:
    """What is said of the whole file, and of its stretches."""
    whole: list[dict[str, Any]] = []
    places: dict[tuple[int, int | None, int | None], list[dict[str, Any]]] = {}
    for label in copy.labels:
        end_s = label.end_s
        if (
            end_s is not None
            and duration_s is not None
            and not label.start_s
            and abs(end_s - duration_s) <= _WHOLE_SLACK_S
        ):
            end_s = None
        # The only channel of a file is all of it.
        channel = None if label.channel == 0 and channels == 1 else label.channel
        end = None if end_s is None else round(end_s * sample_rate)
        place = (round(label.start_s * sample_rate), end, channel)
        said = _said(label, ignores_split=copy.says.get("splits") == "ignore")
        if place == (0, None, None):
            whole.append(said)
        else:
            places.setdefault(place, []).append(said)
    return whole, places


def _said(label: Label, *, ignores_split: bool) -> dict[str, Any]:
    said = {name: value for name in (*_ONE, *_MANY, "given_words") if (value := getattr(label, name))}
    for name in ("domain", "licence"):
        if said.get(name) == "unknown":
            del said[name]
    if ignores_split:
        said.pop("split", None)
    return said


def _defaults(copy: Copy, whole: list[dict[str, Any]]) -> dict[str, Any]:
    """Values that hold for all stretches of a recording: what is said of the whole, else what is said of its corpus."""
    return _merge([*whole, {name: value for name, value in copy.says.items() if name in _ONE}])[0]


def _merge_copies(said: list[list[dict[str, Any]]]) -> tuple[dict[str, Any], list[str]]:
    """One label of what each copy's labels say, the last of which is a default, without contradiction to the others."""
    of_copies, problems = [], []
    for *own, default in said:
        merged, conflicts = _merge(own)
        kept = {name: value for name, value in default.items() if name in _ONE or name in _MANY}
        of_copies.append({**kept, **merged})
        problems += conflicts
    merged, conflicts = _merge(of_copies)
    return merged, list(dict.fromkeys([*problems, *conflicts]))


def _merge(labels: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    merged: dict[str, Any] = {}
    problems = []
    for name in _ONE:
        values = list(dict.fromkeys(label[name] for label in labels if label.get(name)))
        if not values:
            continue
        merged[name] = min(values, key=_HELD_OUT_FIRST.index) if name == "split" else values[0]
        if len({_comparable(value) for value in values}) > 1 and name not in ("utterance", "recording"):
            problems.append(f"conflicting_metadata: {name}: {' / '.join(value[:100] for value in values[:4])}")
    for name in _MANY:
        if every := tuple(dict.fromkeys(value for label in labels for value in label.get(name, ()))):
            merged[name] = every
    if timed := [label["given_words"] for label in labels if label.get("given_words")]:
        merged["given_words"] = timed[0]
        if len({tuple(one.word for one in words) for words in timed}) > 1:
            counts = " / ".join(f"{len(words)} words" for words in timed[:4])
            problems.append(f"conflicting_metadata: given_words: {counts}")
    return merged, problems


def _comparable(value: str) -> str:
    return " ".join(composed(value).split())


def unused_texts(same: Sequence[Copy], clips: Sequence[Wanted]) -> list[tuple[str, str]]:
    """Path and text of each copy whose text is said of a recording that is cut, where the texts of the cuts are not the same words."""
    texts = [clip.said.get("given_text", "") for clip in clips]
    used = {_comparable(" ".join(texts)), *map(_comparable, texts)}
    return [
        (copy.path, label.given_text)
        for copy in same
        for label in copy.labels
        if label.given_text and not label.start_s and label.end_s is None and label.channel is None
        and _comparable(label.given_text) not in used
    ]  # fmt: skip


def _by_channel(clip: Wanted, policy: str, channels: int) -> list[Wanted]:
    """The clip as the corpus wants its channels."""
    if clip.channel is not None or channels == 1 or policy == "mean":
        return [clip]
    if policy in ("left", "right"):
        return [replace(clip, channel=0 if policy == "left" else 1)]
    said = dict(clip.said)
    problems = clip.problems
    if text := said.pop("given_text", None):
        # Who says what is not known; one channel with the words of all would be mislabelled.
        said["original_text"] = text
        problems = (*problems, f"text_of_all_channels: {channels} channels are clips of their own")
    said.pop("given_words", None)
    return [replace(clip, channel=channel, said=said, problems=problems) for channel in range(channels)]


def words_within(
    clip: Wanted, words: Sequence[GivenTime], sample_rate: int, num_samples: int
) -> list[tuple[str, int, int]]:
    """Words of the clip with first sample and samples from the clip's start; those outside of it are left out."""
    timed_words = []
    for word in words:
        first = max(0, round(word.start_s * sample_rate) - clip.first_sample)
        end = min(num_samples, round((word.start_s + word.duration_s) * sample_rate) - clip.first_sample)
        if first < num_samples and end > 0 and first <= end:
            timed_words.append((word.word, first, end - first))
    return timed_words


def said_of_all(same: Sequence[Copy]) -> tuple[dict[str, Any], list[str]]:
    """What is said of byte-equal files as a whole, and the contradictions."""
    said = [
        [*(_said(label, ignores_split=copy.says.get("splits") == "ignore") for label in copy.labels), copy.says]
        for copy in same
    ]
    return _merge_copies(said)
