"""Conversations: a clip, or two clips one after the other, asked about over several turns."""

from collections.abc import Iterator, Sequence

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction

from uniaudio.tasks.conversation import NUM_TURNS, Turn, choose_turns, conversation, turns_of
from uniaudio.tasks.questions import attributes_of
from uniaudio.tasks.recipes import positions_of, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    followers,
    in_ring,
    language_of,
)
from uniaudio_pipelines.annotated_to_instructions.questions import MAX_DISTRACTORS, wrong_values

_TASK = "conversation"
_OTHER_CLIP_SHARE = 0.5
"""Share of conversations that go on to a second clip where there is one."""


def conversations(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Conversations about clips on the route `ring`, at most one a clip."""
    talk = _Talk(clips, context)
    for place, clip in enumerate(talk.ring):
        if share_of(_TASK, context.job.seed, clip.clip_id) >= context.job.conversation_share:
            continue
        row = _first_that_fits(talk, clip, place, context.job.max_sentence_positions)
        if row is None:
            yield NotBuilt(clip.clip_id, _TASK, "too_few_turns", f"fewer than {NUM_TURNS[0]} things to ask about it")
        else:
            yield Built(clip, row)


def _first_that_fits(talk: "_Talk", clip: Annotated, place: int, max_positions: int) -> Instruction | None:
    """The longest that does, else the shortest: it is too long. None where there are too few turns."""
    row = None
    for turns, talk_clips in talk.about(clip, place):
        row = conversation(turns, corpus=clip.corpus, split=clip.split)
        if positions_of(row, {one.clip_id: samples_of(one) for one in talk_clips}) <= max_positions:
            return row
    return row


class _Talk:
    """What can be asked about the clips of a unit."""

    def __init__(self, clips: Sequence[Annotated], context: Context) -> None:
        self.ring = in_ring(clips)
        self._context, self._seed = context, context.job.seed
        self._places = {clip.clip_id: place for place, clip in enumerate(self.ring)}
        self._values = {clip.clip_id: attributes_of(clip) for clip in clips}

    def about(self, clip: Annotated, place: int) -> Iterator[tuple[list[Turn], list[Annotated]]]:
        """Turns and the clips that they are about: with a second clip where one is chosen, without, and without spoken answers."""
        least, most = NUM_TURNS
        num_turns = least + int((most - least + 1) * share_of("turns", self._seed, clip.clip_id))
        own = self._turns(clip, place)
        if (other := self._other(clip, place)) is not None:
            step, second = other
            num_first = 1 + int((num_turns - 1) * share_of("first", self._seed, clip.clip_id))
            turns = choose_turns(own, num_first, self._seed)
            more = choose_turns(self._turns(second, step), num_turns - num_first, self._seed)
            if turns and more:
                yield [*turns, *more], [clip, second]
        for usable in (own, [turn for turn in own if turn.answer]):
            turns = choose_turns(usable, num_turns, self._seed)
            if len(turns) >= least:
                yield turns, [clip]

    def _other(self, clip: Annotated, place: int) -> tuple[int, Annotated] | None:
        """Place and clip that the conversation goes on to: of another recording."""
        if share_of("other clip", self._seed, clip.clip_id) >= _OTHER_CLIP_SHARE:
            return None
        others = (other for other in followers(self.ring, place) if other.raw_clip_id != clip.raw_clip_id)
        candidate = next(others, None)
        return None if candidate is None else (self._places[candidate.clip_id], candidate)

    def _turns(self, clip: Annotated, place: int) -> list[Turn]:
        values = self._values[clip.clip_id]
        near = [self._values[other.clip_id] for other in followers(self.ring, place)]
        wrong = {
            kind: wrong_values(clip, true, [one.get(kind, frozenset()) for one in near])[:MAX_DISTRACTORS]
            for kind, true in values.items()
        }
        return turns_of(
            clip,
            wrong,
            language=language_of(clip, self._context.job),
            seed=self._seed,
            may_speak=clip.domain == "speech" and self._context.refusal(clip) is None,
        )
