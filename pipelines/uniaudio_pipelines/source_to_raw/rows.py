"""Rows of `raw` from clips and what is said of them.

Transcripts are cleaned as the corpus wants it; where that changes one, the original stands beside it and a `cleaned_text` problem says
what was changed.
"""

import json
from collections.abc import Sequence
from typing import Any

from uniaudio_schemas.kinds.raw import Fact, GivenWord, Raw

from uniaudio_pipelines.source_to_raw.clips import Copy, said_of_all, words_within
from uniaudio_pipelines.source_to_raw.cutting import Cut

_COPIED = ("speaker", "given_title", "language", "split", "split_group", "part_of", "part")
_DESCRIBED = (
    "domain", "licence", *_COPIED, "given_text", "original_text", "given_tags", "given_captions", "recording", "facts", "also_paths",
)  # fmt: skip


def text_row(sha256: str, files: Sequence[Copy], text: str) -> Raw:
    """Row of a document; `files` are byte-equal, the first was read."""
    said, problems = said_of_all(files)
    # What is said to be spoken or heard in a text is nothing of this row.
    return Raw(**_common(sha256[:32], sha256, files, said), medium="text", domain="text", text=text, problems=problems)


def audio_row(sha256: str, files: Sequence[Copy], cut: Cut) -> Raw:
    """Row of a clip, without its place in a tar; `files` are byte-equal, the first was decoded."""
    said, wanted = cut.wanted.said, cut.wanted
    text, original, notes = _cleaned(said.get("given_text"), str(files[0].says.get("cleaning", "standard")))
    is_stretch = not wanted.is_whole
    return Raw(
        **_common(wanted.clip_id(sha256, cut.num_samples), sha256, files, said),
        medium="audio",
        domain=said.get("domain", "unknown"),
        sample_rate=cut.sample_rate,
        num_samples=cut.num_samples,
        channels=cut.channels,
        tar_size=cut.num_bytes,
        given_text=text,
        original_text=original or said.get("original_text"),
        given_captions=list(said.get("given_captions", ())),
        given_words=[
            GivenWord(word=word, first_sample=first, num_samples=count)
            for word, first, count in words_within(
                wanted, said.get("given_words", ()), cut.sample_rate, cut.num_samples
            )
        ],
        # Utterances of one file stay in one split, whether it has a name of its own or not.
        recording=said.get("recording") or (files[0].path if is_stretch else None),
        first_sample=wanted.first_sample,
        source_channel=wanted.channel,
        mono_channel=cut.mono_channel,
        gain=None if cut.gain == 1 else cut.gain,
        audio_sha256=cut.audio_sha256,
        landmarks=cut.landmarks,
        problems=[*cut.problems, *notes],
    )


def _common(clip_id: str, sha256: str, files: Sequence[Copy], said: dict[str, Any]) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "sha256": sha256,
        "corpus": files[0].corpus,
        "path": files[0].path,
        "licence": said.get("licence", "unknown"),
        "given_tags": list(said.get("given_tags", ())),
        "facts": list(_facts(said)),
        "also_paths": sorted(copy.path for copy in files[1:]),
        **{name: said.get(name) for name in _COPIED},
    }


def _facts(said: dict[str, Any]) -> Sequence[Fact]:
    facts: tuple[Fact, ...] = said.get("facts", ())
    utterance = said.get("utterance")
    return facts if utterance is None else (*facts, Fact(name="utterance", value=utterance))


def _cleaned(text: str | None, policy: str) -> tuple[str | None, str | None, list[str]]:
    """The text to use, the original where it is another, and what was changed."""
    from uniaudio.text.cleaning import POLICIES, clean_transcript

    if text is None:
        return None, None, []
    cleaned = clean_transcript(text, POLICIES[policy])
    notes = []
    if cleaned.changes:
        notes.append("cleaned_text: " + ", ".join(f"{kind} {count}" for kind, count in sorted(cleaned.changes.items())))
    if not cleaned.is_complete:
        notes.append("incomplete_text: the source says that words are spoken which it does not write")
    if not cleaned.has_words:
        notes.append("no_words_in_text: the given text names sounds only")
    return cleaned.text if cleaned.has_words else None, text if text != cleaned.text else None, notes


def described(row: Raw, cut: Cut) -> str:
    """The JSON beside a clip in its tar: what the source says of it."""
    values: dict[str, Any] = {"path": row.path, "sample_rate": row.sample_rate, "num_samples": row.num_samples}
    said = {name: getattr(row, name) for name in _DESCRIBED}
    said["facts"] = {fact.name: fact.value for fact in row.facts}
    for name in ("domain", "licence"):
        if name not in cut.wanted.said:
            del said[name]
    return json.dumps(
        {**values, **{name: value for name, value in said.items() if value}}, sort_keys=True, ensure_ascii=False
    )
