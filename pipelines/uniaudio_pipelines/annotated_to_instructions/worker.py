"""One unit: the instructions that the clips of one range of hashes allow.

Every clip is at home in one unit, and comes to others as company, by the routes of `routes`: what is built follows from the rows and the job,
not from how they are cut into shards or given to workers. Memory: the clips of a unit on each route in turn, and what they give.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Dropped, Store

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks.recipes import positions_of, samples_of
from uniaudio.tasks.sentences import GROUP
from uniaudio_pipelines.annotated_to_instructions import few_shot, groups, mixtures
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcome, Outcomes, grouped, has_audio
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.reading import Annotations
from uniaudio_pipelines.annotated_to_instructions.single import of_one_clip
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.jobs import cache_folder

Builder = Callable[[Sequence[Annotated], AnnotatedToInstructions], Outcomes]
"""What a route's clips of one corpus and one split give."""


def of_home(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """Every clip alone, then those of each voice."""
    for clip in clips:
        yield from of_one_clip(clip, job)
    for _, voice in grouped(clips, lambda clip: (clip.speaker or clip.speaker_cluster) if has_audio(clip) else None):
        spoken = [clip for clip in voice if clip.domain == "speech"]
        yield from groups.transcribed(spoken, job)
        yield from few_shot.made_conversions(spoken, job)


BUILDERS: dict[str, tuple[Builder, ...]] = {
    "home": (of_home,),
    "ring": (mixtures.mixtures_of_speakers, few_shot.enhancements),
    "words": (groups.same_words, few_shot.recorded_conversions),
    "recording": (groups.of_recordings,),
    "parts": (groups.of_parts,),
    "subject": (groups.of_subjects,),
}
"""Route -> what it is for."""
_ALONE = ("home", "ring")
"""Routes on which a clip without company is read too."""


class InstructionWorker:
    def __init__(self, store_root: str, job: AnnotatedToInstructions, plan: Plan) -> None:
        store = Store(store_root)
        folder = cache_folder(store) / job.EDGE / plan.plan_id
        self._job = job
        self._annotated = Annotations(store, store.version_with("annotated", plan.parents["annotated"]), folder, job)

    def process(self, unit: str) -> ShardResult:
        made: dict[str, Instruction] = {}
        """Equal examples (two clips that chose each other) are one."""
        dropped: dict[tuple[str, str], Dropped] = {}
        heard: dict[str, int] = {}
        for route in BUILDERS:
            clips, left_out = self._annotated.clips(route, unit, alone=route in _ALONE)
            num_samples = {clip.clip_id: samples_of(clip) for clip in clips if has_audio(clip)}
            gone = [NotBuilt(one.clip_id, "", one.reason, one.detail) for one in left_out if route == "home"]
            for outcome in chain(gone, self._outcomes(route, clips)):
                checked = self._if_short(outcome, num_samples)
                if isinstance(checked, Built):
                    row = checked.instruction
                    made[row.instruction_id] = row
                    heard |= _clips_of(row, num_samples)
                else:
                    report = Dropped(row_id=checked.anchor, reason=checked.reason, detail=checked.detail, unit=unit)
                    dropped.setdefault((report.row_id, report.reason), report)
        statistics = {"audio_s": sum(heard.values()) / SAMPLE_RATE}
        return ShardResult(rows=list(made.values()), dropped=list(dropped.values()), statistics=statistics)

    def _outcomes(self, route: str, clips: Iterable[Annotated]) -> Iterator[Outcome]:
        for _, same_split in grouped(clips, lambda clip: (clip.corpus, clip.split)):
            for builder in BUILDERS[route]:
                yield from builder(same_split, self._job)

    def _if_short(self, outcome: Outcome, num_samples: dict[str, int]) -> Outcome:
        if isinstance(outcome, NotBuilt):
            return outcome
        row = outcome.instruction
        limit = self._job.max_sentence_positions if row.mixture == GROUP else self._job.max_positions
        needed = positions_of(row, num_samples)
        if needed <= limit:
            return outcome
        detail = f"{row.task}: about {needed} positions, at most {limit}"
        return NotBuilt(outcome.anchor.clip_id, row.task, "too_long", detail)


def _clips_of(row: Instruction, num_samples: dict[str, int]) -> dict[str, int]:
    """The clips that an example needs tokens of, and their lengths at 24 kHz."""
    made = {recipe.clip_id: recipe.num_samples for recipe in row.recipes}
    return {
        segment.clip_id: made.get(segment.clip_id) or num_samples[segment.clip_id]
        for segment in row.segments
        if segment.clip_id
    }
