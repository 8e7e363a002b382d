"""Answers to prompts: one engine for every task.

    generate(model, prompts, vocabulary=..., mode="audio", max_frames=375)   -> one `Generated` a prompt
    stream(model, prompt, ...)                                               -> its tokens and frames as they come

Prompts of unequal length share a batch and get the answers they would get alone. The prompt is read in one pass that
computes no head; afterwards only the head that is sampled runs. What an answer may look like is `grammar`'s business,
so no illegal frame comes out.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from uniaudio_schemas.errors import UsageError

from uniaudio.lm.answer import Answer, Generated, Piece
from uniaudio.lm.cache import ModelCache
from uniaudio.lm.grammar import plan_of
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import GridLike
from uniaudio.lm.running_batch import Query, RunningBatch
from uniaudio.lm.sampling import Sampling

if TYPE_CHECKING:
    from uniaudio.sequence.vocabulary import Vocabulary

GREEDY = Sampling()


def generate(
    model: UniAudioLM,
    prompts: Sequence[GridLike],
    *,
    vocabulary: "Vocabulary",
    mode: str | Sequence[str],
    max_frames: int = 375,
    max_text: int = 256,
    sampling: Sampling = GREEDY,
    seeds: Sequence[int] | None = None,
) -> list[Generated]:
    """The answers to `prompts`, in order.

    `mode`: `text`, `audio` (reasoning, then reconstruction), one of the two alone, or a tuple of segment kinds.
    `max_frames` caps a reconstruction segment (12.5 Hz; 375 is 30 s), and a reasoning segment at the same duration;
    `max_text` a text segment.
    """
    if not prompts:
        return []
    decoding = Decoding(model, prompts, vocabulary, plan_of(mode), (max_frames, max_text), sampling, seeds)
    for _ in decoding.run():
        pass
    return [answer.result() for answer in decoding.answers]


def stream(
    model: UniAudioLM,
    prompt: GridLike,
    *,
    vocabulary: "Vocabulary",
    mode: str | Sequence[str],
    max_frames: int = 375,
    max_text: int = 256,
    sampling: Sampling = GREEDY,
) -> Iterator[Piece]:
    """The tokens and frames of one answer as they come; `generate` collects the same."""
    decoding = Decoding(model, [prompt], vocabulary, plan_of(mode), (max_frames, max_text), sampling, None)
    return (piece for _, piece in decoding.run())


class Decoding:
    """Answers that are written together, one a prompt; `run` drives them."""

    def __init__(
        self,
        model: UniAudioLM,
        prompts: Sequence[GridLike],
        vocabulary: "Vocabulary",
        plan: tuple[str, ...],
        caps: tuple[int, int],
        sampling: Sampling,
        seeds: Sequence[int] | None,
    ) -> None:
        if seeds is not None and len(seeds) != len(prompts):
            raise UsageError(f"`seeds` must hold one seed a prompt ({len(prompts)}), but holds {len(seeds)}.")
        max_frames, max_text = caps
        self._batch = RunningBatch(model, vocabulary, num_rows=len(prompts) * (2 if sampling.is_guided else 1))
        queries = (
            Query(prompt=prompt, plan=plan, max_frames=max_frames, max_text=max_text, sampling=sampling, seed=seed)
            for prompt, seed in zip(prompts, seeds or range(sampling.seed, sampling.seed + len(prompts)), strict=True)
        )
        self._rows = [self._batch.open(query) for query in queries]

    @property
    def answers(self) -> list[Answer]:
        """The answers as far as they are written, in the order of the prompts."""
        return [row.answer for row in self._rows]

    @property
    def cache(self) -> ModelCache:
        """Keys and values of the answers that are not done."""
        return self._batch.cache

    def run(self) -> Iterator[tuple[int, Piece]]:
        """Yields (prompt index, piece) until every answer is done."""
        index = {id(row): number for number, row in enumerate(self._rows)}
        self._batch.join(self._rows)
        while self._batch.rows:
            for row, piece in self._batch.step():
                yield index[id(row)], piece
