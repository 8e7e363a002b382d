"""A batch of answers that prompts join and leave while others are written: one engine for a single answer and for a service.

    batch = RunningBatch(model, vocabulary, num_rows=8)
    row = batch.open(Query(prompt, plan_of("audio"), max_frames=375))
    batch.join([row])                       at any time; the others wait for one pass over the prompt
    for row, piece in batch.step(): …       one position of every row; rows that are done are gone
    batch.leave(row)                        given up

An answer is a function of its prompt and its query, seed included: whoever shares the batch changes nothing but rounding.

Shapes: E rows of the cache (answers, and blanked twins of those with guidance), N rows that sample now, D width, V ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError

from uniaudio.lm.answer import Answer, Piece
from uniaudio.lm.cache import ModelCache
from uniaudio.lm.config import TEXT_COLUMN, LMConfig
from uniaudio.lm.engine import DecodingEngine
from uniaudio.lm.frame_sampler import FrameSampler
from uniaudio.lm.grammar import TEXT, grammar_of
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import GridLike, Prompt, batch, blank, from_positions, read_prompt
from uniaudio.lm.repetition import recent_ids, repeating_ids
from uniaudio.lm.sampling import Sampling, Uniforms, sample
from uniaudio.lm.stepping import Steps
from uniaudio.lm.ways import Ways
from uniaudio.products import EveryLinear

if TYPE_CHECKING:
    from uniaudio.sequence.vocabulary import Vocabulary

GREEDY = Sampling()


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A prompt, what is to be written behind it, and how."""

    prompt: GridLike
    plan: tuple[str, ...]
    """Kinds of the segments of the answer (`grammar.plan_of`)."""
    max_frames: int = 375
    """Caps a reconstruction segment (12.5 Hz), and a reasoning segment at the same duration."""
    max_text: int = 256
    """Caps a text segment."""
    sampling: Sampling = GREEDY
    seed: int = 0
    """What the answer's random numbers are drawn from, instead of the seed of `sampling`."""


class Row:
    """One answer of the batch."""

    def __init__(self, query: Query, prompt: Prompt, answer: Answer) -> None:
        self.sampling, self.answer = query.sampling, answer
        self.uniforms = Uniforms(query.seed)
        self.writes_audio = answer.plan != (TEXT,) * len(answer.plan)
        self.prompt: Prompt | None = prompt
        """The prompt until it has been read, then None."""
        self.num_positions = 0
        """Positions that the model has seen."""


@dataclass(slots=True)
class _Lane:
    """One row of the cache."""

    row: Row
    is_twin: bool


class RunningBatch:
    """Answers that are being written. Weights are laid out for about `num_rows` rows at once."""

    def __init__(self, model: UniAudioLM, vocabulary: "Vocabulary", *, num_rows: int = 1) -> None:
        check_vocabulary(model.config, vocabulary)
        self.model, self.grammar = model, grammar_of(vocabulary)
        self.cache = self._nothing()
        self._num_rows = num_rows
        self._engine, self._steps = DecodingEngine(model, num_rows), dict[str, Steps]()
        self._lanes: list[_Lane] = []
        self._hidden_ED = model.text_embedding.weight.new_empty(0, model.config.width)
        self._is_behind = False
        """Whether the last ids of the rows are still to be fed."""
        self._ways: Ways | None = None

    @property
    def rows(self) -> list[Row]:
        """The answers that are not done."""
        return [lane.row for lane in self._lanes if not lane.is_twin]

    @cached_property
    def frame_sampler(self) -> FrameSampler:
        """Made where audio is written: it lays out the weights of the local decoder."""
        return FrameSampler(self.model, self.grammar, self._num_rows)

    @cached_property
    def _text_mask(self) -> Tensor:
        return self.grammar.text_mask(self.model.device, self.model.config.text_size)

    def open(self, query: Query) -> Row:
        """The row of a query, which `join` takes; UsageError where it cannot be answered."""
        if query.max_frames < 1 or query.max_text < 1:
            raise UsageError(
                f"`max_frames` and `max_text` must be 1 or more, but are {query.max_frames} and {query.max_text}."
            )
        answer = Answer(
            self.grammar, self.grammar.plan(query.plan), max_frames=query.max_frames, max_text=query.max_text
        )
        return Row(query, read_prompt(query.prompt, self.model.config), answer)

    @torch.no_grad()
    def join(self, rows: Sequence[Row]) -> None:
        """Reads the prompts of `rows` in one pass, padded to the longest; the next step writes their answers too.

        UsageError or DataError where a prompt is empty or the model overflows: none of `rows` has joined then.
        """
        if self._is_behind:
            self._feed()
        lanes, given = self._read(rows)
        first, device = len(self._lanes), self.model.device
        inputs = batch(given, device)
        try:
            self._reserve(lanes, given)
            with EveryLinear():
                hidden_BSD = self.model(
                    inputs.ids_BS9, inputs.is_audio_BS, inputs.is_text_BS, cache=self.cache.part(first, len(lanes))
                )
            last_B = torch.tensor(inputs.lengths, device=device) - 1
            hidden_BD = hidden_BSD[torch.arange(len(given), device=device), last_B]
            if not hidden_BD.isfinite().all():
                raise DataError(
                    f"The model must give numbers, but overflows in {hidden_BD.dtype}: load it in another type."
                )
        except BaseException:
            self._keep(first)
            raise
        self._hidden_ED = torch.cat([self._hidden_ED.to(hidden_BD), hidden_BD])
        self._lanes += lanes
        for lane, length in zip(lanes, inputs.lengths, strict=True):
            lane.row.num_positions, lane.row.prompt = length, None
            lane.row.answer.queue.clear()

    @torch.no_grad()
    def step(self) -> list[tuple[Row, Piece]]:
        """Feeds what was sampled and samples one id or frame of every row that has nothing left to feed."""
        if self._is_behind:
            self._feed()
        pieces = self._sample()
        for row in [row for row in self.rows if row.answer.is_done]:
            self.leave(row)
        self._is_behind = bool(self._lanes)
        return pieces

    def leave(self, row: Row) -> None:
        """Takes a row out, done or not; the last rows of the cache take its place."""
        kept = [index for index, lane in enumerate(self._lanes) if lane.row is not row]
        holes = [index for index in range(len(kept)) if self._lanes[index].row is row]
        for hole, mover in zip(holes, kept[len(kept) - len(holes) :], strict=True):
            self.cache.move(mover, hole, self._lanes[mover].row.num_positions)
            self._lanes[hole] = self._lanes[mover]
            self._hidden_ED[hole] = self._hidden_ED[mover]
        del self._lanes[len(kept) :]
        self._hidden_ED = self._hidden_ED[: len(kept)]
        self._keep(len(kept))

    def _keep(self, num_rows: int) -> None:
        """The first `num_rows` rows of the cache stay in use; without any it holds nothing."""
        if num_rows:
            self.cache.resize(num_rows)
        else:
            self.cache, self._is_behind = self._nothing(), False

    def _nothing(self) -> ModelCache:
        return ModelCache({}, 0, 0, self.model.text_embedding.weight.detach())

    def _read(self, rows: Sequence[Row]) -> tuple[list[_Lane], list[Prompt]]:
        """The rows of the cache that `rows` take, and what is read into each: its prompt and the begin of the answer."""
        lanes, given = [], []
        for is_twin in (False, True):
            for row in rows:
                assert row.prompt is not None, "a row joins once"
                if is_twin and not row.sampling.is_guided:
                    continue
                begin = from_positions(row.answer.queue)
                given.append((blank(row.prompt, self.grammar) if is_twin else row.prompt) + begin)
                lanes.append(_Lane(row, is_twin))
        if not all(len(prompt) for prompt in given):
            raise UsageError("A prompt for text must hold one position or more, but is empty.")
        return lanes, given

    def _reserve(self, lanes: Sequence[_Lane], given: Sequence[Prompt]) -> None:
        """Room for the rows that join: exactly theirs where nobody else is there."""
        num_slots = max(len(prompt) + lane.row.answer.max_positions for lane, prompt in zip(lanes, given, strict=True))
        with_experts = any(lane.row.writes_audio for lane in lanes)
        if self._lanes:
            self.cache.resize(len(self._lanes) + len(lanes), num_slots)
            self.model.extend_cache(self.cache, with_experts=with_experts)
            self.cache.clear(len(self._lanes))
        else:
            self.cache = self.model.allocate_cache(len(lanes), num_slots, with_experts=with_experts)
        self._steps |= self._engine.trunk(self.cache.stacks.keys() - self._steps.keys())

    def _feed(self) -> None:
        """Feeds the next queued position of every row."""
        rows, device = self.rows, self.model.device
        following = {id(row): row.answer.queue[0] for row in rows}
        fed = from_positions([following[id(lane.row)] for lane in self._lanes])
        slots = [lane.row.num_positions for lane in self._lanes]
        at: Tensor | int = slots[0]
        if len(set(slots)) > 1:
            at = torch.tensor(slots, device=device)[:, None]
        ids_E19, is_audio_E1 = fed.ids_S9[:, None].to(device), fed.is_audio_S[:, None].to(device)
        self.cache.num_used = max(slots)
        has_audio = any(row.writes_audio for row in rows)
        hidden_E1D = self.model(
            ids_E19, is_audio_E1, ~is_audio_E1, positions=at, cache=self.cache, has_audio=has_audio, steps=self._steps
        )
        self._hidden_ED = hidden_E1D[:, 0]
        # Afterwards, so that a step that failed can be taken again.
        for row in rows:
            row.answer.queue.popleft()
            row.num_positions += 1
        self._is_behind = False

    def _sample(self) -> list[tuple[Row, Piece]]:
        """Samples for every row that has nothing queued; each head runs for the rows it concerns."""
        waiting = [row for row in self.rows if not row.answer.queue]
        text_rows = [row for row in waiting if row.answer.kind == TEXT]
        audio_rows = [row for row in waiting if row.answer.kind != TEXT]
        pieces: list[tuple[Row, Piece]] = []
        for rows, draw in ((text_rows, self._sample_text), (audio_rows, self._sample_frames)):
            if not rows:
                continue
            uniforms_NQ = torch.stack([row.uniforms.at(row.answer.num_steps) for row in rows])
            for row, ids in zip(rows, draw(self._hidden_of(rows), uniforms_NQ, rows), strict=True):
                pieces += [(row, piece) for piece in row.answer.accept(ids)]
        return pieces

    def _hidden_of(self, rows: Sequence[Row]) -> Tensor:
        """Hidden states `[M, D]`: those of `rows`, then those of the twins of rows with guidance."""
        at = {(id(lane.row), lane.is_twin): index for index, lane in enumerate(self._lanes)}
        chosen = [at[id(row), False] for row in rows]
        chosen += [at[id(row), True] for row in rows if row.sampling.is_guided]
        return self._hidden_ED[chosen]

    def _ways_of(self, rows: Sequence[Row]) -> Ways:
        samplings = [row.sampling for row in rows]
        if self._ways is None or not self._ways.are_of(samplings):
            self._ways = Ways(samplings, self.model.device)
        return self._ways

    def _sample_frames(self, hidden_MD: Tensor, uniforms_NQ: Tensor, rows: Sequence[Row]) -> list[list[int]]:
        answers, ways = [row.answer for row in rows], self._ways_of(rows)
        recent_NQV = None
        if ways.penalizes:
            frames = [row.answer.recent(row.sampling.repetition_window) for row in rows]
            recent_NQV = recent_ids(frames, TEXT_COLUMN, self.grammar.audio_size, hidden_MD.device)
            # The end of a segment is no repetition.
            recent_NQV[:, 0, self.frame_sampler.end_K] = False
        kinds, may_end = [answer.kind for answer in answers], [answer.may_end for answer in answers]
        return self.frame_sampler.sample(hidden_MD, ways, kinds, may_end, uniforms_NQ, recent_NQV)

    def _sample_text(self, hidden_MD: Tensor, uniforms_NQ: Tensor, rows: Sequence[Row]) -> list[list[int]]:
        def choose(sampling: Sampling, logits_NV: Tensor, uniform_N: Tensor) -> Tensor:
            return sample(logits_NV, sampling.of(TEXT), uniform_N)

        ways = self._ways_of(rows)
        logits_NV = ways.guide(self.model.text_logits(hidden_MD))
        logits_NV = self._without_repetition(logits_NV, ways, rows).masked_fill(~self._text_mask, -torch.inf)
        ids_N = ways.choose(choose, logits_NV, uniforms_NQ[:, TEXT_COLUMN].to(logits_NV.device))
        return [[text_id] for text_id in ids_N.tolist()]

    def _without_repetition(self, logits_NV: Tensor, ways: Ways, rows: Sequence[Row]) -> Tensor:
        """Text logits with recent ids weakened and repeating runs forbidden; the end is never touched."""
        end = self.grammar.text_end
        if ways.penalizes:
            recent = [row.answer.recent(row.sampling.repetition_window) for row in rows]
            recent_NV = recent_ids(recent, 1, logits_NV.shape[-1], logits_NV.device)[:, 0]
            recent_NV[:, end] = False
            logits_NV = ways.penalize(logits_NV, recent_NV)
        if any(row.sampling.no_repeat_ngram for row in rows):
            logits_NV = logits_NV.clone()
            for index, row in enumerate(rows):
                ids = [position[0] for position in row.answer.recent(row.answer.caps[TEXT])]
                forbidden = sorted(repeating_ids(ids, row.sampling.no_repeat_ngram) - {end})
                logits_NV[index, forbidden] = -torch.inf
        return logits_NV


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
