"""Examples of several clips: mixtures of two speakers, mixtures of real stems, auditory sentences."""

from collections import defaultdict
from collections.abc import Iterator

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.instructions import Instruction, Recipe

from uniaudio.audio.frames import SAMPLE_RATE, resampled_length
from uniaudio.audio.mix import operation_length
from uniaudio.tasks import TASKS
from uniaudio.tasks.sentences import consecutive, interleaved
from uniaudio.tasks.task import make_recipe
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

SENTENCES = "auditory_sentences"
"""Mixture group of all kinds of them."""


def mixtures(clips: list[Annotated], job: AnnotatedToInstructions) -> Iterator[Instruction]:
    """Each speech clip mixed with the next one, in a fixed shuffled order, of another speaker."""
    speech = sorted(
        (clip for clip in clips if clip.domain == "speech" and clip.speaker),
        key=lambda clip: hash_json([clip.clip_id, job.seed]),
    )
    for first, second in zip(speech, speech[1:], strict=False):
        if first.speaker != second.speaker:
            recipe = _mix([first, second], job, snr_db=job.mix_snr_db)
            values = {"clip": recipe.clip_id, "source1": first.clip_id, "source2": second.clip_id}
            yield TASKS["speech_separation"].instruction(
                values, split=first.split, corpus=first.corpus, recipes=(recipe,), seed=job.seed
            )


def stems(clips: list[Annotated], job: AnnotatedToInstructions) -> Iterator[Instruction]:
    """Synchronous parts of one recording: their mixture, then each part."""
    by_place: dict[tuple[str, int, int], list[Annotated]] = defaultdict(list)
    for clip in clips:
        if clip.part_of and clip.part:
            by_place[(clip.part_of, clip.first_sample, clip.num_samples)].append(clip)
    for _, parts in sorted(by_place.items()):
        parts = sorted(parts, key=lambda clip: clip.part or "")
        if len(parts) == 2 and parts[0].part != parts[1].part:
            recipe = _mix(parts, job, snr_db=0.0)
            values = {"clip": recipe.clip_id, "source1": parts[0].clip_id, "source2": parts[1].clip_id}
            yield TASKS["music_separation"].instruction(
                values, split=parts[0].split, corpus=parts[0].corpus, recipes=(recipe,), seed=job.seed
            )


def sentences(clips: list[Annotated], job: AnnotatedToInstructions) -> Iterator[Instruction]:
    """Consecutive cuts of one recording, and clips of one speaker with their texts in turn."""
    by_recording: dict[str, list[Annotated]] = defaultdict(list)
    by_speaker: dict[str, list[Annotated]] = defaultdict(list)
    for clip in clips:
        if clip.domain != "text" and clip.raw_clip_id != clip.clip_id:
            by_recording[clip.raw_clip_id].append(clip)
        if clip.domain == "speech" and clip.speaker and (clip.given_text or clip.transcript):
            by_speaker[clip.speaker].append(clip)
    for _, cuts in sorted(by_recording.items()):
        for run in _runs(sorted(cuts, key=lambda clip: clip.first_sample), job.max_sentence_clips):
            if all(
                left.first_sample + left.num_samples == right.first_sample
                for left, right in zip(run, run[1:], strict=False)
            ):
                values = {f"clip{index}": clip.clip_id for index, clip in enumerate(run)}
                yield consecutive(len(run)).instruction(
                    values, split=run[0].split, corpus=run[0].corpus, mixture=SENTENCES, seed=job.seed
                )
    for _, spoken in sorted(by_speaker.items()):
        for run in _runs(sorted(spoken, key=lambda clip: clip.path), job.max_sentence_clips):
            values = {f"clip{index}": clip.clip_id for index, clip in enumerate(run)}
            values |= {f"text{index}": clip.given_text or clip.transcript or "" for index, clip in enumerate(run)}
            yield interleaved(len(run)).instruction(
                values, split=run[0].split, corpus=run[0].corpus, mixture=SENTENCES, seed=job.seed
            )


def _runs(clips: list[Annotated], length: int) -> Iterator[list[Annotated]]:
    for start in range(0, len(clips) - length + 1, length):
        yield clips[start : start + length]


def _mix(parents: list[Annotated], job: AnnotatedToInstructions, *, snr_db: float) -> Recipe:
    parameters = {"snr_db": snr_db, "length": "longest"}
    lengths = [resampled_length(clip.num_samples, clip.sample_rate, SAMPLE_RATE) for clip in parents]
    num_samples = operation_length("mix", lengths, parameters)
    return make_recipe("mix", [clip.clip_id for clip in parents], parameters, seed=job.seed, num_samples=num_samples)
