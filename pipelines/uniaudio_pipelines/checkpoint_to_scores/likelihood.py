"""Benchmarks that read instead of answer: perplexities of held-out tokens, and held-out losses before and after each
stage.
"""

from collections import defaultdict

import numpy as np
import torch
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.lm.config import TEXT_COLUMN
from uniaudio.metrics.perplexity import perplexity
from uniaudio.sequence.layout import Grid, grid_of
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome

# Shapes: S positions, N rated positions, Q streams

TEXT = "text"
_STREAMS = {
    "reasoning": {"": slice(0, 8)},
    "reconstruction": {"/phone": slice(0, 1), "/music": slice(1, 2), "/acoustic": slice(2, 8)},
}
"""Kind of frame -> name and streams of each group: the reconstruction codes are three quantizers' (spec/codec.md
3.1).
"""
Losses = dict[str, tuple[float, int]]
"""Group -> summed negative log likelihood (nats), tokens."""


def perplexities(evaluation: Evaluation, outcome: Outcome) -> None:
    """Of held-out tokens that carry loss, given all before them; the baseline is a model that knows only which ids
    are possible.
    """
    sequences = [
        row for task in evaluation.held_out_tasks for row in evaluation.held_out(task, evaluation.job.num_sequences)
    ]
    collected: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    lines = []
    for sequence, recording in zip(sequences, evaluation.sequences.recordings(sequences), strict=True):
        losses = rate(evaluation, sequence)
        lines.append(
            {"sequence_id": sequence.sequence_id, "task": sequence.task}
            | {name: list(pair) for name, pair in losses.items()}
        )
        for name, pair in losses.items():
            collected[name].append((*pair, recording))
    if not collected:
        outcome.drop("perplexity", "no_samples", "no held-out sequence")
        return
    predictions = outcome.put_lines(lines)
    for name, found in sorted(collected.items()):
        losses_N, counts_N, recordings = zip(*found, strict=True)
        estimate = Estimate.of(losses_N, counts_N, recordings=recordings, shape=_perplexity)
        metric = Metric(name=f"{name}_perplexity", higher_is_better=False, baseline="every possible id equally likely")
        outcome.add(
            metric,
            TEXT if name == TEXT else "audio",
            estimate,
            baseline_value=_num_possible(evaluation, name),
            predictions=predictions,
        )


@torch.no_grad()
def rate(evaluation: Evaluation, sequence: Sequence) -> Losses:
    """Negative log likelihoods of one sequence's loss tokens by group; special frames and positions without loss do
    not count.
    """
    grid = grid_of(sequence)
    model = evaluation.model
    ids_1S9 = torch.from_numpy(np.asarray(grid.ids, np.int64))[None].to(model.device)
    is_audio_1S = torch.from_numpy(np.asarray(grid.is_audio, bool))[None].to(model.device)
    hidden_SD = model(ids_1S9[:, :-1], is_audio_1S[:, :-1], ~is_audio_1S[:, :-1], has_audio=bool(grid.is_audio.any()))[
        0
    ]
    losses: Losses = {}
    text_S = torch.from_numpy(grid.loss[1:] & ~grid.is_audio[1:])
    if bool(text_S.any()):
        targets_N = ids_1S9[0, 1:][text_S][:, TEXT_COLUMN]
        losses[TEXT] = (float(_losses(model.text_logits(hidden_SD[text_S]), targets_N).sum()), int(text_S.sum()))
    for name, (mask_S, streams) in _audio_groups(evaluation, grid).items():
        codes_NQ = ids_1S9[0, 1:][mask_S][:, :TEXT_COLUMN]
        losses_NQ = _losses(model.audio_logits(hidden_SD[mask_S], codes_NQ).flatten(0, 1), codes_NQ.flatten()).view_as(
            codes_NQ
        )
        losses[name] = (float(losses_NQ[:, streams].sum()), losses_NQ[:, streams].numel())
    return losses


def _losses(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits_NV.double(), targets_N, reduction="none")


def _audio_groups(evaluation: Evaluation, grid: Grid) -> dict[str, tuple[torch.Tensor, slice]]:
    groups: dict[str, tuple[torch.Tensor, slice]] = {}
    first_id_S = grid.ids[1:, 0]
    for kind, parts in _STREAMS.items():
        first, count = evaluation.code_range(kind)
        mask = grid.loss[1:] & grid.is_audio[1:] & (first_id_S >= first) & (first_id_S < first + count)
        if mask.any():
            groups |= {f"{kind}{part}": (torch.from_numpy(mask), streams) for part, streams in parts.items()}
    return groups


def _num_possible(evaluation: Evaluation, name: str) -> float:
    if name == TEXT:
        return float(evaluation.vocabulary.text_size)
    return float(evaluation.code_range(name.partition("/")[0])[1])


def _perplexity(mean: float) -> float:
    value = perplexity([(mean, 1)])
    assert value is not None, "there is one token"
    return value


def held_out_losses(evaluation: Evaluation, outcome: Outcome) -> None:
    """Mean loss a token on held-out sequences of each task at the end of each stage, beside that at its start; from
    the checkpoints' own rows.
    """
    for stage in evaluation.stages:
        for loss in stage.held_out:
            estimate = Estimate(value=loss.after, num_samples=loss.num_sequences, low=loss.low, high=loss.high)
            metric = Metric(name=f"{stage.stage}/{loss.task}", higher_is_better=False, baseline=f"before {stage.stage}")
            outcome.add(metric, "all", estimate, baseline_value=loss.before)
    if not outcome.scores:
        outcome.drop("held_out_loss", "no_samples", "no stage had held-out sequences")
