"""Benchmark of the codec alone: held-out clips, encoded and decoded, against the clips themselves; beside white noise
of the same level. Where the project comes with a trained codec, one clip of each domain is shown through that one too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.kinds.scores import Medium

from uniaudio.audio.frames import SAMPLE_RATE, UNIT
from uniaudio.audio.loudness import limit_peak
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.metrics.pesq import wide_band_pesq
from uniaudio.metrics.spectral import log_mel_distance, multi_resolution_stft_distance
from uniaudio.metrics.stoi import stoi
from uniaudio.shipped import shipped_codec
from uniaudio.training.sequences.recordings import recording_of
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome

DOMAINS = ("speech", "sound", "music")
_BASELINE = "white noise of the same level"
Measure = Callable[[np.ndarray, np.ndarray], float | None]


def _stft(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    return multi_resolution_stft_distance(reference, estimate)


_ANY_DOMAIN: dict[str, tuple[bool, Measure]] = {
    "log_mel_distance": (False, lambda reference, estimate: log_mel_distance(reference, estimate, SAMPLE_RATE)),
    "stft_distance": (False, _stft),
}
_SPEECH: dict[str, tuple[bool, Measure]] = {
    "pesq": (True, lambda reference, estimate: wide_band_pesq(reference, estimate, SAMPLE_RATE)),
    "stoi": (True, lambda reference, estimate: stoi(reference, estimate, SAMPLE_RATE)),
}
"""Made for speech and calibrated on nothing else."""


@dataclass(frozen=True, slots=True)
class _Pair:
    clip_id: str
    recording: str
    original: np.ndarray
    made: np.ndarray
    noise: np.ndarray


def reconstruction(evaluation: Evaluation, outcome: Outcome) -> None:
    """PESQ and STOI of speech, spectral distances of every domain."""
    shipped = _shipped_beside(evaluation.codec)
    for domain in DOMAINS:
        pairs = _reconstruct(evaluation, domain)
        if not pairs:
            outcome.drop(domain, "no_samples", f"no held-out clip of domain {domain}")
            continue
        outcome.audio_s += sum(len(pair.original) for pair in pairs) / SAMPLE_RATE
        measures = _ANY_DOMAIN | (_SPEECH if domain == "speech" else {})
        measured = {name: _measure(outcome, pairs, name, measure) for name, (_, measure) in measures.items()}
        predictions = outcome.put_lines(
            [
                {
                    "sample_id": pair.clip_id,
                    "clip_ids": [pair.clip_id],
                    "recording": pair.recording,
                    "num_samples": len(pair.original),
                    "made_audio": [outcome.put_audio(pair.made)],
                    "recorded_audio": [outcome.put_audio(pair.original)],
                    "metrics": {
                        name: [value, 1] for name, values in measured.items() if (value := values[0][index]) is not None
                    },
                }
                for index, pair in enumerate(pairs)
            ]
        )
        media = [
            *outcome.media_of(f"{domain}: original", pairs[0].original),
            *outcome.media_of(f"{domain}: reconstruction", pairs[0].made),
        ]
        if shipped is not None:
            (decoded,) = shipped.decode(shipped.encode([pairs[0].original]))
            media += outcome.media_of(f"{domain}: reconstruction by the starter codec", limit_peak(decoded))
        for name, (higher_is_better, _) in measures.items():
            ours, noise = (_estimate(pairs, values) for values in measured[name])
            metric = Metric(name=name, higher_is_better=higher_is_better, baseline=_BASELINE)
            baseline_value = None if noise is None else noise.value
            outcome.add(
                metric, domain, ours, baseline_value=baseline_value, predictions=predictions, media=_once(media)
            )


def _shipped_beside(codec: ReasoningCodec) -> ReasoningCodec | None:
    """The trained codec that comes with the project, unless there is none or it is the one that is scored."""
    folder = shipped_codec()
    shipped = None if folder is None else ReasoningCodec.load(folder)
    return None if shipped is None or shipped.fingerprint == codec.fingerprint else shipped


def _estimate(pairs: list[_Pair], values: list[float | None]) -> Estimate | None:
    values_and_recordings = [
        (value, pair.recording) for value, pair in zip(values, pairs, strict=True) if value is not None
    ]
    return Estimate.of(
        [value for value, _ in values_and_recordings], recordings=[recording for _, recording in values_and_recordings]
    )


def _once(media: list[Medium]) -> list[Medium]:
    """The media for the first row that asks, nothing afterwards: one domain shows one pair."""
    shown = list(media)
    media.clear()
    return shown


def _reconstruct(evaluation: Evaluation, domain: str) -> list[_Pair]:
    clips = evaluation.held_out_clips(domain, evaluation.job.num_clips)
    longest = max(evaluation.job.max_clip_samples // UNIT, 1) * UNIT
    originals = [evaluation.audio(clip)[:longest] for clip in clips]
    if not originals:
        return []
    codes = evaluation.codec.encode(originals)
    decoded = evaluation.codec.decode(codes, steps=evaluation.job.decode_steps)
    return [
        _Pair(clip.clip_id, recording_of(clip), original, limit_peak(np.nan_to_num(made)), _noise_like(original))
        for clip, original, made in zip(clips, originals, decoded, strict=True)
    ]


def _noise_like(samples: np.ndarray) -> np.ndarray:
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    noise: np.ndarray = (level * np.random.default_rng(0).standard_normal(len(samples))).astype(np.float32)
    return noise


def _measure(
    outcome: Outcome, pairs: list[_Pair], name: str, measure: Measure
) -> tuple[list[float | None], list[float | None]]:
    """The metric of each reconstruction and of each noise; the baseline only where the reconstruction has a value."""
    ours: list[float | None] = []
    noise: list[float | None] = []
    for pair in pairs:
        try:
            value = measure(pair.original, pair.made)
        except ModuleNotFoundError as error:
            outcome.drop(name, "not_installed", str(error))
            return [None] * len(pairs), [None] * len(pairs)
        if value is None:
            outcome.drop(f"{pair.clip_id}/{name}", "no_score", "too short, silent, or without speech")
        ours.append(value)
        noise.append(None if value is None else measure(pair.original, pair.noise))
    return ours, noise
