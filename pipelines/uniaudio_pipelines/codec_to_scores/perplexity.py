"""How well tokens can be predicted: a language model of one shape and seed, trained on the training clips and asked of the held-out ones.

Each variant sees the same clips in the same order for the same steps; `reconstruction_given_reasoning` has the reasoning tokens of a clip before
its reconstruction tokens, which alone are predicted. A code is rated over the legal codes, beside the better of a unigram and of knowing nothing.
"""

# Shapes: B rows, S positions, N frames, Q codebooks, V codes

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.codec.evaluation.evaluate import stream_bits_per_s
from uniaudio.codec.evaluation.held_out import DOMAINS
from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.metrics.perplexity import perplexity
from uniaudio.sequence.layout import Grid, audio_segment, lay_out
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.lm.data import Batch, collate
from uniaudio.training.sequences.recordings import recording_of
from uniaudio_pipelines.codec_to_scores.clips import CodecClips, Encoded
from uniaudio_pipelines.codec_to_scores.outcome import CodecOutcome, Subject
from uniaudio_pipelines.scoring import Estimate, Metric

BENCHMARK = "perplexity"
_BATCH = 8
_LEARNING_RATE = 2e-3
_MAX_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Rated:
    """Codes of one kind, in ids of the vocabulary."""

    kind: str
    """`reasoning` or `reconstruction`."""
    first: int
    count: int


def perplexities(clips: CodecClips, outcome: CodecOutcome, variant: str) -> None:
    """One row a domain."""
    row, job = clips.row, clips.job
    vocabulary = Vocabulary.build(ByteTokenizer(), row.reasoning_codebook_size, row.reconstruction_codebook_size)
    rated = _rated(variant, vocabulary)
    trained = [grid_of_clip(one, variant, vocabulary) for one in clips.trained]
    if not trained:
        outcome.drop(variant, "no_samples", "no training clip is to be heard")
        return
    model = train_lm(trained, rated, vocabulary, size=job.lm_size, steps=job.lm_steps, seed=job.seed, device=job.device)
    unigram_QV = _unigram([_codes(one, rated.kind) for one in clips.trained], rated.count)
    for domain in DOMAINS:
        tested = [one for one in clips.tested if one.row.domain == domain]
        if not tested:
            outcome.drop(domain, "no_samples", f"no held-out clip of domain {domain} is to be heard")
            continue
        outcome.audio_s += sum(len(one.samples) for one in tested) / SAMPLE_RATE
        losses = [rate(model, grid_of_clip(one, variant, vocabulary), rated) for one in tested]
        subject = Subject(
            system=variant.replace("_", " "), benchmark=BENCHMARK, domain=domain, bits_per_s=_rate(clips, rated.kind)
        )
        _add(outcome, subject, tested, losses, unigram_QV, rated)


def grid_of_clip(clip: Encoded, variant: str, vocabulary: Vocabulary) -> Grid:
    """A clip as its variant lays it out."""
    reasoning, reconstruction = (_codes(clip, kind) for kind in ("reasoning", "reconstruction"))
    if variant == "reasoning":
        return lay_out([audio_segment("reasoning", reasoning, vocabulary, loss=True)])
    predicted = audio_segment("reconstruction", reconstruction, vocabulary, loss=True)
    if variant == "reconstruction":
        return lay_out([predicted])
    return lay_out([audio_segment("reasoning", reasoning, vocabulary, loss=False), predicted])


def train_lm(
    grids: Sequence[Grid], rated: Rated, vocabulary: Vocabulary, *, size: str, steps: int, seed: int, device: str
) -> UniAudioLM:
    """A fresh model after so many steps of 8 clips; which clips, the seed says, whatever they are laid out as."""
    model = UniAudioLM(LMConfig.preset(size, vocabulary), seed=seed).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm), 1.0)
    )
    drawn = np.random.default_rng(seed)
    for _ in range(steps):
        places = drawn.choice(len(grids), size=min(_BATCH, len(grids)), replace=False)
        rows = [[grids[place]] for place in places]
        batch = collate(rows, max(len(row[0]) for row in rows)).to(device)
        optimizer.zero_grad(set_to_none=True)
        code_losses(model, batch, rated).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
        optimizer.step()
        schedule.step()
    return model.eval()


def code_losses(model: UniAudioLM, batch: Batch, rated: Rated) -> Tensor:
    """`[N, Q]` nats of all rated frames of a batch, over the legal codes."""
    hidden_BSD = model(
        batch.ids_BS9[:, :-1],
        batch.is_audio_BS[:, :-1],
        batch.is_text_BS[:, :-1],
        document_ids_BS=batch.document_ids_BS[:, :-1],
    )
    ids_BS = batch.ids_BS9[:, 1:, 0]
    at_BS = batch.loss_BS[:, 1:] & (ids_BS >= rated.first) & (ids_BS < rated.first + rated.count)
    ids_NQ = batch.ids_BS9[:, 1:, :-1][at_BS]
    legal_NQV = model.audio_logits(hidden_BSD[at_BS], ids_NQ)[..., rated.first : rated.first + rated.count]
    losses = torch.nn.functional.cross_entropy(
        legal_NQV.flatten(0, 1).float(), (ids_NQ - rated.first).flatten(), reduction="none"
    )
    losses_NQ: Tensor = losses.unflatten(0, ids_NQ.shape)
    return losses_NQ


@torch.inference_mode()
def rate(model: UniAudioLM, grid: Grid, rated: Rated) -> np.ndarray:
    """`[N, Q]` nats of one clip, alone in its row."""
    batch = collate([[grid]], len(grid)).to(model.device)
    return np.asarray(code_losses(model, batch, rated).double().cpu())


def _add(
    outcome: CodecOutcome,
    subject: Subject,
    tested: Sequence[Encoded],
    losses: Sequence[np.ndarray],
    unigram_QV: np.ndarray,
    rated: Rated,
) -> None:
    totals, counts = [float(one.sum()) for one in losses], [one.size for one in losses]
    chance = [_by_unigram(_codes(one, rated.kind), unigram_QV) for one in tested]
    recordings = [recording_of(one.row) for one in tested]
    predictions = outcome.put_lines(
        [
            {
                "sample_id": one.row.clip_id,
                "clip_ids": [one.row.clip_id],
                "recording": recording,
                "metrics": {"token_perplexity": [total, count]},
            }
            for one, recording, total, count in zip(tested, recordings, totals, counts, strict=True)
        ]
    )
    unigram = _perplexity(sum(chance) / max(1, sum(counts)))
    baseline = f"the better of a unigram of training ({unigram:.4g}) and uniform ({rated.count})"
    outcome.add(
        subject,
        # Compared as the perplexities of `scores`: lines hold nats, the value is that of their mean.
        Metric(name="token_perplexity", higher_is_better=False, baseline=baseline),
        Estimate.of(totals, counts, recordings=recordings, shape=_perplexity),
        baseline_value=min(unigram, float(rated.count)),
        predictions=predictions,
    )


def _rated(variant: str, vocabulary: Vocabulary) -> Rated:
    if variant == "reasoning":
        return Rated("reasoning", 0, vocabulary.reasoning_codes)
    return Rated("reconstruction", vocabulary.reconstruction_offset, vocabulary.reconstruction_codes)


def _codes(clip: Encoded, kind: str) -> np.ndarray:
    codes = clip.encoded.reasoning_codes if kind == "reasoning" else clip.encoded.reconstruction_codes
    return np.asarray(codes.cpu(), np.int64)


def _unigram(codes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """`[Q, V]` probabilities: how often each code of each level occurs, each counted once more."""
    all_NQ = np.concatenate(codes)
    counts_QV = np.ones((all_NQ.shape[1], count))
    np.add.at(counts_QV, (np.arange(all_NQ.shape[1]), all_NQ), 1)
    return np.asarray(counts_QV / counts_QV.sum(axis=1, keepdims=True))


def _by_unigram(codes_NQ: np.ndarray, unigram_QV: np.ndarray) -> float:
    return float(-np.log(unigram_QV[np.arange(codes_NQ.shape[1]), codes_NQ]).sum())


def _perplexity(mean: float) -> float:
    value = perplexity([(mean, 1)])
    assert value is not None, "there is one token"
    return value


def _rate(clips: CodecClips, kind: str) -> float:
    return stream_bits_per_s(clips.codec.config)[kind]
