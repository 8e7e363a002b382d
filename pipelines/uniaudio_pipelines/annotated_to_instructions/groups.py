"""Examples of clips that belong together: one recording, one voice, the same words, one kind of sound. Each function takes the clips of one
corpus and one split that a unit reads on one route."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction

from uniaudio.tasks import sentences
from uniaudio.tasks.annotations import letters_of, words_of
from uniaudio.tasks.recipes import make_recipe, samples_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcomes, grouped
from uniaudio_pipelines.annotated_to_instructions.mixtures import separation


def of_parts(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Synchronous parts of one recording: their mixture, then each part."""

    def place(clip: Annotated) -> Hashable | None:
        return (clip.part_of, clip.first_sample, clip.sample_rate) if clip.part_of and clip.part else None

    for _, members in grouped(clips, place):
        parts = sorted({clip.part: clip for clip in members}.values(), key=lambda clip: clip.part or "")
        if not 2 <= len(parts) <= sentences.MIXTURE.num_repeats[1]:
            continue
        task = "speech_separation" if parts[0].domain == "speech" else "music_separation"
        if len({samples_of(part) for part in parts}) > 1:
            lengths = ", ".join(f"{part.part} {samples_of(part)}" for part in parts)
            detail = f"parts of one recording differ in length: {lengths} samples"
            yield NotBuilt(parts[0].clip_id, task, "unequal_parts", detail)
            continue
        recipe = make_recipe("mix", parts, {"snr_db": 0.0}, seed=context.job.seed)
        yield from separation(task, recipe, parts, parts[0], context)


def of_recordings(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Cuts of one recording: what follows what, and, where no voice is known, speech and its text in turn."""
    for _, cuts in grouped(clips, lambda clip: clip.raw_clip_id):
        for run in _adjacent(cuts):
            yield from _each(cuts, sentences.consecutive(run, context.job.max_sentence_positions))
        unknown = [cut for cut in cuts if not (cut.speaker or cut.speaker_cluster)]
        yield from transcribed(unknown, context)


def transcribed(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Speech and its text in turn."""
    spoken = [clip for clip in clips if words_of(clip)]
    in_order = sorted(spoken, key=lambda clip: (clip.path, clip.first_sample, clip.clip_id))
    yield from _each(clips, sentences.transcribed(in_order, words_of, context.job.max_sentence_positions))


def of_subjects(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Sounds or pieces of music that share a tag, one clip a recording, each with its caption."""
    for _, alike in grouped(clips, lambda clip: (clip.domain, clip.tags[0].casefold()) if clip.tags else None):
        by_recording = {clip.raw_clip_id: clip for clip in reversed(alike)}
        in_order = sorted(by_recording.values(), key=lambda clip: clip.clip_id)
        yield from _each(alike, sentences.captioned(in_order, context.job.max_sentence_positions))


def same_words(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """One clip a voice of those who say the same."""
    for _, alike in grouped(clips, lambda clip: letters_of(words_of(clip)) or None):
        by_voice = {clip.speaker or clip.speaker_cluster: clip for clip in reversed(alike)}
        in_order = sorted(by_voice.values(), key=lambda clip: clip.clip_id)
        yield from _each(
            alike, sentences.same_words(in_order, words_of(in_order[0]), context.job.max_sentence_positions)
        )


def _adjacent(cuts: Iterable[Annotated]) -> Iterator[list[Annotated]]:
    run: list[Annotated] = []
    for cut in sorted(cuts, key=lambda cut: (cut.first_sample, cut.clip_id)):
        if run and run[-1].first_sample + run[-1].num_samples != cut.first_sample:
            yield run
            run = []
        run.append(cut)
    if run:
        yield run


def _each(clips: Iterable[Annotated], made: Iterable[Instruction]) -> Iterator[Built]:
    """Sentences of whole clips count for their first clip."""
    by_id = {clip.clip_id: clip for clip in clips}
    for instruction in made:
        yield Built(by_id[instruction.clip_ids[0]], instruction)
