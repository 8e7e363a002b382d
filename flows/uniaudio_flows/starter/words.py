"""What a telephone prompt says whose name says it: numbers, days, months, letters and what stands for them on the line.

words_of_prompt("digits/h-20")     "twentieth"
words_of_prompt("phonetic/q_p")    "Quebec"
words_of_prompt("vm-savefolder")   None
"""

_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SPELLING = (
    "alpha", "bravo", "Charlie", "delta", "echo", "foxtrot", "golf", "hotel", "India", "Juliet", "kilo", "Lima", "Mike", "November", "Oscar",
    "papa", "Quebec", "Romeo", "sierra", "tango", "uniform", "Victor", "whiskey", "X-ray", "yankee", "Zulu",
)  # fmt: skip
_ASCII = {
    34: "quote", 36: "dollar sign", 37: "percent", 38: "ampersand", 39: "tick", 40: "open parenthesis", 41: "close parenthesis", 42: "star",
    44: "comma", 58: "colon", 59: "semicolon", 60: "less than", 62: "greater than", 63: "question mark", 91: "left bracket", 92: "backslash",
    93: "right bracket", 94: "caret", 95: "underscore", 96: "backtick", 123: "left brace", 124: "pipe", 125: "right brace", 126: "tilde",
}  # fmt: skip
_AS_WRITTEN = {"a-m": "A.M.", "p-m": "P.M.", "oclock": "o'clock", "exclaimation-point": "exclamation point"}
_FOLDERS = ("digits", "letters", "phonetic")


def words_of_prompt(name: str) -> str | None:
    """`name` is the path of a prompt without its ending; None where its name does not say what it says."""
    folder, _, stem = name.rpartition("/")
    if folder not in _FOLDERS:
        return None
    if folder == "phonetic":
        return "niner" if stem == "9_p" else _SPELLING[ord(stem[0]) - ord("a")]
    kind, _, number = stem.partition("-")
    if kind in ("day", "mon"):
        return (_DAYS if kind == "day" else _MONTHS)[int(number)]
    if kind == "h" and number:
        return _ordinal(_cardinal(number))
    if stem.startswith("ascii"):
        return _ASCII.get(int(stem.removeprefix("ascii")))
    return _AS_WRITTEN.get(stem) or _cardinal(stem)


def _cardinal(written: str) -> str:
    """English word for a number below 20 or a round one below 100; other words stay."""
    if not written.isdigit():
        return written
    number = int(written)
    return _SMALL[number] if number < len(_SMALL) else _TENS[number // 10]


def _ordinal(word: str) -> str:
    return _IRREGULAR.get(word) or (f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th")
