"""Examples of several clips of one corpus and one split: mixtures of speakers, real stems, auditory sentences; few-shot ones are in `few_shot`."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction, Recipe

from uniaudio.tasks import TASKS, sentences
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    grouped,
    has_audio,
    letters_of,
    words_of,
)
from uniaudio_pipelines.annotated_to_instructions.few_shot import few_shot
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

_MAX_TRIES = 64
"""Clips looked at for one of another speaker."""
_NUM_PIECES = (2, 4)


def of_several_clips(clips: Iterable[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Every example of more than one clip, and of pieces of one; `clips` are all of a corpus."""
    audible = sorted((clip for clip in clips if has_audio(clip)), key=lambda clip: clip.clip_id)
    for _, same_split in grouped(audible, lambda clip: clip.split):
        yield from _mixtures_of_speakers(same_split, job)
        yield from _stems(same_split, job)
        yield from _recordings(same_split, job)
        yield from _conversations(same_split, job)
        yield from _captions(same_split, job)
        yield from _same_words(same_split, job)
        yield from few_shot(same_split, job)


def _mixtures_of_speakers(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    ring = sorted(
        (clip for clip in clips if clip.domain == "speech" and clip.speaker),
        key=lambda clip: share_of("ring", job.seed, clip.clip_id),
    )
    for place, clip in enumerate(ring):
        if share_of("separation", job.seed, clip.clip_id) >= job.separation_share:
            continue
        following = (ring[(place + step) % len(ring)] for step in range(1, min(len(ring), _MAX_TRIES)))
        partner = next((other for other in following if other.speaker != clip.speaker), None)
        if partner is None:
            yield NotBuilt(clip.clip_id, "no_partner", f"no other speaker than {clip.speaker} in {clip.split}")
            continue
        # The longer one first: the mixture has its length, and the shorter one is put somewhere into it.
        pair = sorted((clip, partner), key=lambda one: (-samples_of(one), one.clip_id))
        snr_db = round(job.max_mix_db * (2 * share_of("mix", job.seed, clip.clip_id) - 1), 1)
        recipe = make_recipe("mix", pair, {"snr_db": snr_db, "length": "longest"}, seed=job.seed)
        yield from _separation("speech_separation", recipe, pair, clip.clip_id, job)


def _stems(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Synchronous parts of one recording: their mixture, then each part."""

    def place(clip: Annotated) -> Hashable | None:
        return (clip.part_of, clip.first_sample, clip.sample_rate) if clip.part_of and clip.part else None

    for _, found in grouped(clips, place):
        parts = sorted({clip.part: clip for clip in found}.values(), key=lambda clip: clip.part or "")
        if not 2 <= len(parts) <= sentences.MIXTURE.num_repeats[1]:
            continue
        anchor = parts[0].clip_id
        if len({samples_of(part) for part in parts}) > 1:
            lengths = ", ".join(f"{part.part} {samples_of(part)}" for part in parts)
            yield NotBuilt(anchor, "unequal_parts", f"parts of one recording differ in length: {lengths} samples")
            continue
        recipe = make_recipe("mix", parts, {"snr_db": 0.0}, seed=job.seed)
        task = "speech_separation" if parts[0].domain == "speech" else "music_separation"
        yield from _separation(task, recipe, parts, anchor, job)


def _separation(
    task: str, recipe: Recipe, sources: Sequence[Annotated], anchor: str, job: AnnotatedToInstructions
) -> Outcomes:
    if len(sources) == 2:
        first, second = sources
        instruction = TASKS[task].instruction(
            clips={"mixture": recipe, "first_source": first.clip_id, "second_source": second.clip_id},
            corpus=first.corpus,
            split=first.split,
            seed=job.seed,
            language=first.language or "en",
        )
        yield Built(anchor, instruction)
    yield from _built(anchor, sentences.mixture(recipe, sources, job.max_sentence_positions))


def _built(anchor: str, *made: Instruction | None) -> Iterator[Built]:
    for instruction in made:
        if instruction is not None:
            yield Built(anchor, instruction)


def _each(made: Iterable[Instruction]) -> Iterator[Built]:
    """Sentences of whole clips belong to the shard of their first clip."""
    for instruction in made:
        yield Built(instruction.clip_ids[0], instruction)


def _recordings(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Adjacent cuts of one recording; where it is one clip, its pieces."""
    least, most = _NUM_PIECES
    for _, cuts in grouped(clips, lambda clip: clip.raw_clip_id):
        runs = list(_adjacent(cuts))
        for run in runs:
            yield from _each(sentences.consecutive(run, job.max_sentence_positions))
        if len(cuts) == 1 and share_of("pieces", job.seed, cuts[0].clip_id) < job.piece_share:
            count = least + int((most - least + 1) * share_of("count", job.seed, cuts[0].clip_id))
            pieces = sentences.consecutive_pieces(cuts[0], count, job.max_sentence_positions)
            yield from _built(cuts[0].clip_id, pieces)


def _adjacent(cuts: Iterable[Annotated]) -> Iterator[list[Annotated]]:
    run: list[Annotated] = []
    for cut in sorted(cuts, key=lambda cut: (cut.first_sample, cut.clip_id)):
        if run and run[-1].first_sample + run[-1].num_samples != cut.first_sample:
            yield run
            run = []
        run.append(cut)
    if run:
        yield run


def _conversations(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Speech and its text in turn: adjacent cuts of one recording, or clips of one speaker."""

    def voice(clip: Annotated) -> Hashable | None:
        return (clip.speaker or clip.raw_clip_id) if words_of(clip) else None

    for _, spoken in grouped(clips, voice):
        in_order = sorted(spoken, key=lambda clip: (clip.path, clip.first_sample, clip.clip_id))
        yield from _each(sentences.transcribed(in_order, words_of, job.max_sentence_positions))


def _captions(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Sounds or pieces of music that share a tag, one clip a recording, each with its caption."""

    def subject(clip: Annotated) -> Hashable | None:
        return (
            (clip.domain, clip.tags[0].casefold()) if clip.tags and clip.caption and clip.domain != "speech" else None
        )

    for _, alike in grouped(clips, subject):
        by_recording = {clip.raw_clip_id: clip for clip in reversed(alike)}
        in_order = sorted(by_recording.values(), key=lambda clip: clip.clip_id)
        yield from _each(sentences.captioned(in_order, job.max_sentence_positions))


def _same_words(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """One clip a speaker of those who say the same."""

    def said(clip: Annotated) -> Hashable | None:
        return (letters_of(clip) or None) if clip.speaker else None

    for _, alike in grouped(clips, said):
        by_speaker = {clip.speaker: clip for clip in reversed(alike)}
        in_order = sorted(by_speaker.values(), key=lambda clip: clip.clip_id)
        words = words_of(in_order[0])
        yield from _each(sentences.same_words(in_order, words, job.max_sentence_positions))
