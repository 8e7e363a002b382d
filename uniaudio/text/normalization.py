"""What counts as the same text when two are compared, in any language, and what its words and characters are.

Text      "  Don't — STOP! "   "今天 天气 OK"
Gives     "don't stop"         "今天 天气 ok"                       `normalize_text`
          ["don't", "stop"]    ["今", "天", "天", "气", "ok"]       `spoken_words`
          "don't stop"         "今天天气ok"                         `spoken_characters`

Unicode NFKC, case folded, punctuation removed but for apostrophes and hyphens inside a word ("don't", "twenty-one"),
spaces collapsed. Numbers and spelling stay as they are written: a recognizer that writes "5" for "five" makes an
error here (`numerals` writes both alike).

Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words, so a space in them says nothing: corpora
are segmented or not as their makers liked. There a space is no character, and each character is counted as a word (a
mixed error rate where other scripts are among them). Korean has spaces.
"""

import re
import unicodedata

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "‐": "-", "‑": "-"})
_INSIDE_WORD = re.compile(r"(?<=[^\W_])['-](?=[^\W_])")

# ASCII needs none of Unicode's tables, and most text is ASCII: the same steps on bytes are six times faster.
_ASCII_FOLDED = bytes(
    0x20 if code < 0x20 else 0x27 if code == 0x60 else code + 0x20 if 0x41 <= code <= 0x5A else code
    for code in range(256)
)
_ASCII_INSIDE_WORD = re.compile(rb"(?<=[^\W_])['-](?=[^\W_])")
_ASCII_SPOKEN = bytes(
    {0: 0x27, 1: 0x2D}.get(code, code if chr(code).isascii() and chr(code).isalnum() else 0x20) for code in range(256)
)

# Unicode 15 blocks: Han with radicals, iteration marks and numerals; kana and bopomofo; Thai and Lao; Burmese; Khmer.
_SPACELESS = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
    r"\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"
)
_IS_SPACELESS = re.compile(f"[{_SPACELESS}]")
_SAYS_NOTHING = re.compile(f"(?<=[{_SPACELESS}]) +| +(?=[{_SPACELESS}])")
"""A space beside a character of such a script, also between it and another script."""
_WORD = re.compile(f"[{_SPACELESS}]|[^ {_SPACELESS}]+")


def normalize_text(text: str) -> str:
    """`"  Don't — STOP! "` -> `"don't stop"`."""
    if text.isascii():
        return _normalize_ascii(text)
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    inside = {match.start() for match in _INSIDE_WORD.finditer(text)}
    letters = (letter if place in inside or _is_spoken(letter) else " " for place, letter in enumerate(text))
    return " ".join("".join(letters).split())


def _normalize_ascii(text: str) -> str:
    folded = text.encode("ascii").translate(_ASCII_FOLDED)
    # No control character is left, so that 0 and 1 can stand in for the apostrophe and the hyphen.
    folded = _ASCII_INSIDE_WORD.sub(lambda match: b"\0" if match.group() == b"'" else b"\1", folded)
    return b" ".join(folded.translate(_ASCII_SPOKEN).split()).decode("ascii")


def spoken_words(text: str) -> list[str]:
    """Normalized words; of scripts without spaces each character, with its marks, is one."""
    words: list[str] = []
    for word in _WORD.findall(normalize_text(text)):
        if words and _is_mark(word[0]) and _IS_SPACELESS.match(words[-1]):
            words[-1] += word
        else:
            words.append(word)
    return words


def spoken_characters(text: str) -> str:
    """Normalized characters, one space between words, none beside a character of a script without spaces."""
    return _SAYS_NOTHING.sub("", normalize_text(text))


def is_spaceless(character: str) -> bool:
    """Whether the character's script puts no spaces between words."""
    return _IS_SPACELESS.match(character) is not None


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _is_spoken(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"  # letters, combining marks, numbers
