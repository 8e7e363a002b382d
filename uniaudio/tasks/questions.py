"""Questions about a clip: which value an annotation has, among values that other clips have; how many sounds, and which comes first.

choice_question("language", ["Czech", "English"], "en", "3f…")    -> "Which language is spoken: Czech or English?"
"""

import re
from collections.abc import Sequence

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks.annotations import fact_of, kinds_of

CHINESE = ("zh", "yue")
_LANGUAGES = {
    "en": "English", "zh": "Mandarin", "yue": "Cantonese", "cs": "Czech", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
    "pt": "Portuguese", "nl": "Dutch", "pl": "Polish", "ru": "Russian", "uk": "Ukrainian", "ja": "Japanese", "ko": "Korean", "tr": "Turkish",
    "ar": "Arabic", "hi": "Hindi", "sv": "Swedish", "da": "Danish", "fi": "Finnish", "hu": "Hungarian", "vi": "Vietnamese", "sk": "Slovak",
}  # fmt: skip
_TEMPI = ((90.0, "slow"), (130.0, "moderate"), (float("inf"), "fast"))
"""Beats a minute below which music is called so."""
NUMBER_WORDS = {
    "en": ("zero", "one", "two", "three", "four", "five", "six"),
    "zh": ("零", "一", "两", "三", "四", "五", "六"),
}
_MAX_VALUE_CHARACTERS = 40

WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "sound": {
        "en": ("Which of these is heard: {choices}?", "What makes the sound: {choices}?", "Is this the sound of {choices}?"),
        "zh": ("听到的是哪一种：{choices}？", "这是什么声音：{choices}？", "发出声音的是{choices}？"),
    },
    "music": {
        "en": ("Which word fits this music: {choices}?", "How would you label this piece: {choices}?", "Which tag belongs to the music: {choices}?"),
        "zh": ("哪个词适合这段音乐：{choices}？", "这段音乐的标签是{choices}？", "下面哪个标签符合这首曲子：{choices}？"),
    },
    "instrument": {
        "en": ("Which instrument plays: {choices}?", "What is being played: {choices}?", "Which of these instruments do you hear: {choices}?"),
        "zh": ("演奏的是哪种乐器：{choices}？", "听到的乐器是{choices}？", "这里用的是什么乐器：{choices}？"),
    },
    "language": {
        "en": ("Which language is spoken: {choices}?", "What does the speaker speak: {choices}?", "Name the language: {choices}?"),
        "zh": ("说的是哪种语言：{choices}？", "说话人讲的是{choices}？", "请判断语种：{choices}？"),
    },
    "gender": {
        "en": ("What is the speaker's gender: {choices}?", "Whose voice is it: {choices}?", "How would you describe the voice: {choices}?"),
        "zh": ("说话人的性别是{choices}？", "这是谁的声音：{choices}？", "这个声音属于{choices}？"),
    },
    "accent": {
        "en": ("Which accent does the speaker have: {choices}?", "Where does the accent come from: {choices}?", "Name the accent: {choices}?"),
        "zh": ("说话人有哪种口音：{choices}？", "这是哪里的口音：{choices}？", "请判断口音：{choices}？"),
    },
    "emotion": {
        "en": ("How does the speaker feel: {choices}?", "Which emotion is in the voice: {choices}?", "What mood do you hear: {choices}?"),
        "zh": ("说话人的心情是{choices}？", "语气中是哪种情绪：{choices}？", "听起来是{choices}？"),
    },
    "age": {
        "en": ("How old is the speaker: {choices}?", "Which age fits the voice: {choices}?", "Guess the age of the voice: {choices}?"),
        "zh": ("说话人的年龄是{choices}？", "这个声音大约属于哪个年龄：{choices}？", "请判断年龄：{choices}？"),
    },
    "tempo": {
        "en": ("How fast is the music: {choices}?", "What is the tempo: {choices}?", "Does the piece move at a {choices} pace?"),
        "zh": ("这段音乐的速度是{choices}？", "节奏是{choices}？", "曲子的快慢如何：{choices}？"),
    },
    "key": {
        "en": ("In which key is the music: {choices}?", "What is the key: {choices}?", "Which key do you hear: {choices}?"),
        "zh": ("这段音乐是什么调：{choices}？", "调性是{choices}？", "请判断调：{choices}？"),
    },
    "voices": {
        "en": ("How many people speak: {choices}?", "How many voices do you hear: {choices}?", "Count the speakers: {choices}?"),
        "zh": ("有几个人在说话：{choices}？", "听到几个人的声音：{choices}？", "请数一数说话人：{choices}？"),
    },
    "count": {
        "en": ("How many sounds follow each other?", "Count the sounds in this recording.", "How many different sounds do you hear?"),
        "zh": ("先后出现了几种声音？", "请数一数录音里有几个声音。", "你听到几种不同的声音？"),
    },
    "first": {
        "en": ("Which comes first: {choices}?", "What do you hear earlier: {choices}?", "Which of these sounds begins: {choices}?"),
        "zh": ("哪个先出现：{choices}？", "先听到的是{choices}？", "最先响起的是{choices}？"),
    },
}  # fmt: skip
"""Kind of question -> language -> wordings."""


def attributes_of(clip: Annotated) -> dict[str, frozenset[str]]:
    """Kind of question -> the values that are true of the clip; kinds that nothing is known of are not there."""
    attributes: dict[str, list[str | None]] = {}
    if clip.domain == "speech":
        attributes = {name: [fact_of(clip, name)] for name in ("gender", "accent", "emotion", "age")}
        attributes["language"] = [_LANGUAGES.get(clip.language or "")]
        attributes["voices"] = [number_word(clip.num_voices, "en") if clip.num_voices else None]
    elif clip.domain == "sound":
        attributes["sound"] = [*kinds_of(clip)]
    elif clip.domain == "music":
        attributes = {"music": [*clip.tags], "instrument": [*clip.instruments], "key": [clip.key]}
        attributes["tempo"] = [_tempo(clip.tempo_bpm) if clip.tempo_bpm else None]
    return {kind: values for kind, some in attributes.items() if (values := _usable(kind, some))}


def choice_question(kind: str, choices: Sequence[str], language: str, key: str) -> str:
    """A question of that kind with the choices in their order; `key` (hex digits) decides the wording."""
    wordings = WORDINGS[kind]["zh" if language in CHINESE else "en"]
    return wordings[int(key[:12], 16) % len(wordings)].format(choices=_listed(choices, language))


def could_be_both(left: str, right: str) -> bool:
    """Whether two values share a word: `dog` and `small dog` may name one sound."""
    return not set(left.casefold().split()).isdisjoint(right.casefold().split())


def number_word(count: int, language: str) -> str:
    words = NUMBER_WORDS["zh" if language in CHINESE else "en"]
    return words[count] if count < len(words) else str(count)


def reasoning_of_choice(clip: Annotated, kind: str, choices: Sequence[str], answer: str, language: str) -> str | None:
    """Why the answer is the answer, from what was measured and said of the clip; None where nothing was."""
    descriptions = [text.strip() for text in (clip.caption, clip.style) if text and text.strip()]
    measurements = [piece.replace("=", " ").replace("_", " ") for piece in clip.evidence if "=" in piece]
    if not descriptions and not measurements:
        return None
    others = [choice for choice in choices if choice != answer]
    if language in CHINESE:
        reasons = "".join([*descriptions, *([f"测得：{'，'.join(measurements)}。"] if measurements else [])])
        return f"{reasons}其中与之相符的是{answer}，而不是{_listed(others, language)}。"
    reasons = " ".join([*descriptions, *([f"Measured: {', '.join(measurements)}."] if measurements else [])])
    return f"{reasons} Of the choices {answer} fits that, and {_listed(others, language)} does not."


def reasoning_of_scene(names: Sequence[str], language: str) -> str:
    """A sentence that lists the sounds in the order in which they are heard."""
    if language in CHINESE:
        return f"依次听到：{'、'.join(names)}，一共{number_word(len(names), language)}个。"
    return f"I hear {', then '.join(names)}: that makes {number_word(len(names), language)}."


def _listed(choices: Sequence[str], language: str) -> str:
    if language in CHINESE:
        return "还是".join(["、".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else "".join(choices)
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else "".join(choices)


def _tempo(bpm: float) -> str:
    return next(name for limit, name in _TEMPI if bpm < limit)


def _usable(kind: str, values: Sequence[str | None]) -> frozenset[str]:
    """Short ones, each once; names of languages and keys keep their capitals."""
    short = [value.strip() for value in values if value is not None and 0 < len(value.strip()) <= _MAX_VALUE_CHARACTERS]
    return frozenset(short if kind in ("language", "key") else [value.casefold() for value in short])


def choices_in(question: str) -> tuple[str, ...]:
    """The choices that a question of `choice_question` lists, in their order; none where it lists none."""
    for wordings in WORDINGS.values():
        for wording in (*wordings["en"], *wordings["zh"]):
            before, marked, after = wording.partition("{choices}")
            if marked and question.startswith(before) and question.endswith(after) and len(question) > len(wording) - 9:
                choices = question[len(before) : len(question) - len(after)]
                parts = [part.strip() for part in re.split(r", | or |、|还是", choices)]
                return tuple(part for part in parts if part)
    return ()
