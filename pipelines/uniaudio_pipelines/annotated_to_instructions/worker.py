"""One unit: the instructions that the clips of one range of hashes allow.

Every clip is at home in one unit, and comes to others as company, by the routes of `routes`: what is built follows from the rows and the job,
not from how they are cut into shards or given to workers. Memory: the clips of a unit on each route in turn, and what they give.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.task_statistics import Example, example_statistics
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks.annotations import needs_of, voice_of
from uniaudio.tasks.conversation import CONVERSATION
from uniaudio.tasks.preference import GROUP as PREFERENCE
from uniaudio.tasks.recipes import positions_of, samples_of
from uniaudio.tasks.sentences import GROUP
from uniaudio_pipelines.annotated_to_instructions import (
    classes,
    conversations,
    dialogues,
    edits,
    few_shot,
    groups,
    mixtures,
    preferences,
    questions,
    voices,
)
from uniaudio_pipelines.annotated_to_instructions.caps import beyond_caps
from uniaudio_pipelines.annotated_to_instructions.columns import table_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcome, Outcomes, grouped, has_audio
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.reading import Annotations
from uniaudio_pipelines.annotated_to_instructions.single import of_one_clip
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.running.edge import ShardResult

Builder = Callable[[Sequence[Annotated], Context], Outcomes]
"""What a route's clips of one corpus and one split give."""


def each_alone(clips: Sequence[Annotated], context: Context) -> Outcomes:
    for clip in clips:
        yield from of_one_clip(clip, context)


def by_voice(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """What clips of one voice give together; a clip of an unknown voice is alone."""
    clips_with_audio = [clip for clip in clips if has_audio(clip)]
    for _, voice in grouped(clips_with_audio, lambda clip: voice_of(clip) or ("clip", clip.clip_id)):
        spoken = [clip for clip in voice if clip.domain == "speech"]
        if voice_of(voice[0]) is not None:
            yield from groups.transcribed(spoken, context)
            yield from few_shot.made_conversions(spoken, context)
            yield from voices.in_a_shown_voice(voice, context)
        yield from edits.edited(spoken, context)
        yield from voices.over_sounds(spoken, context)
        yield from voices.denoised(spoken, context)


BUILDERS: dict[str, tuple[Builder, ...]] = {
    "home": (each_alone, by_voice, dialogues.given_answers),
    "ring": (
        mixtures.mixtures_of_speakers,
        few_shot.enhancements,
        classes.emotions,
        classes.sounds,
        questions.about_values,
        questions.about_scenes,
        conversations.conversations,
        preferences.preferences,
    ),
    "words": (groups.same_words, few_shot.recorded_conversions),
    "recording": (groups.of_recordings, dialogues.replies),
    "parts": (groups.of_parts,),
    "subject": (groups.of_subjects,),
}
"""Route -> what it is for."""
_LONG_GROUPS = (GROUP, CONVERSATION.mixture, PREFERENCE)
"""Mixture groups whose examples may be as long as the context of stages 4 to 6."""
_ALONE = ("home", "ring")
"""Routes on which a clip without company is read too."""


class InstructionWorker:
    def __init__(self, store_root: str, job: AnnotatedToInstructions, plan: Plan) -> None:
        store = Store(store_root)
        folder = cache_folder(store) / job.EDGE / plan.plan_id
        self._job = job
        self._annotated = Annotations(store, store.version_with("annotated", plan.parents["annotated"]), folder, job)

    def process(self, unit: str) -> ShardResult:
        collected = _Found(self._job, unit, self._annotated)
        context = self._annotated.context(unit)
        for route in BUILDERS:
            clips, left_out = self._annotated.clips(route, unit, alone=route in _ALONE)
            if route == "home":
                collected.count_needs(clips)
                not_built = [NotBuilt(one.clip_id, "", one.reason, one.detail) for one in left_out]
                collected.add(route, not_built, clips)
            collected.add(route, self._outcomes(route, clips, context), clips)
        return collected.result()

    def _outcomes(self, route: str, clips: Iterable[Annotated], context: Context) -> Iterator[Outcome]:
        for _, same_split in grouped(clips, lambda clip: (clip.corpus, clip.split)):
            for builder in BUILDERS[route]:
                yield from builder(same_split, context)


class _Found:
    """What a unit gives, and what is counted of it."""

    def __init__(self, job: AnnotatedToInstructions, unit: str, annotated: Annotations) -> None:
        self._job, self._unit, self._annotated = job, unit, annotated
        self._built: dict[str, list[Built]] = {}
        """Route -> built examples."""
        self._examples: dict[str, Example] = {}
        """Id -> what is counted of it. Equal examples (two clips that chose each other) are one."""
        self._dropped: dict[tuple[str, str], Dropped] = {}
        self._counts: Counter[str] = Counter()
        self._samples: dict[str, int] = {}
        """Clip -> samples at 24 kHz; only clips whose tokens examples need."""

    def count_needs(self, clips: Iterable[Annotated]) -> None:
        self._counts.update(f"rows/{need}" for clip in clips for need in needs_of(clip))

    def add(self, route: str, outcomes: Iterable[Outcome], clips: Iterable[Annotated]) -> None:
        num_samples = {clip.clip_id: samples_of(clip) for clip in clips if has_audio(clip)}
        built = self._built.setdefault(route, [])
        for outcome in outcomes:
            if isinstance(outcome, NotBuilt):
                self._drop(outcome)
            elif outcome.instruction.instruction_id not in self._examples and self._is_short(outcome, num_samples):
                built.append(outcome)

    def result(self) -> ShardResult:
        ids_beyond_caps = beyond_caps(self._built, self._unit, self._annotated, self._job)
        instructions: list[Instruction] = []
        for one in chain(*self._built.values()):
            row = one.instruction
            if row.instruction_id in ids_beyond_caps:
                self._drop(NotBuilt(one.anchor.clip_id, row.task, "over_cap", f"{row.task}: enough without it"))
            else:
                instructions.append(row)
        heard = {segment.clip_id for row in instructions for segment in row.segments if segment.clip_id}
        statistics = {name: float(count) for name, count in sorted(self._counts.items())}
        statistics |= example_statistics(self._examples[row.instruction_id] for row in instructions)
        statistics["audio_s"] = sum(self._samples[clip] for clip in heard) / SAMPLE_RATE
        return ShardResult(rows=table_of(instructions), dropped=list(self._dropped.values()), statistics=statistics)

    def _drop(self, outcome: NotBuilt) -> None:
        """One row for a clip and a reason, however many tasks it holds for; each task counts its own."""
        report = Dropped(row_id=outcome.anchor, reason=outcome.reason, detail=outcome.detail, unit=self._unit)
        self._dropped.setdefault((report.row_id, report.reason), report)
        if outcome.task:
            self._counts[f"not_built/{outcome.task}/{outcome.reason}"] += 1

    def _is_short(self, outcome: Built, num_samples: dict[str, int]) -> bool:
        """Counts an example, or drops it as `too_long`."""
        row = outcome.instruction
        limit = self._job.max_sentence_positions if row.mixture in _LONG_GROUPS else self._job.max_positions
        needed = positions_of(row, num_samples)
        if needed > limit:
            detail = f"{row.task}: about {needed} positions, at most {limit}"
            self._drop(NotBuilt(outcome.anchor.clip_id, row.task, "too_long", detail))
            return False
        recipe_lengths = {recipe.clip_id: recipe.num_samples for recipe in row.recipes}
        used = {segment.clip_id for segment in row.segments if segment.clip_id}
        samples = {clip: recipe_lengths.get(clip) or num_samples[clip] for clip in used}
        self._samples |= samples
        seconds = sum(samples.values()) / SAMPLE_RATE
        counted = Example(task=row.task, split=row.split, corpus=row.corpus, seconds=seconds, positions=needed)
        self._examples[row.instruction_id] = counted
        return True
