"""The normalization of text before it is compared: what counts as the same word, in any language.

Unicode NFKC, case folded, punctuation removed but for apostrophes and hyphens inside a word ("don't", "twenty-one"),
spaces collapsed. Numbers and spelling stay as they are written: a recognizer that writes "5" for "five" makes an
error here.
"""

import re
import unicodedata

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "‐": "-", "‑": "-"})
_INSIDE_WORD = re.compile(r"(?<=\w)['-](?=\w)")
_KEEP = {"'": "\ue000", "-": "\ue001"}  # private use: survive the removal of punctuation


def normalize_text(text: str) -> str:
    """`"  Don't — STOP! "` -> `"don't stop"`."""
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    text = _INSIDE_WORD.sub(lambda match: _KEEP[match.group()], text)
    kept = "".join(character if _is_spoken(character) else " " for character in text)
    for character, stand_in in _KEEP.items():
        kept = kept.replace(stand_in, character)
    return " ".join(kept.split())


def _is_spoken(character: str) -> bool:
    # L letters, M combining marks, N numbers; Co holds the two stand-ins
    return unicodedata.category(character)[0] in "LMN" or character in _KEEP.values()
