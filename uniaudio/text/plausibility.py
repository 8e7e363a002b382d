"""Whether a recognizer's transcript can be what was said: measures of it, and a policy that rejects it by name.

Text      "Please and to the conference pin number." three times, in 2.39 s, 11 of its 21 words of no length
Measures  repetition .67 (14 words), 51 characters a second, 8.8 words a second, 11 empty words, compression 2.35
Rejected  repetition, too_fast, empty_words

All are functions of the text, its words, the recognizer's own numbers and where somebody speaks; none listens to the
recording. What nobody measured is None and rejects nothing.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.kinds.annotated import Word

from uniaudio.text.normalization import is_spaceless, spoken_characters, spoken_words

_LEAST_REPETITION = 0.25
"""Share of the text below which a loop is a refrain."""
_FEW_WORDS = 3
_LEAST_GAP_S = 0.4
"""Shortest stretch of speech without words that counts. The detector and the recognizer differ by as much at edges."""
_EDGE_S = 0.1
"""A word begins this much later, or ends this much earlier, than the detector hears it."""
_LONGEST_WORD_S, _LONGEST_CHARACTER_S = 0.3, 0.1
"""A word of n characters takes no longer than the one and n times the other; a recognizer that leaves words out makes the
last one before them as long as all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptMeasures:
    """Measurements of a transcript; None where one was not made."""

    num_words: int
    """In scripts without spaces each character is a word."""
    is_spaceless: bool
    """Whether most of its letters are of a script without spaces, whose characters each say more and take longer."""
    repetition: float
    """Share of the text that only says again what came just before: 0 without a loop, 2/3 where all is said three times."""
    num_repeated_words: int
    """Words in it: two of "no, no, no", which is speech, where 20 are a recognizer's loop."""
    characters_per_s: float | None = None
    words_per_s: float | None = None
    compression_ratio: float | None = None
    """Bytes of the text over bytes after zlib, as Whisper counts it."""
    num_empty_words: int | None = None
    """Words of no length or behind the recording's end: the recognizer found no place for them."""
    no_speech_probability: float | None = None
    language_probability: float | None = None
    confidence: float | None = None
    """Mean probability of the words."""
    second_wer: float | None = None
    """Disagreement with a second recognizer, 0 to 1 (`uniaudio.metrics.wer.disagreement`)."""
    unsaid: float | None = None
    """Share of the speech at which there is no word (`unsaid_speech_s`)."""


def measure_transcript(
    text: str,
    *,
    duration_s: float | None = None,
    num_empty_words: int | None = None,
    no_speech_probability: float | None = None,
    language_probability: float | None = None,
    confidence: float | None = None,
    second_wer: float | None = None,
    unsaid: float | None = None,
) -> TranscriptMeasures:
    """Measure `text`; what a recognizer said of it, or a row holds already, is passed on."""
    words, characters = spoken_words(text), spoken_characters(text)
    num_repeated = longest_loop(words)
    timed = duration_s is not None and duration_s > 0
    return TranscriptMeasures(
        num_words=len(words),
        is_spaceless=2 * sum(map(is_spaceless, characters)) > len(characters),
        repetition=num_repeated / len(words) if words else 0.0,
        num_repeated_words=num_repeated,
        characters_per_s=len(characters) / duration_s if timed and duration_s else None,
        words_per_s=len(words) / duration_s if timed and duration_s else None,
        compression_ratio=compression_ratio(text),
        num_empty_words=num_empty_words,
        no_speech_probability=no_speech_probability,
        language_probability=language_probability,
        confidence=confidence,
        second_wer=second_wer,
        unsaid=unsaid,
    )


def longest_loop(words: list[str]) -> int:
    """How many of `words`, at most, repeat in one run what stands a fixed number of words before them.

    A run counts from a whole second copy on; the last copy may be cut short: 14 of a sentence of 7 words said three
    times, 2 of "no no no", 0 of "the cat and the dog".
    """
    ids = {word: number for number, word in enumerate(dict.fromkeys(words))}
    numbers = np.array([ids[word] for word in words], np.int64)
    longest = 0
    for lag in range(1, len(words) // 2 + 1):
        same = np.concatenate([[False], numbers[lag:] == numbers[:-lag], [False]])
        edges = np.flatnonzero(np.diff(same.astype(np.int8)))
        run = int((edges[1::2] - edges[::2]).max(initial=0))
        if run >= lag:
            longest = max(longest, run)
    return longest


def compression_ratio(text: str) -> float | None:
    """Bytes of the text over bytes after zlib; from about 2.4 on a text says the same again. None without text."""
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data)) if data else None


def count_empty_words(words: Iterable[Word], num_samples: int) -> int:
    """Words of no length, or that begin at the recording's end or behind it; before anyone clamps their times."""
    return sum(word.num_samples <= 0 or word.first_sample >= num_samples for word in words)


def unsaid_speech_s(words: Iterable[Word], is_speech_F: np.ndarray, *, frame_s: float, sample_rate: int) -> float:
    """Seconds of speech in stretches of 0.4 s and more that no word covers.

    `is_speech_F` is a bool for each `frame_s`; the words are at `sample_rate`.
    """
    is_unsaid_F = np.array(is_speech_F, bool)
    for word in words:
        longest_s = _LONGEST_WORD_S + _LONGEST_CHARACTER_S * len(spoken_characters(word.word))
        start_s = word.first_sample / sample_rate
        end_s = start_s + min(word.num_samples / sample_rate, longest_s)
        is_unsaid_F[max(math.floor((start_s - _EDGE_S) / frame_s), 0) : math.ceil((end_s + _EDGE_S) / frame_s)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_unsaid_F, [False]]).astype(np.int8)))
    lengths_s = (edges[1::2] - edges[::2]) * frame_s
    return float(lengths_s[lengths_s >= _LEAST_GAP_S].sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptPolicy:
    """From where on a transcript is rejected; None never rejects.

    Confidence, language and disagreement are set on clips with a script and what was planted among them (noise, music,
    babble, speech backwards or cut off), heard by Whisper base and tiny.en; another recognizer may need others.
    """

    max_repeated_words: int | None = 5
    """Above it `repetition`, where a quarter of the text repeats. "I don't know. I don't know." repeats three."""
    max_repeated_characters: int | None = 11
    """Above it `repetition`, in scripts without spaces."""
    max_words_per_s: float | None = 7.0
    """Above it `too_fast`; the fastest speakers reach six."""
    max_characters_per_s: float | None = 30.0
    """Above it `too_fast`, in scripts with spaces."""
    max_spaceless_characters_per_s: float | None = 14.0
    """Above it `too_fast`, in scripts without; Thai needs most characters."""
    min_words_per_s: float | None = 0.2
    """Below it `too_slow`: most of the recording is not in the text. "You" is what Whisper hears in 10 s of noise."""
    max_empty_words: float | None = 0.2
    """Share of the words above which `empty_words`. One at the end is often only badly timed."""
    max_compression_ratio: float | None = 2.4
    """Above it `compressible`; Whisper's own threshold."""
    max_no_speech_probability: float | None = 0.6
    """Above it `no_speech`; Whisper's own threshold."""
    min_language_probability: float | None = 0.15
    """Below it `language_unsure`. Short clips of good English go down to .17, speech played backwards to .005."""
    min_confidence: float | None = 0.5
    """Below it `low_confidence`."""
    min_confidence_of_few_words: float | None = 0.55
    """The same where there are three words or fewer, which say less about how sure the recognizer is."""
    max_unsaid: float | None = 0.15
    """Share of the speech above which `words_missing`. Of 49 transcripts heard right none is beyond; of the same without half
    of their words (four and more) 95 of 108 are."""
    max_second_wer: float | None = 0.75
    """Above it `recognizers_disagree`. A weak second recognizer errs in three words of four of a short clip that the
    first one hears right; of noise and music the two hear nothing alike."""

    def rejections(self, measures: TranscriptMeasures) -> list[str]:
        """Why the transcript is not to be used, by name; empty where it is plausible."""
        return [reason for reason, rejected in self._checks(measures).items() if rejected]

    def _checks(self, measures: TranscriptMeasures) -> dict[str, bool]:
        """Reason -> whether it holds."""
        spaceless = measures.is_spaceless
        most_repeated = self.max_repeated_characters if spaceless else self.max_repeated_words
        fastest = self.max_spaceless_characters_per_s if spaceless else self.max_characters_per_s
        words_per_s = None if spaceless else measures.words_per_s
        empty = None if measures.num_empty_words is None else measures.num_empty_words / max(1, measures.num_words)
        has_few_words = measures.num_words <= _FEW_WORDS
        surest = self.min_confidence_of_few_words if has_few_words else self.min_confidence
        return {
            "repetition": measures.repetition >= _LEAST_REPETITION
            and _above(measures.num_repeated_words, most_repeated),
            "too_fast": _above(measures.characters_per_s, fastest) or _above(words_per_s, self.max_words_per_s),
            "too_slow": _below(measures.words_per_s, self.min_words_per_s),
            "empty_words": _above(empty, self.max_empty_words),
            "words_missing": _above(measures.unsaid, self.max_unsaid),
            "no_speech": _above(measures.no_speech_probability, self.max_no_speech_probability),
            "language_unsure": _below(measures.language_probability, self.min_language_probability),
            "compressible": _above(measures.compression_ratio, self.max_compression_ratio),
            "recognizers_disagree": _above(measures.second_wer, self.max_second_wer),
            "low_confidence": _below(measures.confidence, surest),
        }


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _below(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value < limit
