"""Several clips heard at once: two speakers, or the parts of one recording."""

from collections.abc import Sequence
from dataclasses import replace

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.tasks import sentences
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcomes, example, followers, in_ring

_TASK = "speech_separation"


def mixtures_of_speakers(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Two speakers at once, then each of them; `clips` are of one corpus and one split, on the route `ring`."""
    job = context.job
    ring = in_ring(clip for clip in clips if clip.domain == "speech" and _voice(clip))
    for place, clip in enumerate(ring):
        if share_of("separation", job.seed, clip.clip_id) >= job.separation_share:
            continue
        partner = next((other for other in followers(ring, place) if _are_two_people(clip, other)), None)
        if partner is None:
            yield NotBuilt(clip.clip_id, _TASK, "no_partner", f"no other speaker than {_voice(clip)} in {clip.split}")
            continue
        # The longer one first: the mixture has its length, and the shorter one is put somewhere into it.
        pair = sorted((clip, partner), key=lambda one: (-samples_of(one), one.clip_id))
        snr_db = round(job.max_mix_db * (2 * share_of("mix", job.seed, clip.clip_id) - 1), 1)
        recipe = make_recipe("mix", pair, {"snr_db": snr_db, "length": "longest"}, seed=job.seed)
        yield from separation(_TASK, recipe, pair, clip, context)


def separation(
    task: str, recipe: Recipe, sources: Sequence[Annotated], anchor: Annotated, context: Context
) -> Outcomes:
    """A mixture and its sources, as an example of `task` where there are two, and as a sentence."""
    if len(sources) == 2:
        first, second = sources
        clips: dict[str, str | Recipe] = {
            "mixture": recipe,
            "first_source": first.clip_id,
            "second_source": second.clip_id,
        }
        yield replace(example(task, first, context.job, clips=clips), anchor=anchor)
    sentence = sentences.mixture(recipe, sources, context.job.max_sentence_positions)
    if sentence is not None:
        yield Built(anchor, sentence)


def _voice(clip: Annotated) -> str | None:
    return clip.speaker or clip.speaker_cluster


def _are_two_people(clip: Annotated, other: Annotated) -> bool:
    """A name and a voice that only measuring told apart may be the same person."""
    if clip.speaker and other.speaker:
        return clip.speaker != other.speaker
    return None not in (clip.speaker_cluster, other.speaker_cluster) and clip.speaker_cluster != other.speaker_cluster
