"""Words for how high and how fast somebody speaks: the limits between them, and the wordings that say each, in English and Chinese.

    pitch_word(95.0, MALE)                                "low"
    word_in("A man speaks slowly in a low voice.", RATES)  "low"

Annotators write such sentences of what was measured, and metrics read them again to see whether speech is as it was told to be.
"""

import re
from collections.abc import Sequence

LOW, MEDIUM, HIGH = "low", "medium", "high"
MALE, FEMALE = "male", "female"
Table = dict[str | None, tuple[str, ...]]
"""Word -> its wordings."""
PITCH_HZ = {MALE: (100.0, 142.0), FEMALE: (174.0, 246.0), None: (124.0, 201.0)}
"""Means of 119 and 207 Hz, three semitones (one standard deviation) below and above: Traunmüller and Eriksson 1995. The
quartiles where nobody says who speaks."""
SYLLABLES_PER_S = (3.0, 4.5)
"""The lower quartile and the 80th percentile of what is counted in the sound."""
SUBJECT: Table = {
    MALE: ("a man", "a male speaker"),
    FEMALE: ("a woman", "a female speaker"),
    None: ("somebody", "a speaker"),
}
SUBJECT_ZH: Table = {
    MALE: ("一位男性", "一个男声", "一名男子"),
    FEMALE: ("一位女性", "一个女声", "一名女子"),
    None: ("有人", "一位说话人"),
}
PITCH: Table = {
    LOW: ("in a low voice", "in a low-pitched voice", "at a low pitch"),
    MEDIUM: ("in a voice of medium pitch", "at a medium pitch", "in a mid-pitched voice"),
    HIGH: ("in a high voice", "in a high-pitched voice", "at a high pitch"),
}
PITCH_ZH: Table = {
    LOW: ("音调较低", "声音低沉"),
    MEDIUM: ("音调适中", "音高中等"),
    HIGH: ("音调较高", "声音高亮"),
}
RATE: Table = {
    LOW: ("slowly", "at a slow pace", "at a slow rate"),
    MEDIUM: ("at a normal pace", "at a moderate rate", "at a medium speed"),
    HIGH: ("fast", "quickly", "at a fast pace"),
}
RATE_ZH: Table = {
    LOW: ("语速较慢", "说得很慢"),
    MEDIUM: ("语速适中", "语速正常"),
    HIGH: ("语速较快", "说得很快"),
}
SUBJECTS, PITCHES, RATES = (SUBJECT, SUBJECT_ZH), (PITCH, PITCH_ZH), (RATE, RATE_ZH)


def band(value: float | None, limits: tuple[float, float]) -> str | None:
    """`low`, `medium` or `high`; None of nothing."""
    if value is None:
        return None
    return LOW if value < limits[0] else HIGH if value > limits[1] else MEDIUM


def word_in(text: str, tables: Sequence[Table]) -> str | None:
    """The word of which the text has a wording; None where it has that of none, or of several."""
    folded = text.casefold()
    words = {
        word for table in tables for word, wordings in table.items() if any(_says(folded, one) for one in wordings)
    }
    return words.pop() if len(words) == 1 else None


def _says(text: str, wording: str) -> bool:
    # Chinese has no spaces at which a word could end.
    return wording in text if not wording.isascii() else bool(re.search(rf"\b{re.escape(wording)}\b", text))
