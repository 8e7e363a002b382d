"""The benchmark of a registered evaluation set: its items, asked as its card says, without examples and with some; beside classical systems.

    digits/0-shot, digits/1-shot, digits/4-shot       the checkpoint
    digits/logistic_regression, digits/pocketsphinx   what was there before it

Examples of an item are drawn by seed from items that share neither its speaker nor its recording; an item that has too few of them is
dropped (`no_pool`), and so is one that shares its sound or text with what was trained on (`leak`). Predictions say what the lineage proves of
the card's task (`num_task_examples_seen`, `is_task_new`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

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
from uniaudio_pipelines.checkpoint_to_scores.generation import answers
from uniaudio_pipelines.checkpoint_to_scores.judging import Judging, judge
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import ANSWERED_TOGETHER, Sample
from uniaudio_pipelines.checkpoint_to_scores.tasks import answer_all, lineage_of, wanted_of
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools
from uniaudio_pipelines.contamination import Contamination
from uniaudio_pipelines.evalsets import SetCard, set_fingerprint

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
    """Tools for the metrics of a set, whose usual answer is its most frequent one."""

    def __init__(self, evaluation: Evaluation, models: Models, task: Task, items: Sequence[Item]) -> None:
        super().__init__(evaluation, models, task)
        self._answers = [item.answer for item in items]

    @cached_property
    def frequent(self) -> str:
        return Counter(sorted(self._answers)).most_common(1)[0][0]


class OpenSet:
    """One registered set, opened; its audio is read and encoded when it is first asked for."""

    def __init__(self, evaluation: Evaluation, name: str, manifest: Manifest) -> None:
        self.evaluation, self.card, self.manifest = evaluation, evaluation.job.cards_by_name[name], manifest
        self._tokens: dict[str, Tokens] = {}

    @cached_property
    def items(self) -> list[Item]:
        """Items that have an answer, by id; DataError where they are not those of the card."""
        raw = self.evaluation.store.version_with("raw", self.manifest.parents["raw"])
        all_items = [_item(row, self.card) for row in self.evaluation.store.rows(raw, Raw)]
        items = sorted((item for item in all_items if item is not None), key=lambda item: item.item_id)
        seen = set_fingerprint((item.sha256, item.answer) for item in items)
        expected = (self.card.items or len(items), self.card.fingerprint or seen)
        if (len(items), seen) != expected:
            raise DataError(
                f"Evaluation set {self.card.name} must be {expected[0]} items ({expected[1]}), but is {len(items)} ({seen}): "
                f"`uniaudio evalset build` or `add` registers another."
            )
        return items

    @cached_property
    def asked(self) -> list[Item]:
        """The first of them, by id, that share nothing with what is trained on."""
        unseen = (item for item in self.items if item.item_id not in self.trained_on)
        return list(islice(unseen, self.evaluation.job.num_items))

    @cached_property
    def choices(self) -> tuple[str, ...]:
        return tuple(sorted({item.answer for item in self.items})) if self.card.has_choices else ()

    @property
    def question(self) -> str:
        """Question with its choices behind it; empty where the task asks."""
        if not self.card.has_choices:
            return ""
        return f"{self.card.question}: {', '.join(self.choices[:-1])} or {self.choices[-1]}?"

    @property
    def shot_counts(self) -> tuple[int, ...]:
        """Numbers of solved examples: the card's, or the job's."""
        return self.card.shots or self.evaluation.job.shots

    def audio(self, item: Item) -> np.ndarray:
        """`[N]` float32 at 24 kHz, at most `max_s` of it."""
        whole = to_mono_24k(render_raw(self.evaluation.store, item.raw), item.raw.mono_channel)
        return whole[: int(self.card.max_s * SAMPLE_RATE)]

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
        contamination = Contamination.find(store, raw, {self.card.name: self.manifest})
        leaked: set[str] = set()
        for table in store.tables(self.evaluation.manifest("annotated")):
            trained = table.filter(pc.equal(table["split"], TRAIN_SPLIT))
            leaked |= set(contamination.leaks(trained)["item"].to_pylist())
        return leaked

    def shots(self, query: Item, count: int) -> list[Item]:
        """`count` examples, or as many as there are, by the seed: those that come next, from a place that the query draws, in one random order
        of all items. So a set of 10,000 items is no more work an item than one of 10."""
        order = self._order
        start = int(share_of("shot", self.evaluation.job.seed, self.card.name, query.item_id) * len(order))
        behind = (order[(start + step) % len(order)] for step in range(len(order)))
        return list(islice((one for one in behind if may_show(one, query)), count))

    @cached_property
    def _order(self) -> list[Item]:
        """Items that may be examples, in an order that the seed draws."""
        pool = [one for one in self.items if one.item_id not in self.trained_on]
        key = (self.evaluation.job.seed, self.card.name)
        return sorted(pool, key=lambda one: share_of("order", *key, one.item_id))

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
    opened = _opened(evaluation, name)
    asked = opened.asked
    for item in opened.items:
        if item.item_id in opened.trained_on:
            outcome.drop(item.item_id, "leak", f"shares sound or text with what is trained on: {item.raw.path}")
    if not asked:
        outcome.drop(name, "no_samples", f"evaluation set {name} has no item that can be asked")
        return
    tools = SetTools(evaluation, models, TASKS[opened.card.task], opened.items)
    for count in opened.shot_counts:
        _with_shots(opened, outcome, tools, count)
    for system in opened.card.baselines:
        _classical(opened, outcome, tools, system)


def write_set_answers(evaluation: Evaluation, name: str, first: int, last: int) -> None:
    """Keep the answers to some of a set's items, at all shots."""
    opened = _opened(evaluation, name)
    for count in opened.shot_counts:
        samples = [one for item in opened.asked[first:last] if (one := _shown(opened, item, count)) is not None]
        answers(evaluation, wanted_of(evaluation, samples, TASKS[opened.card.task]))


def _opened(evaluation: Evaluation, name: str) -> OpenSet:
    content = evaluation.plan.parameters["sets"][name]["content_id"]
    return OpenSet(evaluation, name, evaluation.store.version_with("evalset", content))


def _with_shots(opened: OpenSet, outcome: Outcome, tools: SetTools, count: int) -> None:
    card, part = opened.card, outcome.part(f"{opened.card.name}/{count}-shot")
    about = {"shots": count, **lineage_of(opened.evaluation, card.task)}
    judging = Judging(part, card.scored_metrics, tools, title=card.name, about=about)
    num_judged = 0
    for first in range(0, len(opened.asked), ANSWERED_TOGETHER):
        items = opened.asked[first : first + ANSWERED_TOGETHER]
        shown = [(item, _shown(opened, item, count)) for item in items]
        for item in [item for item, sample in shown if sample is None]:
            part.drop(f"{item.item_id}/{count}-shot", "no_pool", "too few items of another speaker and recording")
        block = [sample for _, sample in shown if sample is not None]
        if block:
            answer_all(
                opened.evaluation,
                part,
                block,
                TASKS[card.task],
                with_likelihoods="choice_accuracy" in card.scored_metrics,
            )
            judging.add(block)
            num_judged += len(block)
    if num_judged:
        judging.finish()
    outcome.take(part)


def _shown(opened: OpenSet, item: Item, count: int) -> Sample | None:
    """An item behind `count` examples; None where there are too few."""
    shots = opened.shots(item, count)
    if len(shots) < count:
        return None
    return _sample(opened, item, opened.prompt(item, shots), [one.item_id for one in shots])


def _classical(opened: OpenSet, outcome: Outcome, tools: SetTools, system: str) -> None:
    part, items = outcome.part(f"{opened.card.name}/{system}"), opened.asked
    try:
        said = CLASSICAL[system](
            # One after the other: a system keeps what it makes of each, not its sound.
            (opened.audio(item) for item in items),
            [item.answer for item in items],
            [item.recording for item in items],
            opened.choices,
        )
    except NotInstalledError as error:
        outcome.drop(part.benchmark, "not_installed", str(error))
        return
    samples = [_sample(opened, item, None, []) for item in items]
    for sample, answer in zip(samples, said, strict=True):
        sample.answer = answer
    judge(part, samples, [name for name in opened.card.scored_metrics if name in _PREDICTED], tools, title=system)
    outcome.take(part)


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
