"""What is asked for when a word of speech is to be changed.

request("insert", "green", "en", "3f…", beside="the")     -> 'Insert "green" after "the".'
"""

from uniaudio.tasks.questions import CHINESE

WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "delete": {
        "en": ('Delete the word "{word}".', 'Take out "{word}".', 'Leave "{word}" out.', 'Say it without "{word}".'),
        "zh": ("删去“{word}”这个词。", "去掉“{word}”。", "不要说“{word}”。", "把“{word}”剪掉。"),
    },
    "insert": {
        "en": ('Insert "{word}" after "{beside}".', 'Add "{word}" behind "{beside}".', 'Put "{word}" right after "{beside}".'),
        "zh": ("在“{beside}”后面加上“{word}”。", "“{beside}”之后插入“{word}”。", "紧接着“{beside}”说“{word}”。"),
    },
    "replace": {
        "en": ('Replace "{beside}" with "{word}".', 'Change "{beside}" to "{word}".', 'Say "{word}" instead of "{beside}".'),
        "zh": ("把“{beside}”换成“{word}”。", "用“{word}”代替“{beside}”。", "将“{beside}”改为“{word}”。"),
    },
}  # fmt: skip
"""Kind of edit -> language -> wordings."""


def request(kind: str, word: str, language: str, key: str, *, beside: str = "") -> str:
    """The edit in words; `key` (hex digits) decides the wording."""
    wordings = WORDINGS[kind]["zh" if language in CHINESE else "en"]
    return wordings[int(key[:12], 16) % len(wordings)].format(word=word, beside=beside)
