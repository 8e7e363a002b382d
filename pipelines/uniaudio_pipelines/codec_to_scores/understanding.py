"""What is understood from each view of a clip: words, and labels that the source gives.

A question is asked of a small transformer (`uniaudio.codec.evaluation.understanding`) that was trained on the training clips' view alone, of one shape
and seed for all views. Words and labels are the source's own, never a recognizer's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import log_mel
from uniaudio.codec.evaluation.evaluate import stream_bits_per_s
from uniaudio.codec.evaluation.understanding import STEPS_A_SECOND, Heard, Kind, Stream, train_understanding
from uniaudio.metrics.text import normalize_text
from uniaudio.metrics.wer import character_errors, word_errors
from uniaudio.training.sequences.recordings import recording_of
from uniaudio_pipelines.codec_to_scores.clips import CodecClips, Encoded
from uniaudio_pipelines.codec_to_scores.outcome import CodecOutcome, Subject
from uniaudio_pipelines.scoring import Estimate, Metric

_MEL_WINDOW = 1_024
_MOST_CHARACTERS_A_STEP = 0.8
"""CTC writes at most one character a step, and none where two equal ones meet."""
Answer = Callable[[Annotated], str]


@dataclass(frozen=True, slots=True)
class Question:
    domains: tuple[str, ...]
    kind: Kind
    answer: Answer
    """Empty where the source says none."""


def _fact(name: str, row: Annotated) -> str:
    return next((fact.value for fact in row.facts if fact.name == name), "")


QUESTIONS_ASKED: dict[str, Question] = {
    "asr": Question(("speech",), "text", lambda row: normalize_text(row.given_text or "")),
    "sound": Question(("sound", "music"), "label", lambda row: row.tags[0] if row.tags else ""),
    "emotion": Question(("speech",), "label", partial(_fact, "emotion")),
    "speaker": Question(("speech",), "label", lambda row: row.speaker or ""),
    "domain": Question(("speech", "sound", "music"), "label", lambda row: row.domain),
}


def understanding(clips: CodecClips, outcome: CodecOutcome, question: str, view: str) -> None:
    """Rows of one question asked of one view."""
    asked = QUESTIONS_ASKED[question]
    trained = _heard(clips, clips.trained, asked, view)
    known = {heard.answer for heard, _ in trained}
    if len(known) < (2 if asked.kind == "label" else 1):
        outcome.drop(f"{question}/{view}", "no_labels", f"training clips have {len(known)} different answers")
        return
    tested = _heard(clips, clips.tested, asked, view)
    if asked.kind == "label":
        for _, one in [pair for pair in tested if pair[0].answer not in known]:
            outcome.drop(f"{one.row.clip_id}/{question}", "unknown_label", "no training clip has this answer")
        tested = [pair for pair in tested if pair[0].answer in known]
    if not tested:
        outcome.drop(f"{question}/{view}", "no_samples", "no held-out clip has an answer that the source gives")
        return
    job = clips.job
    network = train_understanding(
        [heard for heard, _ in trained], asked.kind, steps=job.understanding_steps, seed=job.seed, device=job.device
    )
    said = network.answers([heard for heard, _ in tested])
    outcome.audio_s += sum(len(one.samples) for _, one in tested) / SAMPLE_RATE
    subject = Subject(
        system=view.replace("_", " "),
        benchmark=f"understanding/{question}",
        domain="/".join(asked.domains),
        bits_per_s=_rate(clips, view),
    )
    usual = max(sorted(known), key=lambda answer: sum(heard.answer == answer for heard, _ in trained))
    _add(outcome, subject, tested, said, usual)


def _add(
    outcome: CodecOutcome,
    subject: Subject,
    tested: Sequence[tuple[Heard, Encoded]],
    said: Sequence[str],
    usual: str,
) -> None:
    is_text = subject.benchmark.endswith("/asr")
    measures: dict[str, tuple[bool, str, str, Callable[[str, str], tuple[float, float]]]] = (
        {
            "wer": (False, "empty answer", "", word_errors),
            "cer": (False, "empty answer", "", character_errors),
        }
        if is_text
        else {"accuracy": (True, "most frequent training answer", usual, lambda wanted, got: (float(wanted == got), 1))}
    )
    wanted = [heard.answer for heard, _ in tested]
    recordings = [recording_of(one.row) for _, one in tested]
    values_by_metric = {
        name: [of(*pair) for pair in zip(wanted, said, strict=True)] for name, (_, _, _, of) in measures.items()
    }
    predictions = outcome.put_lines(
        [
            {
                "sample_id": one.row.clip_id,
                "clip_ids": [one.row.clip_id],
                "recording": recording,
                "reference": heard.answer,
                "answer": answer,
                "metrics": {name: list(values[place]) for name, values in values_by_metric.items()},
            }
            for place, ((heard, one), recording, answer) in enumerate(zip(tested, recordings, said, strict=True))
        ]
    )
    for name, (higher_is_better, baseline, trivial, of) in measures.items():
        values, weights = zip(*values_by_metric[name], strict=True)
        by_chance = [of(one, trivial) for one in wanted]
        weight = sum(pair[1] for pair in by_chance)
        outcome.add(
            subject,
            Metric(name=name, higher_is_better=higher_is_better, baseline=baseline),
            Estimate.of(values, weights, recordings=recordings),
            baseline_value=sum(pair[0] for pair in by_chance) / weight if weight else None,
            predictions=predictions,
        )


def _heard(clips: CodecClips, encoded: Sequence[Encoded], asked: Question, view: str) -> list[tuple[Heard, Encoded]]:
    """Clips that have an answer; of texts those that CTC can write at 50 steps a second, and whose audio is whole."""
    pairs = []
    for one in encoded:
        answer = asked.answer(one.row) if one.row.domain in asked.domains else ""
        num_steps = len(one.samples) * STEPS_A_SECOND / SAMPLE_RATE
        is_whole = one.row.num_samples / one.row.sample_rate <= len(one.samples) / SAMPLE_RATE + 1e-3
        if asked.kind == "text" and not (is_whole and len(answer) < _MOST_CHARACTERS_A_STEP * num_steps):
            continue
        if answer:
            pairs.append((Heard(_streams(clips, one, view), answer), one))
    return pairs


def _streams(clips: CodecClips, clip: Encoded, view: str) -> dict[str, Stream]:
    row, encoded = clips.row, clip.encoded
    reasoning_rate = SAMPLE_RATE / row.reasoning_hop_samples
    rate = SAMPLE_RATE / row.reconstruction_hop_samples
    sizes = (row.reasoning_codebook_size,) * row.num_codebooks
    codes: dict[str, Callable[[], Stream]] = {
        "reasoning": lambda: Stream(_array(encoded.reasoning_codes), reasoning_rate, sizes),
        "reconstruction": lambda: Stream(
            _array(encoded.reconstruction_codes), rate, (row.reconstruction_codebook_size,) * row.num_codebooks
        ),
    }
    if view == "both":
        return {name: make() for name, make in codes.items()}
    views: dict[str, Callable[[], Stream]] = {
        **codes,
        "reasoning_states": lambda: Stream(_array(encoded.reasoning_hidden), reasoning_rate),
        "reconstruction_states": lambda: Stream(_array(encoded.reconstruction_hidden.flatten(1)), rate),
        "encoder": lambda: Stream(clip.whisper_TD, float(STEPS_A_SECOND)),
        "mel": lambda: Stream(_mel(clip.samples), float(STEPS_A_SECOND)),
    }
    return {view: views[view]()}


def _array(values: torch.Tensor) -> np.ndarray:
    return np.asarray(values.cpu())


def _mel(samples: np.ndarray) -> np.ndarray:
    """`[S, 80]`: natural-log mel magnitudes, their frames averaged to 50 a second."""
    filled = np.pad(samples, (0, max(0, _MEL_WINDOW - len(samples)))).astype(np.float32)
    mel_MT = log_mel(torch.from_numpy(filled)[None], SAMPLE_RATE, floor=1e-5)[0]
    num_steps = max(1, len(samples) * STEPS_A_SECOND // SAMPLE_RATE)
    return np.asarray(torch.nn.functional.adaptive_avg_pool1d(mel_MT[None], num_steps)[0].T)


def _rate(clips: CodecClips, view: str) -> float | None:
    """Bits a second of tokens; continuous states have no number."""
    rates = stream_bits_per_s(clips.codec.config)
    return sum(rates.values()) if view == "both" else rates.get(view)
