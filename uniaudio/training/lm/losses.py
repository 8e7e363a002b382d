"""The two losses of the language model and how they are weighted.

A position predicts its successor: the target at position t + 1 counts when its segment carries loss and its
predecessor belongs to the same document. Sums and counts are kept apart, so that micro-batches and workers add up
to the same loss and an empty head gives 0, not NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.lm.config import MAX_LOGITS
from uniaudio.lm.recomputation import recomputed

if TYPE_CHECKING:
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.training.lm.data import Batch
    from uniaudio.training.lm.distillation import Distillation

# Shapes: B rows, S positions, M text targets, N audio targets, Q streams, V ids, D width

Normalization = Literal["loss_frames", "all_frames"]
"""What the audio loss is divided by: the frames that carry loss, or every audio target of the batch (the authors' way,
which lets the audio loss shrink with the share of understanding audio in the batch)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSums:
    """Summed negative log likelihood (nats) of a batch and the number of targets behind it."""

    text: Tensor
    """Sum over text targets, a scalar."""
    num_text: int
    audio_Q: Tensor
    num_audio: int
    """Audio frames the sums are divided by, under the chosen normalization."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    text: float
    audio: float
    streams: tuple[float, ...]
    """One weight a stream; their sum is divided by the number of streams, as the authors do."""


def text_losses(logits_MV: Tensor, targets_M: Tensor) -> Tensor:
    """Cross-entropy (nats) of `[M, V]` logits: `[M]` float32."""
    return functional.cross_entropy(logits_MV.float(), targets_M, reduction="none")


def text_loss_sum(logits_MV: Tensor, targets_M: Tensor) -> Tensor:
    """Summed cross-entropy (nats, float32 scalar) of `[M, V]` logits."""
    return text_losses(logits_MV, targets_M).sum()


def audio_losses(logits_NQV: Tensor, codes_NQ: Tensor) -> Tensor:
    """Cross-entropy (nats) of each stream: `[N, Q, V]` logits -> `[Q, N]` float32."""
    return functional.cross_entropy(logits_NQV.float().permute(0, 2, 1), codes_NQ, reduction="none").T


def audio_loss_sums(logits_NQV: Tensor, codes_NQ: Tensor) -> Tensor:
    """Summed cross-entropy (nats) of each stream: `[N, Q, V]` logits -> `[Q]` float32."""
    return audio_losses(logits_NQV, codes_NQ).sum(dim=1)


def legal_logits(logits_NQV: Tensor, codes_NQ: Tensor, code_ranges: Sequence[range]) -> Tensor:
    """`logits_NQV` over the ids of the range that each code lies in, all others impossible; as they are where there are no ranges, which
    ascend."""
    if not code_ranges:
        return logits_NQV
    edges = torch.tensor([edge for ids in code_ranges for edge in (ids.start, ids.stop)], device=logits_NQV.device)
    zones_V = torch.bucketize(torch.arange(logits_NQV.shape[2], device=logits_NQV.device), edges, right=True)
    return logits_NQV.masked_fill(zones_V[codes_NQ][..., None] != zones_V, -torch.inf)


def target_masks(batch: "Batch") -> tuple[Tensor, Tensor, Tensor]:
    """Which of the S - 1 predictions count: text with loss, audio with loss, all audio; each `[B, S - 1]` bool."""
    inside_BS = batch.document_ids_BS[:, 1:] == batch.document_ids_BS[:, :-1]
    audio_BS = batch.is_audio_BS[:, 1:] & inside_BS
    text_BS = batch.is_text_BS[:, 1:] & inside_BS
    loss_BS = batch.loss_BS[:, 1:]
    return text_BS & loss_BS, audio_BS & loss_BS, audio_BS


def count_targets(batch: "Batch", normalization: Normalization) -> tuple[int, int]:
    """Text tokens and audio frames the two losses of this batch are divided by."""
    text_BS, audio_BS, all_audio_BS = target_masks(batch)
    frames_BS = audio_BS if normalization == "loss_frames" else all_audio_BS
    return int(text_BS.sum()), int(frames_BS.sum())


def group_counts(batch: "Batch", tokens_a_frame: int) -> Tensor:
    """`[G]` int64: tokens behind the loss of each group."""
    assert batch.groups_BS is not None, "it was read from a mixture"
    text_BS, audio_BS, _ = target_masks(batch)
    weight_BS = text_BS.long() + tokens_a_frame * audio_BS.long()
    counts_G = torch.zeros(batch.num_groups, dtype=torch.int64, device=weight_BS.device)
    return counts_G.index_add(0, batch.groups_BS[:, 1:].flatten(), weight_BS.flatten())


class LossModel(nn.Module):
    """Model and losses in ONE forward pass: what `fully_shard` takes as its root, and what every rank of a step calls.

    Sharded weights are whole inside a forward pass alone, so the heads and the distillation decoder run in it too. Every rank
    must call the same modules and have a gradient for the same parameters, whatever its rows hold: a head without a target
    takes part with a zero (`touched`), and whether any rank has audio is told by the caller. Save `model`, not this.
    """

    def __init__(self, model: "UniAudioLM", distillation: "Distillation | None" = None) -> None:
        super().__init__()
        self.model, self.distillation = model, distillation
        self.group_sums_G = torch.zeros(0)
        """Summed losses of the targets of each group in the batch of the last pass, for reports; no gradient."""

    def forward(
        self, batch: "Batch", *, with_audio: bool = True, has_audio: bool | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Summed losses of text (scalar), of each audio stream `[Q]`, and of the distillation (scalar, 0 without one).

        `has_audio`: whether the rows of any rank hold audio; None looks at these alone, which is right on one rank.
        """
        text, audio_Q, self.group_sums_G = _sums(self.model, batch, with_audio=with_audio, has_audio=has_audio)
        if self.distillation is None:
            return text, audio_Q, text.new_zeros(())
        return text, audio_Q, touched(self.distillation.loss_sum(batch), self.distillation.decoder)


def loss_sums(
    model: "UniAudioLM | LossModel",
    batch: "Batch",
    normalization: Normalization,
    *,
    with_audio: bool = True,
    has_audio: bool | None = None,
) -> LossSums:
    """Run the model on a batch; `has_audio` as in `LossModel.forward`, which sharded models must be called through."""
    num_text, num_audio = count_targets(batch, normalization)
    if isinstance(model, LossModel):
        text, audio_Q, _ = model(batch, with_audio=with_audio, has_audio=has_audio)
    else:
        text, audio_Q, _ = _sums(model, batch, with_audio=with_audio, has_audio=has_audio)
    return LossSums(text=text, num_text=num_text, audio_Q=audio_Q, num_audio=num_audio)


class Predictions(NamedTuple):
    """What the trunk says before each target of a batch that counts."""

    hidden_MD: Tensor
    tokens_M: Tensor
    text_BS: Tensor
    """Where the text targets are, of the S - 1 predictions."""
    hidden_ND: Tensor
    codes_NQ: Tensor
    audio_BS: Tensor
    zero: Tensor
    """Scalar, in the graph even where there is no target: the blocks of other ranks wait for this one's backward pass."""


def predictions(model: "UniAudioLM", batch: "Batch", *, has_audio: bool | None) -> Predictions:
    """The trunk's pass over a batch; `has_audio` as in `LossModel.forward`."""
    text_BS, audio_BS, _ = target_masks(batch)
    has_audio = bool(batch.is_audio_BS.any()) if has_audio is None else has_audio
    hidden_BSD = model(
        batch.ids_BS9[:, :-1],
        batch.is_audio_BS[:, :-1],
        batch.is_text_BS[:, :-1],
        document_ids_BS=batch.document_ids_BS[:, :-1],
        has_audio=has_audio,
    )
    targets_BS9 = batch.ids_BS9[:, 1:]
    zero = hidden_BSD[:0].sum(dtype=torch.float32)
    if not has_audio:
        # Where nothing else learns, a pass without a gradient would leave those of the passes before it unsummed.
        stacks = (model.understanding_expert.stack, model.generation_expert.stack)
        zero = touched(zero, model.audio_embedding, *(stack.norm for stack in stacks if stack is not None))
    tokens_M, codes_NQ = targets_BS9[text_BS][:, -1], targets_BS9[audio_BS][:, :-1]
    return Predictions(hidden_BSD[text_BS], tokens_M, text_BS, hidden_BSD[audio_BS], codes_NQ, audio_BS, zero)


def _sums(
    model: "UniAudioLM", batch: "Batch", *, with_audio: bool, has_audio: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Summed losses of text, of each stream, and of each group."""
    predicted = predictions(model, batch, has_audio=has_audio)
    zero, num_streams, num_groups = predicted.zero, predicted.codes_NQ.shape[1], batch.num_groups
    text_groups_M, audio_groups_N = (
        None if batch.groups_BS is None else batch.groups_BS[:, 1:][where_BS]
        for where_BS in (predicted.text_BS, predicted.audio_BS)
    )
    none_G = zero.detach().repeat(num_groups)
    text, text_G = touched(zero, model.text_head), none_G
    if len(predicted.tokens_M):
        sums = _text_sum(model, predicted.hidden_MD, predicted.tokens_M, text_groups_M, num_groups)
        text, text_G = (
            sums[0].clone(),
            sums[1:].detach(),
        )  # no view: shards hang their backward pass on what a pass gives
    if not with_audio:
        return text, zero.repeat(num_streams), text_G
    if not len(predicted.codes_NQ):
        return text, touched(zero, *depth_modules(model)).repeat(num_streams), text_G
    states_NQC = model.audio_states(predicted.hidden_ND, predicted.codes_NQ)
    sums = _audio_sums(model, states_NQC, predicted.codes_NQ, batch.code_ranges, audio_groups_N, num_groups)
    return text, sums[:num_streams].clone(), text_G + sums[num_streams:].detach()


def depth_modules(model: "UniAudioLM") -> tuple[nn.Module, ...]:
    """Modules on the way from a frame's state to its codes."""
    return model.projection, model.local_decoder, model.audio_head


def _text_sum(
    model: "UniAudioLM", hidden_MD: Tensor, tokens_M: Tensor, groups_M: Tensor | None = None, num_groups: int = 0
) -> Tensor:
    """`[1 + G]`: of all, and of each group."""

    def sums_of(hidden_MD: Tensor, targets_MR: Tensor) -> Tensor:
        losses_M = text_losses(model.text_logits(hidden_MD), targets_MR[:, 0])
        return _with_groups(losses_M.sum()[None], losses_M, targets_MR, num_groups)

    targets = _with_column(tokens_M[:, None], groups_M)
    return in_chunks(sums_of, hidden_MD, targets, num_logits=model.config.text_size)


def _audio_sums(
    model: "UniAudioLM",
    states_NQC: Tensor,
    codes_NQ: Tensor,
    code_ranges: Sequence[range] = (),
    groups_N: Tensor | None = None,
    num_groups: int = 0,
) -> Tensor:
    """`[Q + G]`: of each stream, and of each group."""
    num_streams = codes_NQ.shape[1]

    def sums_of(states_NQC: Tensor, targets_NR: Tensor) -> Tensor:
        codes_NQ = targets_NR[:, :num_streams]
        losses_QN = audio_losses(legal_logits(model.audio_head(states_NQC), codes_NQ, code_ranges), codes_NQ)
        return _with_groups(losses_QN.sum(dim=1), losses_QN.sum(dim=0), targets_NR, num_groups)

    num_logits = model.config.num_codebooks * model.config.audio_size
    return in_chunks(sums_of, states_NQC, _with_column(codes_NQ, groups_N), num_logits=num_logits)


def _with_column(targets: Tensor, groups: Tensor | None) -> Tensor:
    """Targets `[K, R]` and behind them the group of each: `[K, R + 1]`."""
    return targets if groups is None else torch.cat([targets, groups[:, None]], dim=1)


def _with_groups(sums: Tensor, losses_K: Tensor, targets_KR: Tensor, num_groups: int) -> Tensor:
    """`sums`, and behind them those of each group, without a gradient."""
    if not num_groups:
        return sums
    losses_K = losses_K.detach()
    return torch.cat([sums, losses_K.new_zeros(num_groups).index_add(0, targets_KR[:, -1], losses_K)])


def in_chunks(
    loss_of: Callable[[Tensor, Tensor], Tensor], states: Tensor, targets: Tensor, *, num_logits: int
) -> Tensor:
    """`loss_of` of all rows, of which each has `num_logits`; of more than one chunk, none is kept for the backward pass, which
    multiplies again: a third of the head's time for all of its memory.
    """
    num_rows = max(1, MAX_LOGITS // num_logits)
    if len(states) <= num_rows:
        return loss_of(states, targets)
    parts = zip(states.split(num_rows), targets.split(num_rows), strict=True)
    return torch.stack([recomputed(loss_of, "blocks", *part) for part in parts]).sum(dim=0)


def touched(loss: Tensor, *modules: nn.Module) -> Tensor:
    """`loss`, which from now on gives every parameter that learns a gradient, of zeros at least."""
    if torch.is_grad_enabled():
        for module in modules:
            for parameter in module.parameters():
                if parameter.requires_grad:
                    loss = loss + parameter.flatten()[:0].sum(dtype=torch.float32)
    return loss


def total_loss(sums: LossSums, weights: LossWeights, counts: tuple[int, int] | None = None) -> Tensor:
    """Weighted total (scalar). `counts` (text, audio) of the whole step replace those of this micro-batch; a count of
    0 gives a loss of 0."""
    num_text, num_audio = counts if counts is not None else (sums.num_text, sums.num_audio)
    streams_Q = sums.audio_Q.new_tensor(weights.streams)
    audio = (sums.audio_Q * streams_Q).sum() / (len(weights.streams) * max(num_audio, 1))
    return weights.text * sums.text / max(num_text, 1) + weights.audio * audio
