"""What chance gives on the targets that held-out losses are told of: a loss of codes says little by itself.

uniform    knows which text ids and which codes there are
unigram    knows how often each text id, and each code of each stream, occurs in training examples

A unigram is counted from the first `MOST_COUNTED` training examples of a task in id order: ids are hashes, so these are a fair draw
that is the same on every rank and machine, and a corpus of any size costs the same.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from uniaudio.sequence.layout import TEXT_STREAM, lay_out
from uniaudio.sequence.segments import code_range
from uniaudio.sequence.targets import CODE_KINDS, Targets, targets_of
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.training.processes import Processes
from uniaudio.training.sequences.dataset import TRAIN_SPLIT, SequenceSet

# Shapes: N targets, Q streams, V ids

MOST_COUNTED = 4_096
"""Training examples a task behind a unigram."""
UNIFORM, UNIGRAM = "held_out_uniform/", "held_out_unigram/"
"""Begin the names of what stands beside curves of held-out losses; a task follows."""


class Chance(NamedTuple):
    """Mean loss (nats) a token; a frame counts as its codes."""

    uniform: float
    unigram: float


def trained_targets(
    sequences: SequenceSet, vocabulary: Vocabulary, task: str, numbers: slice = slice(None)
) -> Iterator[Targets]:
    """Targets of the training examples of `task` that are counted; `numbers`: of which of them, such as one rank's share."""
    examples = sequences.first((TRAIN_SPLIT,), task, MOST_COUNTED)
    for document in sequences.documents(examples, range(len(examples))[numbers]):
        yield targets_of(lay_out(document.segments()), vocabulary)


class Unigram:
    """Counts of each text id, and of each code of each stream."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        num_codes = {kind: code_range(kind, vocabulary)[1] for kind in CODE_KINDS}
        self._text_1V = np.zeros((1, vocabulary.text_size), np.int64)
        self._codes = {kind: np.zeros((TEXT_STREAM, count), np.int64) for kind, count in num_codes.items()}

    def count(self, counted: Iterable[Targets]) -> None:
        streams_Q = np.arange(TEXT_STREAM)
        for targets in counted:
            np.add.at(self._text_1V[0], targets.text_N, 1)
            for kind, codes_NQ in targets.codes.items():
                np.add.at(self._codes[kind], (streams_Q, codes_NQ), 1)

    def add_up(self, processes: Processes, device: torch.device) -> None:
        """The counts become their sums over all ranks, each of which must call it."""
        for counts in (self._text_1V, *self._codes.values()):
            counts[:] = processes.sum(torch.from_numpy(counts).to(device)).cpu().numpy()

    def losses(self, targets: Targets) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Nats of each text target `[N]`, and kind of frame -> of each code `[N, Q]`."""
        codes = {kind: _nats(self._codes[kind], codes_NQ) for kind, codes_NQ in targets.codes.items()}
        return _nats(self._text_1V, targets.text_N[:, None])[:, 0], codes

    def chance(self, rated: Iterable[Targets]) -> Chance | None:
        """Of all targets of some examples; None where there is none."""
        uniform, unigram, num_tokens = 0.0, 0.0, 0
        for targets in rated:
            text_N, codes = self.losses(targets)
            of_codes = ((losses_NQ, self._codes[kind]) for kind, losses_NQ in codes.items())
            for losses, counts_QV in ((text_N, self._text_1V), *of_codes):
                uniform += float(np.log(counts_QV.shape[1])) * losses.size
                unigram += float(losses.sum())
                num_tokens += losses.size
        return Chance(uniform / num_tokens, unigram / num_tokens) if num_tokens else None


def _nats(counts_QV: np.ndarray, ids_NQ: np.ndarray) -> np.ndarray:
    """Losses `[N, Q]` of ids under the counts. As much as there are different ids is shared out among all ids, so that none is impossible
    (method C of Witten and Bell 1991): where every id occurs, each counts once more."""
    num_ids = counts_QV.shape[1]
    num_seen_Q = np.maximum((counts_QV > 0).sum(axis=1), 1)
    counts_NQ = counts_QV[np.arange(len(counts_QV)), ids_NQ] + num_seen_Q / num_ids
    losses_NQ: np.ndarray = np.log(counts_QV.sum(axis=1) + num_seen_Q) - np.log(counts_NQ)
    return losses_NQ
