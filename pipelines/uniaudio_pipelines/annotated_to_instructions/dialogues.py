"""Spoken questions: what the other voice of a recording says next, and answers that the source gives."""

from collections.abc import Sequence

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks.annotations import fact_of, voice_of, words_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Outcomes, example, grouped

_MAX_PAUSE_S = 2.0
"""Longest pause between a turn and its answer."""


def replies(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Examples from cuts on the route `recording`: a turn, then the turn of another voice that follows it."""
    for _, cuts in grouped(
        clips, lambda clip: clip.raw_clip_id if voice_of(clip) and clip.domain == "speech" else None
    ):
        in_order = sorted(cuts, key=lambda clip: (clip.first_sample, clip.clip_id))
        for question, answer in zip(in_order, in_order[1:], strict=False):
            pause = answer.first_sample - question.first_sample - question.num_samples
            if voice_of(question) == voice_of(answer) or pause > _MAX_PAUSE_S * question.sample_rate:
                continue
            if words := words_of(answer):
                clips_used = {"question": question.clip_id}
                yield example("speech_to_text", answer, context.job, clips=clips_used, texts={"answer": words})
            if context.refusal(answer) is None:
                both = {"question": question.clip_id, "answer": answer.clip_id}
                yield example("speech_to_speech", answer, context.job, clips=both)


def given_answers(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Spoken questions whose answer the source gives in text."""
    for clip in clips:
        if clip.domain == "speech" and (answer := fact_of(clip, "answer")):
            yield example(
                "speech_to_text", clip, context.job, clips={"question": clip.clip_id}, texts={"answer": answer}
            )
