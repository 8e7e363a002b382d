"""Make transcripts as they are found into the words that are spoken, and say what was changed.

Text      ">> JOHN: Well, [laughter] I <i>don&#39;t</i> ((think)) so <PERIOD> %uh <unk>"
Cleaned   "Well, I don't think so. uh", changes {"speaker_label": 1, "event": 1, "markup": 2, "entity": 1, …}

What names a sound and not a word (`[NOISE]`, `{laugh}`, `*sighs*`, `♪`, `!SIL`) goes; what stands for a word nobody
wrote down (`<unk>`, `(inaudible)`) goes too, and then the text is no longer all that is spoken: `is_complete` says so.
A transcript of such marks alone is no speech: `has_words` says so.

Ordinary text stays: a bracket goes only where its words name a sound, and "I <3 you", "3 < 5 and 7 > 6", "AT&T",
"a[i]", "e.g. (really)" are text. `[sic]` goes: an editor wrote it, nobody said it. A word that ends in a hyphen stays,
since "pre- and post-war" cannot be told from a fragment; add the kind `fragment` to a policy to drop it.
"""

import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html.entities import html5

from uniaudio_schemas.errors import UsageError

from uniaudio.text.normalization import is_spaceless

_CLEAR_SOUNDS = (
    r"noises?|laugh(?:s|ter|ing)|chuckl(?:es|ing)|giggl(?:es|ing)|cough(?:s|ing)|sneez(?:es|ing)|snif(?:fs|fing|fles)"
    r"|sigh(?:s|ing)|inhal(?:es|ing)|exhal(?:es|ing)|gasp(?:s|ing)|groan(?:s|ing)|yawn(?:s|ing)|sob(?:s|bing)"
    r"|applause|cheering|music|throat"
    # The same in the subtitles of other languages.
    r"|musik|musique|música|musica|muziek|музыка|音楽|音乐|音樂|음악|applaus|applaudissements|aplausos|applausi|аплодисменты"
    r"|拍手|掌声|掌聲|박수|gelächter|lachen|rires?|risas?|risate|смех|笑|笑い|笑声|笑聲|웃음"
)
"""Words that name a sound in round brackets and between asterisks, too."""
_SOUNDS = (
    _CLEAR_SOUNDS
    + r"|laugh|chuckle|giggle|cough|sneeze|sniff|sigh|breath(?:s|es|ing|e)?|inhale|exhale|gasp|groan|yawn|sob"
    r"|scream(?:s|ing)?|applauds|clap(?:s|ping)?|cheers?|musical|hum(?:s|ming)?|whistl(?:e|es|ing)|silence|pause|beep(?:s|ing)?"
    r"|click(?:s|ing)?|static|(?:lip_?)?smack(?:s|ing)?|slam(?:s|ming)?|knock(?:s|ing)|ring(?:s|ing)|blank_?audio"
    r"|vocali[sz]ed|nonvocali[sz]ed|sil|spn|nsn|lau|eps"
)
"""Words that name a sound only in square, curly and angle brackets."""
_CLEAR_UNWRITTEN = r"inaudible|unintelligible|indistinct|indiscernible|cross_?talk"
_UNWRITTEN = _CLEAR_UNWRITTEN + r"|unk|unknown|overtalk|overlapping|foreign|speaking|oov"
_HESITATIONS = r"u+[hm]+|u+hm+|e+[rh]+m*|a+h+|o+h+|h+m+|m+h*m+|huh|äh+m*|eu+h+"
_PUNCTUATION_TAGS = {"COMMA": ",", "PERIOD": ".", "QUESTIONMARK": "?", "EXCLAMATIONPOINT": "!"}
"""Tags for punctuation, as in GigaSpeech."""
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_QUOTES = {**dict.fromkeys("‘’‚‛ʼ", "'"), **dict.fromkeys("“”„‟", '"')}
_ENDS = ",.;:!?…"
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CleaningPolicy:
    """What may be changed."""

    kinds: frozenset[str]
    """Kinds of change, a subset of `KINDS`."""

    def __post_init__(self) -> None:
        if unknown := sorted(self.kinds - set(KINDS)):
            raise UsageError(f"`kinds` must be of {', '.join(KINDS)}, but has {', '.join(unknown)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """A transcript and how it came about."""

    text: str
    original: str
    changes: dict[str, int] = field(default_factory=dict)
    """Kind -> how often; kinds that changed nothing are left out."""

    @property
    def has_words(self) -> bool:
        """False where nothing is left that could be spoken: the clip is a noise, or silence."""
        return any(character.isalnum() for character in self.text)

    @property
    def is_complete(self) -> bool:
        """False where the original said that words are spoken which it does not hold."""
        return not self.changes.get("unknown_word")


def clean_transcript(text: str, policy: CleaningPolicy) -> Cleaned:
    """Change `text` as `policy` allows, until there is nothing left to change: cleaning twice changes nothing more."""
    changes: Counter[str] = Counter()
    cleaned, before = text, None
    while cleaned != before:
        before = cleaned
        for kind, change in _CHANGES:
            if kind in policy.kinds:
                cleaned, count = change(cleaned)
                changes[kind] += count
    return Cleaned(text=cleaned, original=text, changes={kind: count for kind, count in changes.items() if count})


_Change = Callable[[str], tuple[str, int]]


def _replace(pattern: str, by: str | Callable[[re.Match[str]], str], flags: re.RegexFlag = re.IGNORECASE) -> _Change:
    """Matches become `by`; those that it leaves as they are do not count."""
    compiled = re.compile(pattern, flags)

    def change(text: str) -> tuple[str, int]:
        count = 0

        def one(match: re.Match[str]) -> str:
            nonlocal count
            new = match.expand(by) if isinstance(by, str) else by(match)
            count += new != match.group()
            return new

        return compiled.sub(one, text), count

    return change


def _remove(pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> _Change:
    """Matches go, with the spaces around them, and with a punctuation mark behind them that would then stand alone."""

    def seam(match: re.Match[str]) -> str:
        before, mark = match.string[: match.start()].rstrip(), match["mark"] or ""
        if not before or before[-1] in _ENDS:
            mark = ""
        return f"{mark} " if before and match.end() < len(match.string) else mark

    # A mark that begins a word (".5") or is of several ("...") belongs to the text.
    mark = rf"[^\S\n]*(?P<mark>[{_ENDS}])(?![\w{_ENDS}])"
    return _replace(rf"[^\S\n]*(?:{pattern})(?:{mark})?[^\S\n]*", seam, flags)


def _bracketed(words: str, clear_words: str) -> str:
    """A bracket of at most five words of which one is of `words`; round, or between asterisks, of `clear_words`."""
    word = r"[^\W\d][\w'’]*"

    def few(names: str) -> str:
        word_ahead = rf"[^\S\n]?(?=[^\W\d])(?=[^\]\)\}}>*]{{0,80}}(?<!\w)(?:{names})(?!\w))"
        return rf"{word_ahead}{word}(?:[ \xa0/-]{word}){{0,4}}[.!?]?[^\S\n]?"

    many, clear = few(words), few(clear_words)
    return rf"\[{many}\]|\{{{many}\}}|<{many}>|\({clear}\)|(?<![\w*])\*{clear}\*(?![\w*])"


def _unescape(match: re.Match[str]) -> str:
    # html.unescape alone would also take the start of an unknown name for one.
    return html.unescape(match.group()) if match[1].startswith("#") else html5.get(f"{match[1]};", match.group())


def _space(match: re.Match[str]) -> str:
    return "\n" if _LINE_BREAK.search(match.group()) else " "


def _quote(match: re.Match[str]) -> str:
    """A quotation mark of ASCII, except beside Chinese or Japanese, where the curly one is the right one."""
    text, start, end = match.string, match.start(), match.end()
    beside = text[max(0, start - 1) : start] + text[end : end + 1]
    return match.group() if any(map(is_spaceless, beside)) else _QUOTES[match.group()]


_CHANGES: tuple[tuple[str, _Change], ...] = (
    ("entity", _replace(r"&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", _unescape)),
    # Zero width, byte order, soft hyphen, direction, control. Joiners inside Persian, Hindi and emoji are spelling.
    (
        "invisible",
        _replace(
            "[\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000e-\u001b\u007f]"
            "|(?<![^\u0000-\u036f\\s])[\u200c\u200d]|[\u200c\u200d](?![^\u0000-\u036f\\s])",
            "",
        ),
    ),
    ("typography", _replace(f"[{''.join(_LIGATURES)}]", lambda match: _LIGATURES[match.group()])),
    ("typography", _replace(f"[{''.join(_QUOTES)}]", _quote)),
    ("typography", _replace(r"(?<=[^\W\d])[`´](?=[^\W\d])", "'")),
    ("whitespace", _replace(r"\s+", _space)),  # lines stay until speakers are found
    (
        "punctuation_tag",
        _replace(rf"\s*<({'|'.join(_PUNCTUATION_TAGS)})>", lambda match: _PUNCTUATION_TAGS[match[1].upper()]),
    ),
    # HTML, WebVTT (<v Ann>, <c.yellow>, <00:01.000>) and SubStation ({\an8}).
    ("markup", _replace(r"</?(?:br|p|div|li|tr)\s*/?>", " ")),
    (
        "markup",
        _replace(
            r"</?(?:b|i|u|s|em|strong|font|span|small|big|sub|sup|ruby|rt|a|c|v|lang)"
            r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"']+))*\s*/?>"
            r"|<v(?:\.\w+)* [^<>=]{1,60}>|<c(?:\.\w+)+>|<(?:\d+:)?\d\d:\d\d\.\d{3}>|\{\\[^{}]*\}",
            "",
        ),
    ),
    ("event", _replace(r"\[laughter-([\w']+)\]", r"\1")),  # Switchboard: a word said while laughing
    ("unknown_word", _remove(_bracketed(_UNWRITTEN, _CLEAR_UNWRITTEN) + r"|\(\(\s*\)\)|\[\?+\]")),
    ("event", _remove(_bracketed(_SOUNDS, _CLEAR_SOUNDS) + rf"|<other>|![A-Z]*SIL\b|(?<!\w)#(?:{_SOUNDS})#?(?!\w)")),
    ("event", _remove(r"\A\s*(?:(?:SIL|SPN|NSN|LAU|GBG)\s*)+\Z", re.NOFLAG)),  # Kaldi's, where nothing else is there
    ("editorial", _remove(r"\[sic!?\]")),
    ("uncertain", _replace(r"\(\(\s*([^\W\d][\w\s',.?!-]*?)\s*\)\)", r"\1")),
    ("music_note", _remove(r"[♩♪♫♬]+")),
    (
        "speaker_label",
        _replace(
            r"(?:^|(?<=[.!?…\"]))[^\S\n]*>>+(?:[^\S\n]*[A-Z][\w.'-]*(?: [A-Z][\w.'-]*){0,2}:(?=\s))?[^\S\n]*"
            r"|^[^\S\n]*\[?(?:[A-Z]|(?i:speaker|spk|interviewer|interviewee|host|guest|narrator)[ _-]?\d{0,3})\]?:[^\S\n]+(?=\S)",
            lambda match: " " if match.start() else "",
            re.MULTILINE,
        ),
    ),
    ("hesitation_mark", _replace(rf"(?<![\w%#&])[%#&](?=(?:{_HESITATIONS})(?!\w))", "")),
    ("hesitation_mark", _replace(rf"[\[{{<]({_HESITATIONS})[\]}}>]", r"\1")),
    ("fragment", _remove(r"(?<![\w-])[^\W\d][\w']*-(?=\s*$|\s+(?!(?:and|or|to|und|oder|bis|et|ou|y|o)\b)\S)")),
    ("whitespace", _replace(r"\s+", " ")),
    ("whitespace", _replace(r"\A\s+|\s+\Z", "")),
)
KINDS = tuple(dict.fromkeys(kind for kind, _ in _CHANGES))
"""Kinds of changes."""
POLICIES = {
    "none": CleaningPolicy(kinds=frozenset()),
    "standard": CleaningPolicy(kinds=frozenset(KINDS) - {"fragment"}),
}
"""The policies by name."""
