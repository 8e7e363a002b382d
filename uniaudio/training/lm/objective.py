"""A stage of the language model as the training loop sees it.

A step's rows are shared out over the ranks and computed some at a time; each loss is divided by the step's own counts of
targets over all ranks, so that the gradients add up to those of one rank.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.blocks import Block
from uniaudio.lm.model import UniAudioLM
from uniaudio.products import EveryLinear
from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.chance import UNIFORM, UNIGRAM, Chance, Unigram, trained_targets
from uniaudio.training.lm.data import Batch, MixtureData
from uniaudio.training.lm.distillation import DECODER, CodecTeacher, Distillation
from uniaudio.training.lm.freezing import freeze_all_but, set_train_mode
from uniaudio.training.lm.losses import LossModel, LossSums, LossWeights, count_targets, group_counts, total_loss
from uniaudio.training.lm.metrics import SequenceLoss, held_out_losses, mean_loss
from uniaudio.training.lm.speed import Speed
from uniaudio.training.lm.stream import Stream
from uniaudio.training.optim import ParameterGroup
from uniaudio.training.processes import Processes
from uniaudio.training.run import HELD_OUT_LOSS
from uniaudio.training.sharding import shard, sums_gradients

HELD_OUT = f"{HELD_OUT_LOSS}/"
"""Begins the names of held-out curves; a task follows."""
GROUP_LOSS = "loss/"
"""Begins the names of losses of a step's own examples; a mixture group follows. A frame counts as its 8 tokens, as in those held
out."""


class StageObjective:
    """`UniAudioLM` under one stage; changes `model` in place."""

    ROOT: type[LossModel] = LossModel
    """The forward pass that ranks share."""

    def __init__(
        self,
        model: UniAudioLM,
        stage: StageConfig,
        data: MixtureData,
        *,
        teacher: CodecTeacher | None = None,
        device: str = "cpu",
        shard_over: int = 0,
    ) -> None:
        self.model, self.stage, self.data, self.device = model, stage, data, torch.device(device)
        self.processes = Processes.current()
        self.is_sharded = self.processes.world_size > 1 and shard_over != 1
        if not self.is_sharded:
            model.to(self.device)
        model.set_recomputation(stage.recompute)
        if stage.compile_blocks:
            model.compile_blocks()
        self.distillation = _distillation(model, stage, data, teacher)
        if teacher is not None:
            teacher.to(self.device)
        self.trains = (*stage.trains, DECODER) if self.distillation else stage.trains
        freeze_all_but(model, self.trains)
        self.root = self.ROOT(model, self.distillation)
        if self.is_sharded:
            shard(self.root, blocks_of(model), device=self.device, shard_over=shard_over, precision=stage.precision)
        # Sharding replaced the parameters.
        self._parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self.modules = nn.ModuleDict({"model": model})
        self.weights = LossWeights(text=stage.text_weight, audio=stage.audio_weight, streams=stage.stream_weights)
        self.stream = Stream(data, self.processes, pins=self.device.type == "cuda")
        self._held_out_rows = data.held_out()
        self.chances = self._chances()
        """Task -> what chance gives on its held-out rows."""
        self.held_out_losses: dict[str, list[SequenceLoss]] = {}
        """Losses of the last evaluation on held-out rows."""
        self._values: dict[str, float] = {}
        self._stream_losses: list[float] = []
        self._group_losses: dict[str, float] = {}
        self.speed = Speed(model.config, stage.trains, stage.precision, self.device)

    def described(self) -> dict[str, Any]:
        return {"model": self.model.config.to_json()}

    def groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(parameters={f"model.{name}": one for name, one in self._parameters.items()})]

    def losses(self, step: int) -> Iterator[Tensor]:
        micro = self._micro_batches(self.stream.next())
        self.speed.count(micro)
        counts = self._counts(micro)
        num_groups, num_streams = len(self.data.group_names), len(self.stage.stream_weights)
        num_targets, num_distilled = (int(counts[0]), int(counts[1])), max(1, int(counts[2]))
        sums = torch.zeros(2 + num_streams + num_groups, dtype=torch.float64, device=self.device)
        if num_targets != (0, 0):
            for number, batch in enumerate(micro):
                sums_gradients(self.root, number == len(micro) - 1)
                part, distance = self._forward(batch.to(self.device), has_audio=bool(counts[3 + number]))
                loss = total_loss(part, self.weights, num_targets)
                if self.distillation is not None:
                    loss = loss + self.stage.distillation_weight * distance / num_distilled
                yield loss
                parts = [part.text.detach()[None], distance.detach()[None], part.audio_Q.detach()]
                group_sums_G = self.root.group_sums_G if batch.num_groups else sums[2 + num_streams :] * 0
                sums += torch.cat([*(one.double() for one in parts), group_sums_G.double()])
        self.processes.sum(sums)
        self._values = self._described_losses(sums[: 2 + num_streams], num_targets, num_distilled)
        group_sums = zip(
            self.data.group_names, sums[2 + num_streams :].tolist(), counts[-num_groups:].tolist(), strict=True
        )
        self._group_losses = {name: total / count for name, total, count in group_sums if count}

    def values(self) -> dict[str, float]:
        return self._values

    def gauges(self) -> dict[str, float]:
        """Speed and padding of all ranks, as this one's rows show them; loss of each stream and, in nats a token, of each mixture
        group of the step; what held-out losses stand beside; memory of a card."""
        values = {
            **self.speed.gauges(self.processes.world_size),
            "waiting_share": self.stream.waiting_share,
            **{f"audio_loss_{stream}": loss for stream, loss in enumerate(self._stream_losses)},
            **{f"{GROUP_LOSS}{name}": loss for name, loss in self._group_losses.items()},
            **{f"{UNIFORM}{task}": chance.uniform for task, chance in self.chances.items()},
            **{f"{UNIGRAM}{task}": chance.unigram for task, chance in self.chances.items()},
        }
        if self.device.type == "cuda":
            values["peak_memory_gb"] = torch.cuda.max_memory_allocated(self.device) / 1e9
        return values

    def finish_step(self) -> None:
        """Nothing but parameters learns."""

    def held_out(self, step: int) -> Mapping[str, float]:
        self.model.eval()
        with EveryLinear():
            self.held_out_losses = held_out_losses(self.root, self._held_out_rows, self.device)
        set_train_mode(self.model, self.trains)
        return {f"{HELD_OUT}{task}": mean_loss(losses) for task, losses in self.held_out_losses.items()}

    def _chances(self) -> dict[str, Chance]:
        """Each rank counts its share of the training examples."""
        chances = {}
        for task, rows in self._held_out_rows.items():
            unigram = Unigram(self.data.vocabulary)
            unigram.count(trained_targets(self.data.sequences, self.data.vocabulary, task, self.processes.mine))
            unigram.add_up(self.processes, self.device)
            chance = unigram.chance(rows.targets)
            if chance is not None:
                chances[task] = chance
        return chances

    def position(self) -> dict[str, Any]:
        return self.stream.position

    def restore(self, position: Mapping[str, Any]) -> None:
        self.stream.restore(position)

    def close(self) -> None:
        self.stream.close()
        if self.distillation:
            self.distillation.close()

    def _micro_batches(self, batch: Batch) -> list[Batch]:
        """The batch in passes, equally many on each rank. A rank without rows left computes padding, since all take part in each pass."""
        most_rows = -(-self.stage.num_rows // self.processes.world_size)
        starts = range(0, most_rows, self.stage.micro_rows)
        parts = [batch.rows(first, first + self.stage.micro_rows) for first in starts if first < len(batch)]
        return parts + [Batch.padding() for _ in range(len(starts) - len(parts))]

    def _counts(self, micro: list[Batch]) -> Tensor:
        """Sums over all ranks: text targets, audio targets, distilled frames, for each pass the number of ranks with audio, and for
        each group the tokens behind its reported loss."""
        targets = [count_targets(batch, self.stage.normalization) for batch in micro]
        distilled = 0
        if self.distillation is not None:
            distilled = sum(self.distillation.count(batch.to(self.device)) for batch in micro)
        has_audio = [int(batch.is_audio_BS.any()) for batch in micro]
        numbers = [sum(text for text, _ in targets), sum(audio for _, audio in targets), distilled, *has_audio]
        some = [group_counts(batch, self._tokens_a_frame()) for batch in micro if batch.num_groups]
        group_sums = sum(some, torch.zeros(len(self.data.group_names), dtype=torch.int64))
        return self.processes.sum(torch.cat([torch.tensor(numbers), group_sums]).to(self.device)).cpu()

    def _tokens_a_frame(self) -> int:
        return len(self.stage.stream_weights) if self.stage.audio_weight else 0

    def _forward(self, batch: Batch, *, has_audio: bool) -> tuple[LossSums, Tensor]:
        """The sums, and that of the distillation loss (0 without one)."""
        # Sharded blocks compute in the precision that they gather their weights in.
        is_half = self.stage.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_half):
            text, audio_Q, distance = self.root(batch, with_audio=self.stage.audio_weight != 0, has_audio=has_audio)
        num_text, num_audio = count_targets(batch, self.stage.normalization)
        return LossSums(text=text, num_text=num_text, audio_Q=audio_Q, num_audio=num_audio), distance

    def _described_losses(self, sums: Tensor, counts: tuple[int, int], num_distilled: int) -> dict[str, float]:
        stage, num_streams = self.stage, len(self.stage.stream_weights)
        text, audio_Q = sums[0] / max(counts[0], 1), sums[2:] / max(counts[1], 1)
        self._stream_losses = audio_Q.tolist() if counts[1] and stage.audio_weight else []
        weighted = float((audio_Q * audio_Q.new_tensor(stage.stream_weights)).sum()) / num_streams
        values = {"loss": stage.text_weight * float(text) + stage.audio_weight * weighted}
        values |= {"text_loss": float(text)} if counts[0] else {}
        values |= {"audio_loss": float(audio_Q.mean())} if counts[1] and stage.audio_weight else {}
        if self.distillation is not None:
            values["distillation_loss"] = float(sums[1]) / num_distilled
            values["loss"] += stage.distillation_weight * values["distillation_loss"]
        return values


def _distillation(
    model: UniAudioLM, stage: StageConfig, data: MixtureData, teacher: CodecTeacher | None
) -> Distillation | None:
    if not stage.distillation_weight:
        return None
    if teacher is None:
        raise UsageError("`teacher` must be given where `distillation_weight` is not 0.")
    return Distillation(model, teacher, stage.distillation_weight, int.from_bytes(data.order.key[:4], "big"))


def blocks_of(model: UniAudioLM) -> list[nn.Module]:
    """Blocks of the trunk, in the order in which every pass calls them. Those of the local decoder belong to the root."""
    stacks = (model.understanding_expert, model.backbone, model.generation_expert)
    return [module for stack in stacks for module in stack.modules() if isinstance(module, Block)]
