"""Answers to prompts: one engine for every task.

    generate(model, prompts, vocabulary=..., mode="audio", max_frames=375)   -> one `Generated` a prompt
    stream(model, prompt, ...)                                               -> its tokens and frames as they come

Prompts of unequal length share a batch and get the answers they would get alone. The prompt is read in one pass that
computes no head; afterwards only the head that is sampled runs. What an answer may look like is `grammar`'s business,
so no illegal frame comes out.

Shapes: B rows, N rows that sample now, D width, V ids.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError

from uniaudio.lm.answer import Answer, Generated, Piece
from uniaudio.lm.config import TEXT_COLUMN, LMConfig
from uniaudio.lm.frame_sampler import FrameSampler
from uniaudio.lm.grammar import TEXT, grammar_of, plan_of
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import GridLike, batch, blank, from_positions, read_prompt
from uniaudio.lm.repetition import penalize, recent_ids, repeating_ids
from uniaudio.lm.sampling import Sampling, Uniforms, guide, sample
from uniaudio.products import EveryLinear

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
    """A batch of answers being written; `run` drives it."""

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
        check_vocabulary(model.config, vocabulary)
        max_frames, max_text = caps
        if max_frames < 1 or max_text < 1:
            raise UsageError(f"`max_frames` and `max_text` must be 1 or more, but are {max_frames} and {max_text}.")
        if seeds is not None and len(seeds) != len(prompts):
            raise UsageError(f"`seeds` must hold one seed a prompt ({len(prompts)}), but holds {len(seeds)}.")
        self.model, self.sampling = model, sampling
        self.grammar = grammar_of(vocabulary)
        plan = self.grammar.plan(plan)
        self.prompts = [read_prompt(prompt, model.config) for prompt in prompts]
        self.answers = [Answer(self.grammar, plan, max_frames=max_frames, max_text=max_text) for _ in prompts]
        self.uniforms = [Uniforms(seed) for seed in seeds or range(sampling.seed, sampling.seed + len(prompts))]
        self.needs_experts = plan != (TEXT,)
        self.text_mask = self.grammar.text_mask(model.device, model.config.text_size)
        # Answers still being written; row i of the cache is rows[i], with guidance row len(rows) + i its blanked twin.
        self.rows = list(range(len(prompts)))
        self.lengths: list[int] = []

    @cached_property
    def frame_sampler(self) -> FrameSampler:
        """Made where audio is written: it lays out the weights of the local decoder."""
        return FrameSampler(self.model, self.grammar, self.sampling, len(self.prompts))

    @torch.no_grad()
    def run(self) -> Iterator[tuple[int, Piece]]:
        """Yields (prompt index, piece) until every answer is done."""
        with EveryLinear():
            hidden_BD = self._prefill()
        while self.rows:
            yield from self._sample(hidden_BD)
            self._drop_finished()
            if self.rows:
                hidden_BD = self._feed()

    def _prefill(self) -> Tensor:
        forced = []
        for answer in self.answers:
            forced.append(from_positions(answer.queue))
            answer.queue.clear()
        given = [prompt + begin for prompt, begin in zip(self.prompts, forced, strict=True)]
        if not all(len(prompt) for prompt in given):
            raise UsageError("A prompt for text must hold one position or more, but is empty.")
        self.lengths = [len(prompt) for prompt in given]
        if self.sampling.is_guided:
            given += [blank(prompt, self.grammar) + begin for prompt, begin in zip(self.prompts, forced, strict=True)]
        inputs = batch(given, self.model.device)
        num_slots = max(
            length + answer.max_positions for length, answer in zip(self.lengths, self.answers, strict=True)
        )
        self.cache = self.model.allocate_cache(len(given), num_slots, with_experts=self.needs_experts)
        self.cache.step_with(self.model.trunk_steps(self.cache.stacks, len(given)))
        hidden_BSD = self.model(inputs.ids_BS9, inputs.is_audio_BS, inputs.is_text_BS, cache=self.cache)
        last_B = torch.tensor(inputs.lengths, device=self.model.device) - 1
        hidden_BD = hidden_BSD[torch.arange(len(given), device=self.model.device), last_B]
        if not hidden_BD.isfinite().all():
            raise DataError(
                f"The model must give numbers, but overflows in {hidden_BD.dtype}: load it in another type."
            )
        return hidden_BD

    def _sample(self, hidden_BD: Tensor) -> list[tuple[int, Piece]]:
        """Samples for every row that has nothing queued; each head runs for the rows it concerns."""
        waiting = [i for i, row in enumerate(self.rows) if not self.answers[row].queue]
        text_rows = [i for i in waiting if self.answers[self.rows[i]].kind == TEXT]
        audio_rows = [i for i in waiting if self.answers[self.rows[i]].kind != TEXT]
        pieces: list[tuple[int, Piece]] = []
        for chosen, draw in ((text_rows, self._sample_text), (audio_rows, self._sample_frames)):
            if not chosen:
                continue
            twins = [len(self.rows) + i for i in chosen] if self.sampling.is_guided else []
            rows = [self.rows[i] for i in chosen]
            uniforms_NQ = torch.stack([self.uniforms[row].at(self.answers[row].num_steps) for row in rows])
            for row, ids in zip(rows, draw(hidden_BD[chosen + twins], uniforms_NQ, rows), strict=True):
                pieces += [(row, piece) for piece in self.answers[row].accept(ids)]
        return pieces

    def _sample_frames(self, hidden_ND: Tensor, uniforms_NQ: Tensor, rows: list[int]) -> list[list[int]]:
        answers = [self.answers[row] for row in rows]
        kinds, may_end = [answer.kind for answer in answers], [answer.may_end for answer in answers]
        recent_NQV = None
        if self.sampling.penalizes:
            frames = [answer.recent(self.sampling.repetition_window) for answer in answers]
            recent_NQV = recent_ids(frames, TEXT_COLUMN, self.grammar.audio_size, hidden_ND.device)
            # The end of a segment is no repetition.
            recent_NQV[:, 0, self.frame_sampler.end_K] = False
        return self.frame_sampler.sample(hidden_ND, kinds, may_end, uniforms_NQ, recent_NQV)

    def _sample_text(self, hidden_ND: Tensor, uniforms_NQ: Tensor, rows: list[int]) -> list[list[int]]:
        logits_NV = self.model.text_logits(hidden_ND)
        if self.sampling.is_guided:
            logits_NV = guide(logits_NV, self.sampling.cfg_scale)
        logits_NV = self._without_repetition(logits_NV, rows).masked_fill(~self.text_mask, -torch.inf)
        sampled = sample(logits_NV, self.sampling.of(TEXT), uniforms_NQ[:, TEXT_COLUMN].to(logits_NV.device))
        return [[text_id] for text_id in sampled.tolist()]

    def _without_repetition(self, logits_NV: Tensor, rows: list[int]) -> Tensor:
        """Text logits with recent ids weakened and repeating runs forbidden; the end is never touched."""
        sampling, end = self.sampling, self.grammar.text_end
        if sampling.penalizes:
            recent = [self.answers[row].recent(sampling.repetition_window) for row in rows]
            recent_NV = recent_ids(recent, 1, logits_NV.shape[-1], logits_NV.device)[:, 0]
            recent_NV[:, end] = False
            logits_NV = penalize(logits_NV, recent_NV, sampling.repetition_penalty)
        if sampling.no_repeat_ngram:
            logits_NV = logits_NV.clone()
            for index, row in enumerate(rows):
                ids = [position[0] for position in self.answers[row].recent(self.answers[row].caps[TEXT])]
                forbidden = sorted(repeating_ids(ids, sampling.no_repeat_ngram) - {end})
                logits_NV[index, forbidden] = -torch.inf
        return logits_NV

    def _drop_finished(self) -> None:
        """Takes finished rows out of the batch and the cache."""
        kept = [i for i, row in enumerate(self.rows) if not self.answers[row].is_done]
        if len(kept) == len(self.rows):
            return
        twins = [len(self.rows) + i for i in kept] if self.sampling.is_guided else []
        self.rows = [self.rows[i] for i in kept]
        self.lengths = [self.lengths[i] for i in kept]
        if kept:
            self.cache.select(torch.tensor(kept + twins, device=self.model.device))

    def _feed(self) -> Tensor:
        """Feeds the next queued position of every row: `[B, D]`."""
        positions = [self.answers[row].queue.popleft() for row in self.rows]
        slots, self.lengths = self.lengths, [length + 1 for length in self.lengths]
        num_copies = 2 if self.sampling.is_guided else 1
        device = self.model.device
        fed = from_positions(positions * num_copies)
        ids_B19, is_audio_B1 = fed.ids_S9[:, None].to(device), fed.is_audio_S[:, None].to(device)
        at: Tensor | int = slots[0]
        if len(set(slots)) > 1:
            at = torch.tensor(slots * num_copies, device=device)[:, None]
        hidden_B1D = self.model(
            ids_B19, is_audio_B1, ~is_audio_B1, positions=at, cache=self.cache, has_audio=self.needs_experts
        )
        return hidden_B1D[:, 0]


def check_vocabulary(config: LMConfig, vocabulary: "Vocabulary") -> None:
    """Stops when the model was built for another vocabulary: by fingerprint where it has one, by sizes where not."""
    expected = config.vocabulary_fingerprint
    if expected and expected != vocabulary.fingerprint:
        raise FingerprintError(
            f"The model's vocabulary is {expected[:12]}, but the one given is {vocabulary.fingerprint[:12]}."
        )
    # Padded text embeddings have rows without an id.
    if vocabulary.text_size > config.text_size or vocabulary.audio_size != config.audio_size:
        raise FingerprintError(
            f"The model has {config.text_size} text and {config.audio_size} audio ids, but the vocabulary given "
            f"({vocabulary.fingerprint[:12]}) {vocabulary.text_size} and {vocabulary.audio_size}."
        )
