"""Likeness of a caption to its reference. Overlap, 0 to 1, after `text.normalize_text`: cheap, and honest only about wording. Similarity, -1 to 1,
by embeddings of sentences: also of other words for the same.

Unigram F1 counts common words whatever their order; ROUGE-L F1 (Lin 2004) the longest common subsequence. Two empty
captions agree (1.0), an empty one and a full one do not (0.0).
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from uniaudio_schemas.extras import optional_packages

from uniaudio.metrics.text import normalize_text


def unigram_f1(reference: str, hypothesis: str) -> float:
    """Harmonic mean of precision and recall over words, each counted as often as it occurs."""
    ours, theirs = normalize_text(hypothesis).split(), normalize_text(reference).split()
    return _f1(sum((Counter(ours) & Counter(theirs)).values()), len(ours), len(theirs))


def rouge_l(reference: str, hypothesis: str) -> float:
    """ROUGE-L F1: harmonic mean of precision and recall of the longest common subsequence of words."""
    ours, theirs = normalize_text(hypothesis).split(), normalize_text(reference).split()
    return _f1(_common_subsequence(ours, theirs), len(ours), len(theirs))


def caption_similarity(reference: str, hypothesis: str, embed: Callable[[str], np.ndarray]) -> float:
    """The cosine of the two embeddings; `embed`: from a text to `[D]` of unit length, such as `sentences.load_sentence_encoder` gives."""
    if not reference.strip() or not hypothesis.strip():
        return float(reference.strip() == hypothesis.strip())
    return float(embed(reference) @ embed(hypothesis))


def _f1(common: int, num_ours: int, num_theirs: int) -> float:
    if not num_ours and not num_theirs:
        return 1.0
    return 2 * common / (num_ours + num_theirs)


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    with optional_packages():
        from rapidfuzz.distance import LCSseq

    return int(LCSseq.similarity(first, second))
