"""The benchmark of a registered evaluation set: its items, asked as its card says, without examples and with some; beside classical systems.

    digits/0-shot, digits/1-shot, digits/4-shot       the checkpoint
    digits/logistic_regression, digits/pocketsphinx   what was there before it

Examples of an item are drawn by seed from items that share neither its speaker nor its recording; an item that has too few of them is
dropped (`no_pool`), and so is one that shares its sound or text with what was trained on (`leak`). Predictions say whether any training
example was of the card's task (`is_task_trained`): where none was, the task itself is new to the model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.render import render_raw, to_mono_24k
from uniaudio.run.request import Request, condition_of
from uniaudio.sequence.build import lay_out_segments
from uniaudio.sequence.layout import Grid, lay_out
from uniaudio.tasks import TASKS, Task
from uniaudio.tasks.recipes import share_of
from uniaudio.training.sequences.dataset import TRAIN_SPLIT
from uniaudio_pipelines.checkpoint_to_scores.classical import CLASSICAL, NotInstalledError
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample
from uniaudio_pipelines.checkpoint_to_scores.tasks import answer_all, judge
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools
from uniaudio_pipelines.contamination import Contamination
from uniaudio_pipelines.evalsets import SetCard, cards, set_fingerprint

_PREDICTED = ("accuracy", "unparsed", "wer", "cer")
"""Metrics of systems that say an answer and no likelihood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    item_id: str
    sha256: str
    answer: str
    speaker: str | None
    recording: str
    """Items of one are no independent samples, and no examples of each other."""
    language: str
    raw: Raw


class SetTools(Tools):
    """Whose usual answer is the most frequent one of the set."""

    def __init__(self, evaluation: Evaluation, models: Models, task: Task, items: Sequence[Item]) -> None:
        super().__init__(evaluation, models, task)
        self._answers = [item.answer for item in items]

    @cached_property
    def frequent(self) -> str:
        return Counter(sorted(self._answers)).most_common(1)[0][0]


class OpenSet:
    """One registered set, opened; its audio is read and encoded when it is first asked for."""

    def __init__(self, evaluation: Evaluation, name: str, manifest: Manifest) -> None:
        self.evaluation, self.card, self.manifest = evaluation, cards()[name], manifest
        self._tokens: dict[str, Tokens] = {}
        self._audio: dict[str, np.ndarray] = {}

    @cached_property
    def items(self) -> list[Item]:
        """Those that have an answer, by id; DataError where they are not those of the card."""
        raw = self.evaluation.store.version_with("raw", self.manifest.parents["raw"])
        found = [_item(row, self.card) for row in self.evaluation.store.rows(raw, Raw)]
        items = sorted((item for item in found if item is not None), key=lambda item: item.item_id)
        seen = set_fingerprint((item.sha256, item.answer) for item in items)
        expected = (self.card.items or len(items), self.card.fingerprint or seen)
        if (len(items), seen) != expected:
            raise DataError(
                f"Evaluation set {self.card.name} must be {expected[0]} items ({expected[1]}), but is {len(items)} ({seen}): "
                f"`uniaudio evalset build` or `add` registers another."
            )
        return items

    @cached_property
    def choices(self) -> tuple[str, ...]:
        return tuple(sorted({item.answer for item in self.items})) if self.card.has_choices else ()

    @property
    def question(self) -> str:
        """With the choices behind it; empty where the task asks."""
        if not self.card.has_choices:
            return ""
        return f"{self.card.question}: {', '.join(self.choices[:-1])} or {self.choices[-1]}?"

    def audio(self, item: Item) -> np.ndarray:
        """`[N]` float32 at 24 kHz, at most `max_s` of it."""
        if item.item_id not in self._audio:
            whole = to_mono_24k(render_raw(self.evaluation.store, item.raw), item.raw.mono_channel)
            self._audio[item.item_id] = whole[: int(self.card.max_s * SAMPLE_RATE)]
        return self._audio[item.item_id]

    def tokens(self, item: Item) -> Tokens:
        if item.item_id not in self._tokens:
            codes = self.evaluation.codec.encode([self.audio(item)])[0]
            self._tokens[item.item_id] = Tokens(
                clip_id=item.item_id,
                num_samples=codes.num_samples,
                reasoning_codes=codes.reasoning,
                reconstruction_codes=codes.reconstruction,
            )
        return self._tokens[item.item_id]

    @cached_property
    def trained_on(self) -> set[str]:
        """Items that share sound or text with a training clip."""
        store = self.evaluation.store
        raw = self.evaluation.manifest("raw")
        found = Contamination.find(store, raw, {self.card.name: self.manifest})
        leaked: set[str] = set()
        for table in store.tables(self.evaluation.manifest("annotated")):
            trained = table.filter(pc.equal(table["split"], TRAIN_SPLIT))
            leaked |= set(found.leaks(trained)["item"].to_pylist())
        return leaked

    def shots(self, query: Item, count: int) -> list[Item]:
        """`count` examples, or as many as there are, by the seed."""
        pool = [one for one in self.items if may_show(one, query) and one.item_id not in self.trained_on]
        key = (self.evaluation.job.seed, self.card.name, query.item_id)
        return sorted(pool, key=lambda one: share_of("shot", *key, one.item_id))[:count]

    def prompt(self, query: Item, shots: Sequence[Item]) -> Grid:
        """The question, behind its solved examples."""
        task = TASKS[self.card.task]
        by_name = {item.item_id: item for item in (query, *shots)}
        parts = (
            (lambda one: (self.question, one.item_id, one.answer))
            if self.question
            else (lambda one: (one.item_id, one.answer))
        )
        request = Request(audio=query.item_id, text=self.question, examples=tuple(parts(one) for one in shots))
        condition = condition_of(task, request, seed=self.evaluation.job.seed, language=self.card.language)
        tokens = {name: self.tokens(by_name[str(clip)]) for name, clip in condition.clips.items()}
        return lay_out(
            lay_out_segments(condition.segments, tokens, self.evaluation.tokenizer, self.evaluation.vocabulary)
        )


def may_show(example: Item, query: Item) -> bool:
    """Whether an item may be an example of another: neither of the same speaker nor of the same recording."""
    same_speaker = example.speaker is not None and example.speaker == query.speaker
    return example.item_id != query.item_id and not same_speaker and example.recording != query.recording


def _item(row: Raw, card: SetCard) -> Item | None:
    value = getattr(row, card.answer)
    answer = (value[0] if value else "") if isinstance(value, list) else (value or "")
    if row.medium != "audio" or not answer.strip():
        return None
    return Item(
        item_id=row.clip_id,
        sha256=row.sha256,
        answer=answer.strip(),
        speaker=row.speaker,
        recording=row.split_group or row.recording or row.clip_id,
        language=row.language or card.language,
        raw=row,
    )


def set_scores(evaluation: Evaluation, outcome: Outcome, models: Models, name: str) -> None:
    """All shots of one set, then its classical systems."""
    content = evaluation.plan.parameters["sets"][name]["content_id"]
    opened = OpenSet(evaluation, name, evaluation.store.version_with("evalset", content))
    items: list[Item] = []
    for item in opened.items:
        if item.item_id in opened.trained_on:
            outcome.drop(item.item_id, "leak", f"shares sound or text with what is trained on: {item.raw.path}")
        elif len(items) < evaluation.job.num_items:
            items.append(item)
    if not items:
        outcome.drop(name, "no_samples", f"evaluation set {name} has no item that can be asked")
        return
    tools = SetTools(evaluation, models, TASKS[opened.card.task], opened.items)
    for count in evaluation.job.shots:
        _with_shots(opened, outcome, tools, items, count)
    for system in opened.card.baselines:
        _classical(opened, outcome, tools, items, system)


def _with_shots(opened: OpenSet, outcome: Outcome, tools: SetTools, items: Sequence[Item], count: int) -> None:
    card, found = opened.card, outcome.part(f"{opened.card.name}/{count}-shot")
    samples = []
    for item in items:
        shots = opened.shots(item, count)
        if len(shots) < count:
            found.drop(
                f"{item.item_id}/{count}-shot", "no_pool", f"{len(shots)} items of another speaker and recording"
            )
        else:
            samples.append(_sample(opened, item, opened.prompt(item, shots), [one.item_id for one in shots]))
    if samples:
        answer_all(opened.evaluation, found, samples, TASKS[card.task], with_likelihoods=card.has_choices)
        about = {"shots": count, "is_task_trained": opened.evaluation.has_trained(card.task)}
        judge(found, samples, card.metrics, tools, title=card.name, about=about)
    outcome.take(found)


def _classical(opened: OpenSet, outcome: Outcome, tools: SetTools, items: Sequence[Item], system: str) -> None:
    found = outcome.part(f"{opened.card.name}/{system}")
    heard = [opened.audio(item) for item in items]
    try:
        said = CLASSICAL[system](
            heard, [item.answer for item in items], [item.recording for item in items], opened.choices
        )
    except NotInstalledError as error:
        outcome.drop(found.benchmark, "not_installed", str(error))
        return
    samples = [_sample(opened, item, None, []) for item in items]
    for sample, answer in zip(samples, said, strict=True):
        sample.answer = answer
    judge(found, samples, [name for name in opened.card.metrics if name in _PREDICTED], tools, title=system)
    outcome.take(found)


def _sample(opened: OpenSet, item: Item, prompt: Grid | None, shots: list[str]) -> Sample:
    return Sample(
        sample_id=item.item_id,
        recording=item.recording,
        prompt=prompt,
        clip_ids=[item.item_id, *shots],
        reference=item.answer,
        language=item.language if opened.card.answer == "given_text" else None,
        choices=opened.choices,
        recorded=[],
        source="",
        voice="",
        domain=opened.card.domain,
        audio=lambda clip: opened.audio(item),
        is_example=False,
    )
