"""Batches of packed rows for the training loop, and held-out batches, read from memory-mapped sequence shards.

Reads    sequences.v1
Gives    `Batch`: ids [B, S, 9] and what each position is; several examples a row, told apart by `document_ids`

Every rank plans the whole step (positions only) and reads the rows `rank, rank + world, …` of it, so the order
knows of no rank.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.sequence.condition_dropout import without_condition
from uniaudio.sequence.layout import Grid, grid_of, lay_out, segments_of
from uniaudio.sequence.packing import PADDING_DOCUMENT, pack_rows
from uniaudio.sequence.segments import Segment
from uniaudio.sequence.targets import Targets, code_ranges, targets_of, with_targets_alone
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.stages.config import PreferenceConfig, StageConfig
from uniaudio.tasks import TASKS
from uniaudio.training.lm.order import Draw, StepPlan, random_unit
from uniaudio.training.lm.pairs import pair_of
from uniaudio.training.lm.steps import stage_order
from uniaudio.training.sequences.dataset import TRAIN_SPLIT, SequenceSet
from uniaudio.training.sequences.examples import Examples
from uniaudio.training.sequences.shard import Document

# Shapes: B rows, S positions

NUM_COLUMNS = 9
"""Columns of a position: eight audio ids and a text id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    ids_BS9: Tensor
    """int64; columns 0..7 audio, 8 text."""
    is_audio_BS: Tensor
    is_text_BS: Tensor
    """bool; padding is neither."""
    loss_BS: Tensor
    """bool: the position is a target."""
    document_ids_BS: Tensor
    """int64: which example of the row; `PADDING_DOCUMENT` for padding."""
    groups_BS: Tensor | None = None
    """int64: the mixture group of the example, for losses that are told by group; None where none are."""
    num_groups: int = 0
    code_ranges: tuple[range, ...] = ()
    """Ranges of ids of codes: a code is rated over those of its own range, which are the legal ones, and where none are named over all ids."""

    def to(self, device: str | torch.device) -> "Batch":
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """The batch in pinned memory, from which a card copies while it computes."""
        return self._each(lambda tensor: tensor.pin_memory())

    def rows(self, first: int, last: int) -> "Batch":
        """Rows `first:last`, cut to the longest of them."""
        is_used_BS = self.document_ids_BS[first:last] != PADDING_DOCUMENT
        length = max(2, int(is_used_BS.sum(dim=1).max()))
        return self._each(lambda tensor: tensor[first:last, :length])

    @classmethod
    def padding(cls) -> "Batch":
        """One row without an example."""
        grid_BS = torch.zeros(1, 2, dtype=torch.bool)
        return cls(
            ids_BS9=torch.zeros(1, 2, NUM_COLUMNS, dtype=torch.int64),
            is_audio_BS=grid_BS,
            is_text_BS=grid_BS,
            loss_BS=grid_BS,
            document_ids_BS=torch.full((1, 2), PADDING_DOCUMENT),
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        names = ("ids_BS9", "is_audio_BS", "is_text_BS", "loss_BS", "document_ids_BS")
        groups_BS = None if self.groups_BS is None else change(self.groups_BS)
        tensors: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **tensors, groups_BS=groups_BS)

    def of_groups(self, groups: list[list[int]], num_groups: int) -> "Batch":
        """The batch with the mixture group of each example of each row."""
        most = max([1, *map(len, groups)])
        rows = [row + [0] * (most - len(row)) for row in groups]
        table_BK = torch.tensor(rows, dtype=torch.int64).view(len(groups), most)
        groups_BS = table_BK.gather(1, self.document_ids_BS.clamp(min=0))
        return replace(self, groups_BS=groups_BS, num_groups=num_groups)

    def __len__(self) -> int:
        return len(self.ids_BS9)


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """One example a row, and the recording behind each."""

    batch: Batch
    recordings: list[str]
    targets: list[Targets]
    """What of each carries loss."""


def collate(rows: list[list[Grid]], context: int) -> Batch:
    """Lay grids one behind the other in rows of `context` positions. A rank of a step with fewer rows than ranks has none."""
    packed = pack_rows(rows, context)
    return Batch(
        ids_BS9=torch.from_numpy(packed.ids),
        is_audio_BS=torch.from_numpy(packed.is_audio),
        is_text_BS=torch.from_numpy((packed.document_ids != PADDING_DOCUMENT) & ~packed.is_audio),
        loss_BS=torch.from_numpy(packed.loss),
        document_ids_BS=torch.from_numpy(packed.document_ids),
    )


class MixtureData:
    """The training stream of one stage: `next_step` plans a step, `read` makes the rows of one rank."""

    def __init__(self, sequences: SequenceSet, vocabulary: Vocabulary, stage: StageConfig, seed: int) -> None:
        stated = sequences.metadata.get("vocabulary_fingerprint", vocabulary.fingerprint)
        vocabulary.require(stated, f"Sequences {sequences.content_id[:8]}")
        self.sequences, self.vocabulary, self.stage = sequences, vocabulary, stage
        self.groups: Mapping[str, Examples]
        self.groups, self.order = stage_order(sequences, stage, seed)
        self.group_names = sorted(self.groups)

    def next_step(self) -> StepPlan:
        return self.order.next_step()

    def read(self, plan: StepPlan, *, rank: int = 0, world_size: int = 1) -> Batch:
        """The rows of `rank`: row `rank`, `rank + world_size`, … of the step."""
        rows = plan.rows[rank::world_size]
        documents = iter(self._documents([draw for row in rows for draw in row]))
        laid_out = [[(draw.group, self._grids(draw, next(documents))) for draw in row] for row in rows]
        batch = collate([[grid for _, grids in row for grid in grids] for row in laid_out], self.stage.context)
        groups = [[self.group_names.index(name) for name, grids in row for _ in grids] for row in laid_out]
        return batch.of_groups(groups, len(self.group_names))

    def trained_tasks(self, position: Mapping[str, Any]) -> list[str]:
        """Names, sorted, of the tasks with an example in the steps before a position (`MixtureOrder.state`)."""
        return sorted(set().union(*(self._trained_tasks(position, group) for group in position["groups"])))

    def _trained_tasks(self, position: Mapping[str, Any], group: str) -> set[str]:
        """Draws are looked at until each task of the group is found, which few of them do."""
        index, places = self.sequences.index, self.groups[group].places
        tasks = {task for stratum in index.of((TRAIN_SPLIT,)) if stratum.mixture == group for task in stratum.tasks}
        found: set[str] = set()
        for number in self.order.drawn_before(position, group):
            found.add(index.tasks[index.task[places[number]]])
            if found == tasks:
                break
        return found

    def _documents(self, draws: list[Draw]) -> list[Document]:
        places = (self.groups[draw.group].places[draw.index] for draw in draws)
        return self.sequences.documents_at(np.fromiter(places, np.int64, len(draws)))

    def _grids(self, draw: Draw, document: Document) -> list[Grid]:
        grids = self._laid_out(document.segments())
        is_dropped = self._drops_condition(draw) and (
            random_unit(self.order.key, draw.epoch, draw.number) < self.stage.condition_dropout
        )
        return [without_condition(grid, self.vocabulary) if is_dropped else grid for grid in grids]

    def _drops_condition(self, draw: Draw) -> bool:
        """Whether guidance at inference is for the example's task; a task that is not known has none."""
        index = self.sequences.index
        task = TASKS.get(index.tasks[index.task[self.groups[draw.group].places[draw.index]]])
        return task is not None and task.drops_condition

    def _laid_out(self, segments: list[Segment]) -> list[Grid]:
        """The documents of an example: itself, or its halves where the stage learns from pairs."""
        return [*pair_of(segments)] if isinstance(self.stage, PreferenceConfig) else [lay_out(segments)]

    def sequence_ids(self, plan: StepPlan) -> list[str]:
        """The examples of a step, in the order of its rows: the way from a step back to its sources."""
        return [self.sequences.sequence_id(self.groups[draw.group], draw.index) for row in plan.rows for draw in row]

    def held_out(self) -> dict[str, HeldOutRows]:
        """The first held-out examples of each task that the mixture draws from, one a row."""
        rows_of_task: dict[str, HeldOutRows] = {}
        for task, examples in self.sequences.held_out(max_length=self.stage.context).items():
            count = min(len(examples), self.stage.num_held_out)
            rows = [self.sequences.row(examples, index) for index in range(count)]
            if not any(self._is_drawn(row.mixture) for row in rows):
                continue
            rows_of_task[task] = self._rated(rows)
        return rows_of_task

    def _rated(self, rows: list[Sequence]) -> HeldOutRows:
        """Rows with loss on their targets alone."""
        grids = [
            [with_targets_alone(grid, self.vocabulary) for grid in self._laid_out(list(segments_of(row)))]
            for row in rows
        ]
        batch = collate(grids, max(sum(map(len, some)) for some in grids))
        targets = [targets_of(grid_of(row), self.vocabulary) for row in rows]
        return HeldOutRows(
            replace(batch, code_ranges=code_ranges(self.vocabulary)), self.sequences.recordings(rows), targets
        )

    def too_long(self) -> list[tuple[str, int]]:
        """(sequence id, positions) of the training examples of this stage's mixture that no row can hold."""
        groups = [group for group in self.sequences.group_names if self._is_drawn(group)]
        return self.sequences.too_long(groups, max_length=self.stage.context)

    def _is_drawn(self, group: str) -> bool:
        return any(phase.weight_of(group) > 0 for phase in self.stage.mixture)

    def state(self) -> dict[str, Any]:
        return self.order.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.order.restore(state)
