"""Caps: at most so many examples of a task in a corpus, and of a speaker. Which are kept follows from their hashes alone.

A unit keeps its part of what is allowed, by the clips at home in it; the parts of all units add up to it. So a cap is never exceeded, and
where the examples of a corpus lie unevenly it is not quite reached.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain

from uniaudio.tasks.annotations import voice_of
from uniaudio_pipelines.annotated_to_instructions.examples import Built
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.reading import Annotations
from uniaudio_pipelines.annotated_to_instructions.routes import hash64
from uniaudio_pipelines.annotated_to_instructions.units import parse_unit

ON_SEVERAL_ROUTES = ("voice_conversion", "speech_to_text", "sentence_transcribed", "sentence_consecutive")
"""Tasks whose examples are built at home and elsewhere."""


def part_of_cap(cap: int, num_parts: int, number: int) -> int:
    """What part `number` of `num_parts` may keep: whole numbers that add up to `cap`."""
    return (number + 1) * cap // num_parts - number * cap // num_parts


def over_cap(
    built: Iterable[Built], key_of: Callable[[Built], Hashable | None], allowed: Callable[[Built], int]
) -> set[str]:
    """Ids of the examples beyond what is allowed to those of one task and key; those of the key None are all kept."""
    groups: dict[Hashable, list[Built]] = defaultdict(list)
    for one in built:
        if (key := key_of(one)) is not None:
            groups[(one.instruction.task, key)].append(one)
    return {
        one.instruction.instruction_id
        for some in groups.values()
        for one in sorted(some, key=lambda one: hash64(one.instruction.instruction_id))[allowed(some[0]) :]
    }


def beyond_caps(
    built: Mapping[str, Sequence[Built]], unit: str, annotated: Annotations, job: AnnotatedToInstructions
) -> set[str]:
    """Ids of the examples of a unit, by route, that are over a cap of the job."""
    ids: set[str] = set()
    if cap := job.max_examples_per_corpus:
        before, after, total = annotated.clips_before(unit)
        of_unit = after * cap // total - before * cap // total
        ids = over_cap(chain(*built.values()), lambda one: one.instruction.corpus, lambda one: of_unit)
    if cap := job.max_examples_per_speaker:
        # Of a voice's examples those at home lie in few units, others anywhere: each kind has its half where a task has both.
        for is_home in (True, False):
            some = [one for route, those in built.items() if (route == "home") == is_home for one in those]
            ids |= over_cap(some, lambda one: voice_of(one.anchor), _allowed_to_voice(cap, is_home, unit, annotated))
    return ids


def _allowed_to_voice(cap: int, is_home: bool, unit: str, annotated: Annotations) -> Callable[[Built], int]:
    _, number = parse_unit(unit)

    def allowed(one: Built) -> int:
        shared = one.instruction.task in ON_SEVERAL_ROUTES
        if is_home:
            return part_of_cap(cap - cap // 2 if shared else cap, *annotated.part_of_home(unit, one.anchor))
        return part_of_cap(cap // 2 if shared else cap, annotated.num_units(unit), number)

    return allowed
