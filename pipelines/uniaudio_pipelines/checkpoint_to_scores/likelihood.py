"""Benchmarks that read instead of answer: perplexities and losses of held-out tokens, beside what chance gives.

A loss of codes says little by itself: at debug size most of what training lowers is the learning of which ids are legal. So codes are rated
over the legal codes alone, and each figure stands beside a unigram, which knows only how often each code of each stream (or each text id)
occurs in training, and beside uniform, which knows which ids there are. Special ids follow from the format and do not count.
"""

from collections import defaultdict
from collections.abc import Sequence as SequenceOf

import numpy as np
import torch
from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.lm.model import UniAudioLM
from uniaudio.metrics.perplexity import perplexity
from uniaudio.sequence.layout import grid_of
from uniaudio.sequence.segments import code_range
from uniaudio.sequence.targets import targets_of
from uniaudio.training.lm.chance import Unigram, trained_targets
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome

# Shapes: S positions, N rated positions, Q streams, V ids

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


def _by_group(text_N: np.ndarray, codes_NQ: dict[str, np.ndarray]) -> Losses:
    """Losses of single tokens, summed by group."""
    losses: Losses = {}
    if len(text_N):
        losses[TEXT] = (float(text_N.sum()), len(text_N))
    for kind, found_NQ in codes_NQ.items():
        for part, streams in _STREAMS[kind].items():
            losses[f"{kind}{part}"] = (float(found_NQ[:, streams].sum()), found_NQ[:, streams].size)
    return losses


def unigram_of(evaluation: Evaluation, tasks: SequenceOf[str]) -> Unigram:
    """Counts of training examples of some tasks."""
    unigram = Unigram(evaluation.vocabulary)
    for task in tasks:
        unigram.count(trained_targets(evaluation.sequences, evaluation.vocabulary, task))
    return unigram


def rate_by_chance(evaluation: Evaluation, sequence: Sequence, unigram: Unigram) -> Losses:
    """Losses of a sequence under the counts, as `rate` has them under the model."""
    return _by_group(*unigram.losses(targets_of(grid_of(sequence), evaluation.vocabulary)))


@torch.no_grad()
def rate(evaluation: Evaluation, sequence: Sequence, model: UniAudioLM | None = None) -> Losses:
    """Negative log likelihoods of one sequence's loss tokens by group, codes over the legal codes alone; `model`: another than the
    checkpoint's."""
    model = model or evaluation.model
    grid = grid_of(sequence)
    targets = targets_of(grid, evaluation.vocabulary)
    ids_1S9 = torch.from_numpy(np.asarray(grid.ids, np.int64))[None].to(model.device)
    is_audio_1S = torch.from_numpy(np.asarray(grid.is_audio, bool))[None].to(model.device)
    has_audio = bool(grid.is_audio.any())
    hidden_SD = model(ids_1S9[:, :-1], is_audio_1S[:, :-1], ~is_audio_1S[:, :-1], has_audio=has_audio)[0]
    text_N = np.zeros(0)
    if len(targets.text_N):
        logits_NV = model.text_logits(hidden_SD[torch.from_numpy(targets.text_at)])
        text_N = _losses(logits_NV, torch.from_numpy(targets.text_N))
    codes = {}
    for kind, codes_NQ in targets.codes.items():
        first, count = code_range(kind, evaluation.vocabulary)
        ids_NQ = torch.from_numpy(codes_NQ + first).to(model.device)
        logits_NQV = model.audio_logits(hidden_SD[torch.from_numpy(targets.codes_at[kind])], ids_NQ)
        legal = logits_NQV[..., first : first + count].flatten(0, 1)
        codes[kind] = _losses(legal, torch.from_numpy(codes_NQ).flatten()).reshape(codes_NQ.shape)
    return _by_group(text_N, codes)


def _losses(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> np.ndarray:
    targets_N = targets_N.to(logits_NV.device)
    losses_N = torch.nn.functional.cross_entropy(logits_NV.double(), targets_N, reduction="none")
    return np.asarray(losses_N.cpu())


def perplexities(evaluation: Evaluation, outcome: Outcome, tasks: SequenceOf[str] | None = None) -> None:
    """Write the perplexity of held-out tokens that carry loss, given all before them, for some tasks or all. The baseline is a unigram of
    the tasks' training examples."""
    tasks = (
        evaluation.held_out_tasks if tasks is None else [task for task in tasks if task in evaluation.held_out_tasks]
    )
    sequences = [row for task in tasks for row in evaluation.held_out(task, evaluation.job.num_sequences)]
    if not sequences:
        outcome.drop("perplexity", "no_samples", f"no held-out sequence of {', '.join(tasks) or outcome.benchmark}")
        return
    unigram = unigram_of(evaluation, tasks)
    collected: dict[str, list[tuple[float, int, str, float]]] = defaultdict(list)
    lines = []
    for sequence, recording in zip(sequences, evaluation.sequences.recordings(sequences), strict=True):
        losses, by_chance = rate(evaluation, sequence), rate_by_chance(evaluation, sequence, unigram)
        metrics = {f"{name}_perplexity": list(pair) for name, pair in losses.items()}
        lines.append(
            {
                "sample_id": sequence.sequence_id,
                "sequence_id": sequence.sequence_id,
                "task": sequence.task,
                "recording": recording,
                "metrics": metrics,
            }
        )
        for name, pair in losses.items():
            collected[name].append((*pair, recording, by_chance[name][0]))
    predictions = outcome.put_lines(lines)
    for name, losses_of_group in sorted(collected.items()):
        losses_N, counts_N, recordings, chance_N = zip(*losses_of_group, strict=True)
        estimate = Estimate.of(losses_N, counts_N, recordings=recordings, shape=_perplexity)
        uniform = float(num_possible(evaluation, name))
        chance, baseline = better_of_chance(_perplexity(sum(chance_N) / sum(counts_N)), uniform)
        metric = Metric(name=f"{name}_perplexity", higher_is_better=False, baseline=baseline)
        domain = TEXT if name == TEXT else "audio"
        outcome.add(metric, domain, estimate, baseline_value=chance, predictions=predictions)


def better_of_chance(unigram: float, uniform: float) -> tuple[float, str]:
    """The better of the two, and what they are: a unigram of few examples is worse than knowing nothing."""
    return min(unigram, uniform), f"the better of a unigram of training ({unigram:.4g}) and uniform ({uniform:.4g})"


def num_possible(evaluation: Evaluation, name: str) -> int:
    """Ids that a token of the group may be."""
    if name == TEXT:
        return int(evaluation.vocabulary.text_size)
    return code_range(name.partition("/")[0], evaluation.vocabulary)[1]


def _perplexity(mean: float) -> float:
    value = perplexity([(mean, 1)])
    assert value is not None, "there is one token"
    return value


def held_out_losses(evaluation: Evaluation, outcome: Outcome) -> None:
    """Mean loss a token on held-out sequences of each task at the end of each stage, beside chance; from the checkpoints' own rows, of which
    old ones know that at the stage's start alone."""
    for stage in evaluation.stages:
        for loss in stage.held_out:
            estimate = Estimate(value=loss.after, num_samples=loss.num_sequences, low=loss.low, high=loss.high)
            value, baseline = loss.before, f"before {stage.stage}"
            if loss.unigram is not None and loss.uniform is not None:
                value, baseline = better_of_chance(loss.unigram, loss.uniform)
            metric = Metric(name=f"{stage.stage}/{loss.task}", higher_is_better=False, baseline=baseline)
            outcome.add(metric, "all", estimate, baseline_value=value)
    if not outcome.scores:
        outcome.drop("held_out_loss", "no_samples", "no stage had held-out sequences")


def losses_beside_chance(evaluation: Evaluation, outcome: Outcome) -> None:
    """Nats a token on held-out sequences of each task that a stage is judged by, at its end: of codes over the legal codes, beside a unigram
    of the task's training examples."""
    unigrams: dict[str, Unigram] = {}
    for stage in evaluation.stages:
        try:
            model = evaluation.load(stage)
        except (DataError, StoreError) as error:
            outcome.drop(stage.stage, "no_weights", str(error))
            continue
        for task in sorted({loss.task for loss in stage.held_out} & set(evaluation.held_out_tasks)):
            unigrams[task] = unigrams.get(task) or unigram_of(evaluation, [task])
            _beside_chance(evaluation, outcome, (stage.stage, task), model, unigrams[task])
    if not outcome.scores:
        outcome.drop(outcome.benchmark, "no_samples", "no stage had held-out sequences")


def _beside_chance(
    evaluation: Evaluation, outcome: Outcome, of: tuple[str, str], model: UniAudioLM, unigram: Unigram
) -> None:
    stage, task = of
    sequences = evaluation.held_out(task, evaluation.job.num_sequences)
    recordings = evaluation.sequences.recordings(sequences)
    rated = [rate(evaluation, row, model) for row in sequences]
    chance = [rate_by_chance(evaluation, row, unigram) for row in sequences]
    totals, counts = zip(*map(_total, rated), strict=True)
    uniform = sum(np.log(num_possible(evaluation, name)) * count for one in rated for name, (_, count) in one.items())
    name = f"{stage}/{task}"
    lines = [
        {
            "sample_id": row.sequence_id,
            "sequence_id": row.sequence_id,
            "task": task,
            "recording": recording,
            "metrics": {name: [total, count]},
        }
        for row, recording, total, count in zip(sequences, recordings, totals, counts, strict=True)
    ]
    num_tokens = max(sum(counts), 1)
    by_chance, baseline = better_of_chance(sum(_total(one)[0] for one in chance) / num_tokens, uniform / num_tokens)
    outcome.add(
        Metric(name=name, higher_is_better=False, baseline=baseline),
        "all",
        Estimate.of(totals, counts, recordings=recordings),
        baseline_value=by_chance,
        predictions=outcome.put_lines(lines),
    )


def _total(losses: Losses) -> tuple[float, int]:
    return sum(total for total, _ in losses.values()), sum(count for _, count in losses.values())
