"""Preference tuning: of two answers to one request the better one becomes likelier, the worse one less likely.

margin   of a pair: by how many nats the model prefers the chosen answer to the rejected one more than the reference does
loss     mean over the pairs of a step of -log sigmoid(beta * margin)            (Rafailov et al. 2023, arXiv 2305.18290)

The reference is what the stage starts from: a frozen copy, as sharded as the model, which computes beside it. So it needs neither
a pass over all pairs before nor a place to keep what that gave, and is there again when a run is resumed, since whoever resumes
gives the same weights to start from.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import cross_entropy, logsigmoid

from uniaudio.lm.model import UniAudioLM
from uniaudio.products import EveryLinear
from uniaudio.stages.config import PreferenceConfig
from uniaudio.training.lm.data import Batch, HeldOutRows, MixtureData
from uniaudio.training.lm.freezing import set_train_mode
from uniaudio.training.lm.losses import (
    LossModel,
    audio_losses,
    depth_modules,
    in_chunks,
    legal_logits,
    predictions,
    target_masks,
    touched,
)
from uniaudio.training.lm.metrics import SequenceLoss, mean_loss
from uniaudio.training.lm.objective import HELD_OUT, StageObjective, blocks_of
from uniaudio.training.sharding import shard, sums_gradients

# Shapes: B rows, K documents a row (even), P pairs a row, S positions, M text targets, N audio targets, Q streams, D width

MARGIN, ACCURACY = "held_out_margin/", "held_out_accuracy/"
"""Begin the names of held-out curves; a task follows. Nats, and the share of pairs whose margin is above 0."""
_SAMPLED = 64
"""Numbers of each tensor that tell one start from another."""


class PairModel(LossModel):
    """A `LossModel` by document: `forward` gives log-likelihoods (nats) of the targets of each document, of text and of audio,
    where a frame counts as its codes; `[B * K]`, row by row."""

    def forward(
        self, batch: Batch, *, with_audio: bool = True, has_audio: bool | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        model, num_columns = self.model, num_documents(batch)
        predicted, num_sums = predictions(model, batch, has_audio=has_audio), len(batch) * num_columns
        first_B = torch.arange(0, num_sums, num_columns, device=batch.ids_BS9.device)
        sum_BS = first_B[:, None] + batch.document_ids_BS[:, 1:]

        def of_text(hidden_MD: Tensor, targets_M2: Tensor) -> Tensor:
            logits = model.text_logits(hidden_MD).float()
            return _added(cross_entropy(logits, targets_M2[:, 0], reduction="none"), targets_M2[:, 1], num_sums)

        def of_audio(states_NQC: Tensor, targets_NR: Tensor) -> Tensor:
            codes_NQ = targets_NR[:, :-1]
            losses_QN = audio_losses(legal_logits(model.audio_head(states_NQC), codes_NQ, batch.code_ranges), codes_NQ)
            return _added(losses_QN.sum(0), targets_NR[:, -1], num_sums)

        text = touched(predicted.zero, model.text_head).repeat(num_sums)
        if len(predicted.tokens_M):
            targets = torch.stack([predicted.tokens_M, sum_BS[predicted.text_BS]], 1)
            text = in_chunks(of_text, predicted.hidden_MD, targets, num_logits=model.config.text_size)
        audio = touched(predicted.zero, *depth_modules(model)).repeat(num_sums)
        if len(predicted.codes_NQ):
            targets = torch.cat([predicted.codes_NQ, sum_BS[predicted.audio_BS][:, None]], 1)
            states = model.audio_states(predicted.hidden_ND, predicted.codes_NQ)
            num_logits = model.config.num_codebooks * model.config.audio_size
            audio = in_chunks(of_audio, states, targets, num_logits=num_logits)
        # Flat: a view would lose what a sharded root waits for.
        return text, audio, predicted.zero


def _added(losses: Tensor, sums: Tensor, num_sums: int) -> Tensor:
    """`[num_sums]`: minus the losses, each in its sum."""
    return losses.new_zeros(num_sums).index_add(0, sums, -losses)


def num_documents(batch: Batch) -> int:
    """K: of the row with the most, 2 where there is none."""
    return max(2, int(batch.document_ids_BS.max()) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """The pairs of a batch, in its order, without what fills rows up."""

    chosen_P: Tensor
    """Log-likelihood (nats) under the model, less that under the reference."""
    rejected_P: Tensor
    likelihood_P: Tensor
    """Log-likelihood (nats) of the chosen answers under the model."""

    def margins(self) -> Tensor:
        """`[P]`: by how many nats more than the reference the model prefers what was chosen."""
        return self.chosen_P - self.rejected_P


def preference_loss_sum(pairs: Pairs, beta: float) -> Tensor:
    """Scalar: the sum over the pairs of -log sigmoid(beta * margin)."""
    return -logsigmoid(beta * pairs.margins()).sum()


class PreferenceObjective(StageObjective):
    """`UniAudioLM` under a stage of pairs; changes `model` in place."""

    ROOT = PairModel

    def __init__(
        self,
        model: UniAudioLM,
        stage: PreferenceConfig,
        data: MixtureData,
        *,
        device: str = "cpu",
        shard_over: int = 0,
    ) -> None:
        reference = deepcopy(model).requires_grad_(False).eval()
        self._start = fingerprint_of(model)
        super().__init__(model, stage, data, device=device, shard_over=shard_over)
        self.beta, self.chosen_weight = stage.beta, stage.chosen_weight
        if stage.compile_blocks:
            reference.compile_blocks()
        self.reference = PairModel(reference)
        if self.is_sharded:
            shard(
                self.reference,
                blocks_of(reference),
                device=self.device,
                shard_over=shard_over,
                precision=stage.precision,
            )
        else:
            reference.to(self.device)

    def described(self) -> dict[str, Any]:
        """The description with the reference in it: a run resumed from other weights would be measured against another reference."""
        return {**super().described(), "reference": self._start}

    def losses(self, step: int) -> Iterator[Tensor]:
        micro = self._micro_batches(self.stream.next())
        self.speed.count(micro)
        num_pairs, num_targets, *has_audio = self._pair_counts(micro)
        sums = torch.zeros(6, dtype=torch.float64, device=self.device)
        if num_pairs:
            for number, batch in enumerate(micro):
                sums_gradients(self.root, number == len(micro) - 1)
                pairs = self._pairs(batch.to(self.device), has_audio=bool(has_audio[number]))
                loss = preference_loss_sum(pairs, self.beta) / num_pairs
                yield loss - self.chosen_weight * pairs.likelihood_P.sum() / max(num_targets, 1)
                sums += _told(pairs, float(loss.detach()))
        self.processes.sum(sums)
        loss, margin, accuracy, chosen_ratio, rejected_ratio, likelihood = sums.tolist()
        count = max(num_pairs, 1)
        self._values = {
            "loss": loss - self.chosen_weight * likelihood / max(num_targets, 1),
            "margin": margin / count,
            "accuracy": accuracy / count,
            "chosen_ratio": chosen_ratio / count,
            "rejected_ratio": rejected_ratio / count,
            "chosen_loss": -likelihood / max(num_targets, 1),
        }

    def held_out(self, step: int) -> Mapping[str, float]:
        self.model.eval()
        points: dict[str, float] = {}
        self.held_out_losses = {}
        with EveryLinear(), torch.no_grad():
            for task in self.chances:
                rows = self._held_out_rows[task]
                losses, margins = zip(*(self._held_out_pair(rows, row) for row in range(len(rows.batch))), strict=True)
                self.held_out_losses[task] = [*losses]
                points[f"{HELD_OUT}{task}"] = mean_loss(losses)
                points[f"{MARGIN}{task}"] = sum(margins) / len(margins)
                points[f"{ACCURACY}{task}"] = sum(margin > 0 for margin in margins) / len(margins)
        set_train_mode(self.model, self.trains)
        return points

    def _held_out_pair(self, rows: HeldOutRows, row: int) -> tuple[SequenceLoss, float]:
        """Loss of the chosen answer, and the pair's margin."""
        batch = rows.batch.rows(row, row + 1).to(self.device)
        pairs = self._pairs(batch, has_audio=bool(batch.is_audio_BS.any()), autocasts=False)
        num_targets = int(chosen_targets(batch))
        return SequenceLoss(-float(pairs.likelihood_P), num_targets, rows.recordings[row]), float(pairs.margins())

    def _pairs(self, batch: Batch, *, has_audio: bool, autocasts: bool = True) -> Pairs:
        """The reference first: what it computed is gone before the model's pass keeps anything. Its products are those of training."""
        with torch.no_grad(), EveryLinear():
            known_BK = self._likelihoods(self.reference, batch, has_audio, autocasts)
        if isinstance(self.reference, FSDPModule):
            # No backward pass gives up what the root gathered.
            self.reference.reshard()
        likelihood_BK = self._likelihoods(self.root, batch, has_audio, autocasts)
        ratio_BP2 = (likelihood_BK - known_BK).unflatten(1, (-1, 2))
        is_pair_BP = is_pair(batch)
        return Pairs(
            chosen_P=ratio_BP2[..., 0][is_pair_BP],
            rejected_P=ratio_BP2[..., 1][is_pair_BP],
            likelihood_P=likelihood_BK[:, ::2][is_pair_BP],
        )

    def _likelihoods(self, root: nn.Module, batch: Batch, has_audio: bool, autocasts: bool) -> Tensor:
        is_half = autocasts and self.stage.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_half):
            text, audio, _ = root(batch, has_audio=has_audio)
        likelihood_BK: Tensor = (text + audio).view(len(batch), -1)
        return likelihood_BK

    def _pair_counts(self, micro: list[Batch]) -> list[int]:
        """Sums over all ranks: pairs, targets of chosen answers, and for each pass the number of ranks that have audio."""
        num_pairs = sum(int(is_pair(batch).sum()) for batch in micro)
        num_targets = sum(int(chosen_targets(batch)) for batch in micro)
        numbers = [num_pairs, num_targets, *(int(batch.is_audio_BS.any()) for batch in micro)]
        totals: list[int] = self.processes.sum(torch.tensor(numbers, device=self.device)).tolist()
        return totals


def is_pair(batch: Batch) -> Tensor:
    """`[B, P]` bool: whether a row has so many pairs."""
    chosen_P = torch.arange(0, num_documents(batch), 2, device=batch.ids_BS9.device)
    return batch.document_ids_BS.amax(1)[:, None] > chosen_P


def chosen_targets(batch: Batch) -> Tensor:
    """Scalar: text tokens, and codes of frames, of all chosen answers."""
    text_BS, audio_BS, _ = target_masks(batch)
    is_chosen_BS = batch.document_ids_BS[:, 1:] % 2 == 0
    return (text_BS & is_chosen_BS).sum() + (batch.ids_BS9.shape[2] - 1) * (audio_BS & is_chosen_BS).sum()


def _told(pairs: Pairs, loss: float) -> Tensor:
    """What is summed over micro-batches and ranks."""
    margin_P = pairs.margins().detach()
    parts = (
        margin_P,
        (margin_P > 0).to(margin_P),
        pairs.chosen_P.detach(),
        pairs.rejected_P.detach(),
        pairs.likelihood_P.detach(),
    )
    return torch.stack(
        [torch.as_tensor(loss, device=margin_P.device).double(), *(part.double().sum() for part in parts)]
    )


def fingerprint_of(model: nn.Module) -> str:
    """32 hex digits over the first numbers of every tensor: what a stage started from."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0".encode() + tensor.detach().flatten()[:_SAMPLED].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]
