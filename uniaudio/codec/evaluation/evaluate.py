"""Quality of a codec, measured: held-out clips encoded and decoded, beside Opus, Codec2 and Speex in the same run.

Reads    a codec's folder and held-out clips (`uniaudio.codec.evaluation.held_out`)
Writes   `evaluation.json` (every value of every clip) and `evaluation.md` (means)
Row      {"domain": "speech", "system": "Codec2 700C", "clip": "5f1c…", "log_mel_distance": 0.81, "pesq": 1.21, …}

Ours is compared as it comes: it has no delay, and its phase is its own, so that a lag found on waveforms would bend the
ruler. Another coder's one delay is found on envelopes over all clips (`uniaudio.codec.evaluation.delay`) and undone.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.resample import resample
from uniaudio.codec.autoencoder import LEVELS_PER_UNIT
from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP, NUM_CODEBOOKS, CodecConfig
from uniaudio.codec.evaluation.coders import Coded, Coder, coders
from uniaudio.codec.evaluation.delay import find_delay, undo_delay
from uniaudio.codec.evaluation.held_out import DOMAINS, HeldOutClip
from uniaudio.codec.evaluation.programs import Programs
from uniaudio.metrics.dnsmos import dnsmos
from uniaudio.metrics.pesq import wide_band_pesq
from uniaudio.metrics.speaker import VOICE_RATE, VoiceEncoder, cosine_similarity
from uniaudio.metrics.spectral import log_mel_distance, multi_resolution_stft_distance
from uniaudio.metrics.stoi import stoi
from uniaudio.metrics.wer import word_errors

# A voice cannot be told from less.
MIN_VOICE_SAMPLES = SAMPLE_RATE // 2
COLUMNS = ("bits_per_s", "pesq", "stoi", "dnsmos", "log_mel_distance", "stft_distance", "speaker_similarity", "wer")
Recognize = Callable[[np.ndarray, str], str | None]
Measure = Callable[[np.ndarray, np.ndarray], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Networks that hear what was decoded; what is not given is not measured."""

    recognize: Recognize | None = None
    voice: VoiceEncoder | None = None

    @classmethod
    def load(cls, recognizer: str | Path | None, speaker: str | Path | None) -> "Listeners":
        """Load a Whisper from its folder and a voice encoder from its file."""
        return cls(
            recognize=None if recognizer is None else _load_recognizer(recognizer),
            voice=None if speaker is None else VoiceEncoder.load(speaker),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelUse:
    """How the codes of one level of a stream are spread, over all clips."""

    perplexity: float
    """exp of their entropy: how many entries are in use, were they used equally."""
    num_used: int
    """Entries that occur."""
    num_entries: int
    """Entries of the codebook."""
    num_codes: int
    """Codes that were counted. No more entries than this can occur."""


@dataclass(kw_only=True, slots=True)
class Evaluation:
    """What `evaluate` measured, before it is written as tables."""

    size: str
    steps: int
    """Steps of the flow in decoding."""
    guidance: float
    """Classifier-free guidance of the flow in decoding."""
    splits: dict[str, str]
    """The split of each domain."""
    rows: list[dict[str, object]] = field(default_factory=list)
    """One row for each clip and system."""
    code_use: dict[str, list[LevelUse]] = field(default_factory=dict)
    """Stream -> use of its codebooks, level by level."""
    missing: list[str] = field(default_factory=list)
    """Coders whose programs are not installed."""
    stream_bits_per_s: dict[str, float] = field(default_factory=dict)
    """Stream of the codec -> its bit rate."""


def evaluate(
    model: str | Path | ReasoningCodec,
    clips: Sequence[HeldOutClip],
    *,
    coders: str | Path | None = None,
    listeners: Listeners | None = None,
    steps: int | None = None,
    guidance: float = 1.5,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Every clip through the codec and each coder that is there, at the bitrate nearest to the codec's; `report` is told
    how many of the clips are done."""
    if not clips:
        raise UsageError("`clips` must hold held-out audio, but is empty.")
    codec = model if isinstance(model, ReasoningCodec) else ReasoningCodec.load(model)
    listeners = listeners or Listeners()
    others, missing = _coders(codec.config, coders)
    splits = {clip.domain: clip.split for clip in clips}
    steps = codec.config.decode_steps if steps is None else steps
    evaluation = Evaluation(size=codec.config.size, steps=steps, guidance=guidance, splits=splits, missing=missing)
    evaluation.stream_bits_per_s = stream_bits_per_s(codec.config)
    codes = codec.encode([clip.samples for clip in clips])
    evaluation.code_use = code_use(codec.config, codes)
    coded = _coded_on_time(others, clips, evaluation.missing)
    for done, (clip, one) in enumerate(zip(clips, codes, strict=True), start=1):
        outputs = _decoded(codec, one, steps=steps, guidance=guidance)
        outputs["its autoencoder alone"] = autoencoded(codec, clip.samples)
        outputs |= coded[done - 1]
        # What the metrics say of the clip itself: the bound of what a codec can reach.
        outputs["original, 16 bits"] = Coded(clip.samples, 16 * len(clip.samples))
        evaluation.rows += [measured_row(clip, system, coded, listeners) for system, coded in outputs.items()]
        report(done, len(clips))
    return evaluation


def bits_per_s(config: CodecConfig) -> float:
    """Bit rate of both streams together. Decoding needs the reconstruction stream alone."""
    return sum(stream_bits_per_s(config).values())


def stream_bits_per_s(config: CodecConfig) -> dict[str, float]:
    """Frames a second times the bits of a frame's codes."""
    sizes = {
        "reasoning": (config.reasoning_codebook_size, REASONING_HOP),
        "reconstruction": (config.reconstruction_codebook_size, RECONSTRUCTION_HOP),
    }
    return {name: math.log2(size) * NUM_CODEBOOKS * SAMPLE_RATE / hop for name, (size, hop) in sizes.items()}


def _decoded(codec: ReasoningCodec, codes: Codes, *, steps: int, guidance: float) -> dict[str, Coded]:
    """Decode the reconstruction codes alone, and again together with the reasoning codes, from the same noise."""
    name, nominal = f"ReasoningCodec {codec.config.size}", bits_per_s(codec.config)
    outputs = {}
    for system, use_reasoning in ((name, False), (f"{name}+reasoning", True)):
        (ours,) = codec.decode([codes], steps=steps, guidance=guidance, use_reasoning=use_reasoning)
        outputs[system] = Coded(ours, round(nominal * len(ours) / SAMPLE_RATE))
    return outputs


def _coded_on_time(others: Iterable[Coder], clips: Sequence[HeldOutClip], missing: list[str]) -> list[dict[str, Coded]]:
    """Each clip through each coder, whose delay is undone; one that fails is named in `missing`."""
    coded: list[dict[str, Coded]] = [{} for _ in clips]
    for coder in others:
        outputs: dict[int, Coded] = {}
        for index, clip in enumerate(clips):
            try:
                outputs[index] = coder.run(clip.samples)
            except DataError as error:
                missing.append(f"{coder.name} on clip {clip.clip_id} ({error})")
        delay = find_delay((clips[index].samples, one.samples) for index, one in outputs.items())
        for index, one in outputs.items():
            on_time = undo_delay(one.samples, delay, len(clips[index].samples))
            coded[index][coder.name] = Coded(on_time, one.num_bits)
    return coded


def autoencoded(codec: ReasoningCodec, samples: np.ndarray) -> Coded:
    """Decode the rounded latents, without codes and flow: the bound that the waveform autoencoder sets."""
    num_latents = -(-len(samples) // LATENT_HOP)
    waveform_BN = torch.from_numpy(np.pad(samples, (0, num_latents * LATENT_HOP - len(samples)))).float()[None]
    with torch.inference_mode():
        output = codec.scalar(waveform_BN.to(codec.device))[0, : len(samples)].cpu().numpy()
    num_bits = num_latents * codec.config.scalar.latent_dim * math.log2(2 * LEVELS_PER_UNIT + 1)
    return Coded(output, round(num_bits))


def code_use(config: CodecConfig, codes: Sequence[Codes]) -> dict[str, list[LevelUse]]:
    """Use of the codebooks of both streams over all clips."""
    streams = {
        "reasoning": ([clip.reasoning for clip in codes], config.reasoning_codebook_size),
        "reconstruction": ([clip.reconstruction for clip in codes], config.reconstruction_codebook_size),
    }
    return {name: [_level_use(level, size) for level in np.concatenate(of).T] for name, (of, size) in streams.items()}


def write_tables(evaluation: Evaluation, out: str | Path) -> str:
    """Write both files; returns the Markdown."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(asdict(evaluation), indent=1))
    lines = [f"| domain | system | clips | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    groups: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
    for row in evaluation.rows:
        groups[str(row["domain"]), str(row["system"])].append(row)
    for (domain, system), rows in sorted(groups.items(), key=lambda group: DOMAINS.index(group[0][0])):
        values = " | ".join(_cell(column, rows) for column in COLUMNS)
        lines.append(f"| {domain} ({evaluation.splits[domain]}) | {system} | {len(rows)} | {values} |")
    rates = " and ".join(f"{rate:.0f} bit/s of {name}" for name, rate in evaluation.stream_bits_per_s.items())
    lines.append(
        f"\nThe codec's own rows count both streams, {rates} codes; only `+reasoning` was decoded from both. "
        f"Decoded in {evaluation.steps} steps with guidance {evaluation.guidance:g}."
    )
    for stream, levels in evaluation.code_use.items():
        shares = ", ".join(f"{level.num_used / level.num_entries:.0%} ({level.perplexity:.1f})" for level in levels)
        lines.append(
            f"\nShare of the {levels[0].num_entries} entries used (perplexity) by {levels[0].num_codes} {stream} codes a "
            f"level: {shares}."
        )
    lines += [f"\nNot measured: {name}." for name in evaluation.missing]
    text = "\n".join(lines) + "\n"
    (out / "evaluation.md").write_text(text)
    return text


def _coders(config: CodecConfig, folder: str | Path | None) -> tuple[list[Coder], list[str]]:
    return coders(bits_per_s(config), Programs(folder))


def measured_row(clip: HeldOutClip, system: str, coded: Coded, listeners: Listeners) -> dict[str, object]:
    """The metrics of one clip through one system. A value is None where the metric is not defined."""
    output = np.nan_to_num(coded.samples)
    row: dict[str, object] = {
        "domain": clip.domain,
        "system": system,
        "clip": clip.clip_id,
        "num_samples": len(clip.samples),
        "bits_per_s": coded.num_bits * SAMPLE_RATE / len(clip.samples),
        "log_mel_distance": log_mel_distance(clip.samples, output, SAMPLE_RATE),
        "stft_distance": multi_resolution_stft_distance(clip.samples, output),
    }
    if clip.domain == "speech":
        row |= {name: _measured(measure, clip.samples, output) for name, measure in SPEECH_MEASURES.items()}
        if listeners.voice:
            row["speaker_similarity"] = _same_voice(listeners.voice, clip.samples, output)
        if listeners.recognize and clip.script and clip.language:
            transcript = listeners.recognize(output, clip.language)
            if transcript is not None:
                row["heard"], row["word_errors"] = transcript, list(word_errors(clip.script, transcript))
    return row


def _measured(measure: Measure, reference: np.ndarray, made: np.ndarray) -> float | None:
    """None where there is no score, or the package that computes it is not installed."""
    try:
        return measure(reference, made)
    except ModuleNotFoundError:
        return None


def _same_voice(voice: VoiceEncoder, reference: np.ndarray, made: np.ndarray) -> float | None:
    """None where the clip is too short, or nothing is left of it."""
    if len(reference) < MIN_VOICE_SAMPLES or not made.any():
        return None
    first, second = (voice.embed(resample(samples, SAMPLE_RATE, VOICE_RATE)) for samples in (reference, made))
    return cosine_similarity(first, second)


def _opinion(_: np.ndarray, made: np.ndarray) -> float | None:
    scores = dnsmos(made, SAMPLE_RATE) if find_spec("speechmos") else None
    return None if scores is None else scores.overall


SPEECH_MEASURES: dict[str, Measure] = {
    "pesq": lambda reference, made: wide_band_pesq(reference, made, SAMPLE_RATE),
    "stoi": lambda reference, made: stoi(reference, made, SAMPLE_RATE),
    "dnsmos": _opinion,
}


def _cell(column: str, rows: Iterable[dict[str, object]]) -> str:
    """A mean over the clips that have a value; word errors are counted over the corpus."""
    if column == "wer":
        pairs = [row["word_errors"] for row in rows if "word_errors" in row]
        errors, words = (sum(pair[index] for pair in pairs) for index in (0, 1))  # type: ignore[index]
        return f"{errors / words:.2f}" if words else "-"
    values = [float(value) for row in rows if isinstance(value := row.get(column), int | float)]
    if not values:
        return "-"
    return f"{np.mean(values):.0f}" if column == "bits_per_s" else f"{np.mean(values):.2f}"


def _level_use(codes: np.ndarray, num_entries: int) -> LevelUse:
    counts = np.unique(codes, return_counts=True)[1]
    share = counts / len(codes)
    perplexity = float(np.exp(-(share * np.log(share)).sum()))
    return LevelUse(perplexity=perplexity, num_used=len(counts), num_entries=num_entries, num_codes=len(codes))


def _load_recognizer(folder: str | Path) -> Recognize:
    from uniaudio.metrics.recognize import load_recognizer

    return load_recognizer(folder)
