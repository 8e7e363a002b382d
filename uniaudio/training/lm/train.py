"""Train one stage of the language model. START HERE: `train_stage`.

Same data, stage, seed and kind of machine: the same weights, bit for bit, however often the run was killed and
resumed. Works alone, or on every rank of a `torch.distributed` group (under torchrun, or under Ray Train):
gradients are summed over ranks and divided by the step's own counts.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.model import UniAudioLM
from uniaudio.products import EveryLinear
from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from uniaudio.training.lm.data import Batch, MixtureData
from uniaudio.training.lm.distillation import DECODER, CodecTeacher, Distillation
from uniaudio.training.lm.losses import LossSums, LossWeights, count_targets, loss_sums, total_loss
from uniaudio.training.lm.metrics import HeldOut, OnProgress, Progress, SequenceLoss, held_out_losses, mean_loss
from uniaudio.training.lm.optim import freeze_all_but, learning_rate, make_optimizer

log = logging.getLogger(__name__)

OnCheckpoint = Callable[[Path | None, TrainingState], None]
"""Called on every rank at every checkpoint; the folder (rank 0 only, None elsewhere) is gone when it returns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """What a finished stage leaves behind; the weights are in the model."""

    state: TrainingState
    ledger: Mapping[str, Mapping[str, int]]
    """Mixture group -> examples, positions and loss positions trained on."""
    num_drawn: int
    """Data position: examples drawn from the mixture."""
    held_out: Mapping[str, HeldOut]
    """By task."""


@contextmanager
def deterministic(num_threads: int) -> Iterator[None]:
    """Fixed thread count and deterministic kernels inside; the process' own settings come back after."""
    # cuBLAS reads it when its handle is made; without it deterministic mode refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(num_threads)
    # As `use_deterministic_algorithms(True)`, which also imports the compiler: seconds in every worker.
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)


def _rank_and_world_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _sum_over_ranks(tensor: Tensor, world_size: int) -> None:
    if world_size > 1:
        distributed.all_reduce(tensor)


def identity_of(stage: StageConfig, data: MixtureData, world_size: int) -> str:
    """Hash of everything that decides the bits of the run but the starting weights."""
    parts = [stage.to_dict(), data.order.key.hex(), data.vocabulary.fingerprint, world_size]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class _Trainer:
    """The state of a running stage."""

    def __init__(
        self, model: UniAudioLM, stage: StageConfig, data: MixtureData, teacher: CodecTeacher | None, device: str
    ) -> None:
        self.model, self.stage, self.data, self.device = model.to(device), stage, data, device
        self.rank, self.world_size = _rank_and_world_size()
        model.set_gradient_checkpointing(stage.recompute_activations)
        self.distillation: Distillation | None = None
        if stage.distillation_weight:
            if teacher is None:
                raise UsageError("`teacher` must be given where `distillation_weight` is not 0.")
            seed = int.from_bytes(data.order.key[:4], "big")
            self.distillation = Distillation(model, teacher, stage.distillation_weight, seed)
        self.trains = (*stage.trains, DECODER) if self.distillation else stage.trains
        self.parameters = freeze_all_but(model, self.trains)
        self.optimizer = make_optimizer(self.parameters, stage)
        self.weights = LossWeights(text=stage.text_weight, audio=stage.audio_weight, streams=stage.stream_weights)
        self.state = TrainingState(identity=identity_of(stage, data, self.world_size), stage=stage.name)
        self.held_out = data.held_out()

    def resume(self, folder: Path) -> None:
        self.state = load_checkpoint(folder, self.model, self.optimizer, self.parameters, self.state.identity)
        self.data.restore(self.state.data)
        log.info("%s resumes at step %d", self.stage.name, self.state.step)

    def held_out_losses(self) -> dict[str, list[SequenceLoss]]:
        self.model.eval()
        with EveryLinear():
            losses = held_out_losses(self.model, self.held_out, self.device)
        freeze_all_but(self.model, self.trains)
        return losses

    def close(self) -> None:
        if self.distillation:
            self.distillation.close()

    def step(self) -> dict[str, float]:
        """One optimizer step; returns its metrics."""
        batch = self.data.read(self.data.next_step(), rank=self.rank, world_size=self.world_size)
        counts = self._counts(batch)
        values = self._gradients(batch, counts)
        rate = learning_rate(self.state.step, self.stage)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = float(nn.utils.clip_grad_norm_(self.parameters.values(), self.stage.max_gradient_norm))
        is_usable = counts != (0, 0) and norm == norm and norm != float("inf")
        if is_usable:
            self.optimizer.step()
        else:
            self.state.num_skipped += 1
            log.warning(
                "%s step %d skipped: gradient norm %s, targets %s", self.stage.name, self.state.step, norm, counts
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.data = self.data.state()
        return {**values, "gradient_norm": norm, "learning_rate": rate, "num_skipped": self.state.num_skipped}

    def _counts(self, batch: Batch) -> tuple[int, int]:
        """Text and audio targets of the whole step, over all ranks."""
        counts = torch.tensor(count_targets(batch, self.stage.normalization), device=self.device)
        _sum_over_ranks(counts, self.world_size)
        return int(counts[0]), int(counts[1])

    def _gradients(self, batch: Batch, counts: tuple[int, int]) -> dict[str, float]:
        """Accumulate gradients over micro-batches, sum them over ranks; returns the step's losses."""
        num_streams = len(self.stage.stream_weights)
        sums = torch.zeros(1 + num_streams, dtype=torch.float64, device=self.device)
        distilled, num_frames = sums.new_zeros(1), self._num_distilled(batch)
        for first in range(0, len(batch), self.stage.micro_rows):
            part, distance = self._forward(batch.rows(first, first + self.stage.micro_rows).to(self.device))
            loss = total_loss(part, self.weights, counts)
            if distance is not None:
                loss = loss + self.stage.distillation_weight * distance / num_frames
                distilled += distance.detach()
            if loss.requires_grad:
                loss.backward()
            sums += torch.cat([part.text.detach()[None], part.audio_Q.detach()]).double()
        self._sum_gradients()
        _sum_over_ranks(sums, self.world_size)
        text, audio_Q = sums[0] / max(counts[0], 1), sums[1:] / max(counts[1], 1)
        weighted = float((audio_Q * audio_Q.new_tensor(self.stage.stream_weights)).sum()) / num_streams
        values = {"loss": self.stage.text_weight * float(text) + self.stage.audio_weight * weighted}
        values |= {"text_loss": float(text)} if counts[0] else {}
        values |= {"audio_loss": float(audio_Q.mean())} if counts[1] and self.stage.audio_weight else {}
        if self.distillation:
            _sum_over_ranks(distilled, self.world_size)
            values["distillation_loss"] = float(distilled) / num_frames
            values["loss"] += self.stage.distillation_weight * values["distillation_loss"]
        return values

    def _forward(self, batch: Batch) -> tuple[LossSums, Tensor | None]:
        """The sums, and that of the distillation loss where there is one."""
        use_bfloat16 = self.stage.precision == "bfloat16"
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=use_bfloat16):
            sums = loss_sums(self.model, batch, self.stage.normalization, with_audio=self.stage.audio_weight != 0)
            return sums, self.distillation.loss_sum(batch) if self.distillation else None

    def _num_distilled(self, batch: Batch) -> int:
        """Frames of the whole step, over all ranks, that the distillation loss is divided by; at least 1."""
        if self.distillation is None:
            return 1
        count = torch.tensor(self.distillation.count(batch.to(self.device)), device=self.device)
        _sum_over_ranks(count, self.world_size)
        return max(1, int(count))

    def _sum_gradients(self) -> None:
        # A head without targets has no gradient. With zeros it decays as every other, and on every rank alike.
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        _sum_over_ranks(flat, self.world_size)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def save(self, on_checkpoint: OnCheckpoint) -> None:
        if self.rank != 0:
            on_checkpoint(None, self.state)
            return
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / f"step-{self.state.step:08d}"
            save_checkpoint(folder, self.model, self.optimizer, self.parameters, self.state)
            on_checkpoint(folder, self.state)

    def note(self, values: Mapping[str, float]) -> None:
        self.state.metrics += [{"step": self.state.step, "name": name, "value": v} for name, v in values.items()]


def train_stage(
    model: UniAudioLM,
    stage: StageConfig,
    data: MixtureData,
    *,
    teacher: CodecTeacher | None = None,
    device: str = "cpu",
    resume_from: Path | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    on_progress: OnProgress | None = None,
) -> StageResult:
    """Train `model` in place to the end of `stage`, from its start or from the folder `resume_from`.

    `teacher`: what the stage distils from, where it does.
    """
    with deterministic(stage.num_threads):
        trainer = _Trainer(model, stage, data, teacher, device)
        try:
            if resume_from is not None:
                trainer.resume(resume_from)
            elif trainer.state.step == 0:
                before = trainer.held_out_losses()
                trainer.state.held_out_before = {task: mean_loss(losses) for task, losses in before.items()}
            _run(trainer, on_checkpoint, on_progress)
            after = trainer.held_out_losses()
        finally:
            trainer.close()
    return StageResult(
        state=trainer.state,
        ledger=data.order.ledger(),
        num_drawn=data.order.num_drawn,
        held_out={task: HeldOut.of(trainer.state.held_out_before[task], losses) for task, losses in after.items()},
    )


def _run(trainer: _Trainer, on_checkpoint: OnCheckpoint | None, on_progress: OnProgress | None) -> None:
    stage, state = trainer.stage, trainer.state
    started, first_step = time.monotonic(), trainer.state.step
    while state.step < stage.num_steps:
        values = trainer.step()
        is_last = state.step == stage.num_steps
        if state.step == 1 or state.step % stage.log_every == 0 or is_last:
            trainer.note(values)
            speed = (state.step - first_step) / max(time.monotonic() - started, 1e-9)
            progress = Progress(
                stage=stage.name,
                step=state.step,
                num_steps=stage.num_steps,
                metrics={**values, "steps_per_second": speed},
            )
            log.info("%s", progress.line())
            if on_progress is not None:
                on_progress(progress)
        if on_checkpoint is not None and (state.step % stage.checkpoint_every == 0 or is_last):
            trainer.save(on_checkpoint)
