"""Auditory sentences: 2 to 8 segments that belong together, built from the same parts as tasks (paper, 4.4).

They have no prompt, and every segment carries loss: the model learns to go on.
"""

from collections.abc import Sequence

from uniaudio.tasks.task import Part, Task, audio, text

MIN_SEGMENTS, MAX_SEGMENTS = 2, 8


def consecutive(num_segments: int) -> Task:
    """A long recording as consecutive segments; roles `clip0`, `clip1`, …"""
    return _sentence("consecutive", [audio(f"clip{index}", loss=True) for index in range(num_segments)])


def interleaved(num_segments: int, wrapper: str = "transcription") -> Task:
    """Speech (or sound, music) and its text in turn; roles `clip0`, `text0`, …"""
    pairs = [
        (*audio(f"clip{index}", loss=True), text(f"text{index}", wrapper, loss=True)) for index in range(num_segments)
    ]
    return _sentence("interleaved", pairs)


def mixture(num_sources: int) -> Task:
    """A mixture, then each source; roles `clip`, `source0`, …"""
    return _sentence(
        "mixture", [audio("clip", loss=True), *(audio(f"source{index}", loss=True) for index in range(num_sources))]
    )


def same_content(num_versions: int) -> Task:
    """The same words in other voices or styles; roles `clip0`, …"""
    return _sentence("same_content", [audio(f"clip{index}", loss=True) for index in range(num_versions)])


def _sentence(build: str, segments: Sequence[tuple[Part, ...]]) -> Task:
    if not MIN_SEGMENTS <= len(segments) <= MAX_SEGMENTS:
        from uniaudio_schemas.errors import UsageError

        raise UsageError(
            f"an auditory sentence must have {MIN_SEGMENTS} to {MAX_SEGMENTS} segments, but has {len(segments)}."
        )
    parts = tuple(part for segment in segments for part in segment)
    return Task(name=f"sentence_{build}", parts=parts, has_prompt=False, metrics=("perplexity",))
