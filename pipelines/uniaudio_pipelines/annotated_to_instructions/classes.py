"""Few-shot classification: one to three clips with their class, then one to be classified as they are."""

from collections.abc import Callable, Sequence

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks import TASKS
from uniaudio.tasks.annotations import class_of, fact_of
from uniaudio.tasks.recipes import positions_of, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcomes, example, followers, in_ring


def emotions(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Examples of emotion recognition from clips on the route `ring`."""
    yield from _classified("emotion_recognition", "speech", _emotion_of, clips, context)


def sounds(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Examples of sound classification from clips on the route `ring`."""
    yield from _classified("sound_classification", "sound", class_of, clips, context)


def _emotion_of(clip: Annotated) -> str | None:
    return fact_of(clip, "emotion")


def _classified(
    task: str, domain: str, label_of: Callable[[Annotated], str | None], clips: Sequence[Annotated], context: Context
) -> Outcomes:
    job = context.job
    labels = {clip.clip_id: label_of(clip) for clip in clips if clip.domain == domain}
    ring = in_ring(clip for clip in clips if labels.get(clip.clip_id))
    least, most = TASKS[task].num_repeats
    for place, query in enumerate(ring):
        if share_of(task, job.seed, query.clip_id) >= job.class_share:
            continue
        label = labels[query.clip_id]
        clip_by_label: dict[str | None, Annotated] = {}
        for other in followers(ring, place):
            if other.raw_clip_id != query.raw_clip_id:
                clip_by_label.setdefault(labels[other.clip_id], other)
        if label not in clip_by_label:
            yield NotBuilt(
                query.clip_id, task, "no_partner", f"{task}: no other clip of {label!r} nearby in {query.split}"
            )
            continue
        num_shots = least + int((most - least + 1) * share_of("shots", job.seed, task, query.clip_id))
        others = [clip for name, clip in clip_by_label.items() if name != label]
        for count in range(min(num_shots, len(others) + 1), 0, -1):
            built = _example(task, [clip_by_label[label], *others[: count - 1]], query, labels, context)
            used = {clip.clip_id: samples_of(clip) for clip in [clip_by_label[label], *others, query]}
            if positions_of(built.instruction, used) <= job.max_sentence_positions:
                break
        yield built


def _example(
    task: str, shown: Sequence[Annotated], query: Annotated, labels: dict[str, str | None], context: Context
) -> Built:
    # The one with the answer's class stands anywhere among the others.
    in_order = sorted(shown, key=lambda clip: share_of("order", context.job.seed, query.clip_id, clip.clip_id))
    clips = {f"example_{number}": clip.clip_id for number, clip in enumerate(in_order, start=1)}
    texts = {f"example_label_{number}": str(labels[clip.clip_id]) for number, clip in enumerate(in_order, start=1)}
    return example(
        task,
        query,
        context.job,
        clips={**clips, "audio": query.clip_id},
        texts={**texts, "label": str(labels[query.clip_id])},
    )
