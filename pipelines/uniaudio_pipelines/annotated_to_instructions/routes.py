"""What brings clips together. A route is one kind of company that examples need; on each a clip has at most one key, and clips of one key,
corpus and split come to one unit.

    home        every clip, with those of its own voice         one clip alone; a voice to imitate
    ring        every clip that is heard, anyone beside anyone  mixtures of speakers, solved examples, questions about several sounds
    words       speech of a known voice                         the same words by others
    recording   cuts of one recording                           what comes next
    parts       synchronous parts of one recording              stems
    subject     sounds and music with a caption, by tag         sounds of one kind
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks.annotations import letters_of, voice_of, voice_of_row, words_of_row

ROUTES = ("home", "ring", "words", "recording", "parts", "subject")
KEY_COLUMNS = (
    "clip_id", "raw_clip_id", "corpus", "domain", "split", "num_samples", "sample_rate", "first_sample", "transcript", "given_text",
    "speaker", "speaker_cluster", "rejections", "part_of", "part", "tags", "caption", "lyrics", "leaks", "duplicate_cluster",
)  # fmt: skip


def hash64(*parts: str) -> int:
    """64 bits that depend on the parts alone, on any machine; never 0, which stands for none."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest(), "big") or 1


def keys_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Route -> key of a row of `annotated`; a route that it does not take is not there."""
    voice = voice_of_row(row)
    keys = {"home": _home(voice, row["clip_id"])}
    if row["domain"] == "text" or row["num_samples"] <= 0 or row["sample_rate"] <= 0:
        return keys
    keys["ring"] = row["clip_id"]
    if row["clip_id"] != row["raw_clip_id"]:
        keys["recording"] = row["raw_clip_id"]
    if row["part_of"] and row["part"]:
        keys["parts"] = f"{row['part_of']} {row['first_sample']} {row['sample_rate']}"
    if row["domain"] == "speech":
        if voice and (letters := letters_of(words_of_row(row))):
            keys["words"] = letters
    elif row["tags"] and row["caption"]:
        keys["subject"] = f"{row['domain']} {row['tags'][0].casefold()}"
    return keys


def home_key(clip: Annotated) -> str:
    return _home(voice_of(clip), clip.clip_id)


def _home(voice: str | None, clip_id: str) -> str:
    return f"voice {voice}" if voice else f"clip {clip_id}"
