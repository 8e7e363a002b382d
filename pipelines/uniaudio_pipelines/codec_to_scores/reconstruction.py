"""How a system reconstructs held-out clips: the codec, its autoencoder, no codec at all, Opus, Codec2, Speex; beside white noise.

Each measured clip is kept on this machine under what it follows from, so that a run that was killed goes on behind it, and units of a shard of clips
leave the unit that scores the system nothing to do.

Kept     {"bits_per_s": 940.0, "values": {"pesq": [1.21, 1], "wer": [2, 5]}, "heard": "lets go", "num_samples": 48000}
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_json, short

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.codec.evaluation.coders import Coded, Coder, coder_named
from uniaudio.codec.evaluation.delay import find_delay, undo_delay
from uniaudio.codec.evaluation.evaluate import Listeners, autoencoded, bits_per_s, measured_row
from uniaudio.codec.evaluation.held_out import DOMAINS, HeldOutClip
from uniaudio.codec.evaluation.programs import CODERS, Programs, why_missing
from uniaudio_pipelines.codec_to_scores.clips import Clip, CodecClips
from uniaudio_pipelines.codec_to_scores.job import RECOGNIZER, VOICES
from uniaudio_pipelines.codec_to_scores.outcome import CodecOutcome, Subject
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.kept import Kept
from uniaudio_pipelines.scoring import Estimate, Metric

BENCHMARK = "reconstruction"
NOISE = "noise"
_FORMAT = 1
_BASELINE = "white noise of the same level"
_NUM_DELAY_CLIPS = 16
"""Clips of each domain from which a coder's one delay is found."""
METRICS = {
    "pesq": True,
    "stoi": True,
    "dnsmos": True,
    "log_mel_distance": False,
    "stft_distance": False,
    "speaker_similarity": True,
    "wer": False,
}
"""Name -> whether higher is better."""
PACKAGES = {"pesq": "pesq", "stoi": "pystoi", "dnsmos": "speechmos", "wer": "transformers"}


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    clip: Clip
    kept: dict[str, Any]


class Reconstructions:
    """Reconstructions of one worker, which finds each coder's delay and loads the listeners once."""

    def __init__(self, clips: CodecClips) -> None:
        self.clips, self.job = clips, clips.job
        self._programs = Programs(self.job.programs or None)
        self._coders: dict[str, tuple[Coder, int]] = {}

    @cached_property
    def _kept(self) -> Kept:
        return Kept(cache_folder(self.clips.store) / "codec_scores" / self.clips.row.codec_id)

    @cached_property
    def _listeners(self) -> Listeners:
        weights = self.clips.plan.parameters["models"]
        there = {name: f"{self.job.models}/{name}" for name in (RECOGNIZER, VOICES) if name in weights}
        is_installed = find_spec("transformers") is not None
        return Listeners.load(there.get(RECOGNIZER) if is_installed else None, there.get(VOICES))

    def title(self, system: str) -> str:
        """Name of a system in rows and tables."""
        ours = f"ReasoningCodec {self.clips.row.size}"
        names = {
            "ours": ours,
            "ours_reasoning": f"{ours}, told the reasoning codes",
            "autoencoder": "its autoencoder alone",
            "original": "original, 16 bits",
            NOISE: _BASELINE,
        }
        return names.get(system) or coder_named(system, bits_per_s(self.clips.codec.config), self._programs).name

    def measure_shard(self, outcome: CodecOutcome, system: str, shard: int) -> None:
        """Keep what the clips of a shard measure; what is dropped, the unit that scores the system says."""
        if not self._is_missing(system):
            first = shard * self.job.shard_size
            for domain in DOMAINS:
                shard_clips = self.clips.held_out[domain][first : first + self.job.shard_size]
                for measured in self._measured(outcome, system, shard_clips):
                    outcome.audio_s += measured.kept["num_samples"] / SAMPLE_RATE
        outcome.dropped.clear()

    def score(self, outcome: CodecOutcome, system: str) -> None:
        """One row a domain and metric."""
        if why := self._is_missing(system):
            outcome.drop(system, "not_installed", why)
            return
        self._drop_missing_metrics(outcome)
        for domain in DOMAINS:
            clips = self.clips.held_out[domain]
            measured = list(self._measured(outcome, system, clips))
            if not measured:
                outcome.drop(domain, "no_samples", f"no held-out clip of domain {domain} is to be heard")
                continue
            noise = {one.clip.clip_id: one.kept for one in self._measured(outcome, NOISE, clips)}
            outcome.audio_s += sum(one.kept["num_samples"] for one in measured) / SAMPLE_RATE
            self._add(outcome, system, domain, measured, noise)

    def _add(
        self,
        outcome: CodecOutcome,
        system: str,
        domain: str,
        measured: list[_Measured],
        noise: dict[str, dict[str, Any]],
    ) -> None:
        lines = [
            {
                "sample_id": one.clip.clip_id,
                "clip_ids": [one.clip.clip_id],
                "recording": one.clip.recording,
                "metrics": one.kept["values"],
                **({"answer": one.kept["heard"]} if "heard" in one.kept else {}),
            }
            for one in measured
        ]
        predictions = outcome.put_lines(lines)
        rate = float(np.mean([one.kept["bits_per_s"] for one in measured]))
        subject = Subject(system=self.title(system), benchmark=BENCHMARK, domain=domain, bits_per_s=rate)
        for name, higher_is_better in METRICS.items():
            pairs = [(one.kept["values"][name], one) for one in measured if name in one.kept["values"]]
            if not pairs:
                continue
            of_noise = [noise[one.clip.clip_id]["values"].get(name) for _, one in pairs]
            known = [value for value in of_noise if value is not None]
            weight = sum(value[1] for value in known)
            estimate = Estimate.of(
                [value[0] for value, _ in pairs],
                [value[1] for value, _ in pairs],
                recordings=[one.clip.recording for _, one in pairs],
            )
            outcome.add(
                subject,
                Metric(name=name, higher_is_better=higher_is_better, baseline=_BASELINE),
                estimate,
                baseline_value=sum(value[0] for value in known) / weight if weight else None,
                predictions=predictions,
            )

    def _drop_missing_metrics(self, outcome: CodecOutcome) -> None:
        for name, package in PACKAGES.items():
            if find_spec(package) is None:
                outcome.drop(name, "not_installed", f"package {package} must be installed")
        weights = self.clips.plan.parameters["models"]
        for name, model in (("wer", RECOGNIZER), ("speaker_similarity", VOICES)):
            if model not in weights:
                outcome.drop(
                    name,
                    "not_installed",
                    f"{model} must lie below `models`, but {self.job.models or 'no folder'} has none",
                )

    def _is_missing(self, system: str) -> str:
        return why_missing(system, self._programs) if system in CODERS else ""

    def _measured(self, outcome: CodecOutcome, system: str, clips: Sequence[Clip]) -> Iterator[_Measured]:
        """Values of each clip that can be heard; silence, and clips that a program fails on, are dropped."""
        for clip in clips:
            key = self._key(system, clip)
            values = self._kept.read(key)
            if values is None:
                clip_audio = self.clips.hear(clip)
                if clip_audio is None:
                    outcome.drop(clip.clip_id, "silent", "no sample of it reaches 60 dB below full scale")
                    continue
                try:
                    values = self._measure(system, clip_audio)
                except DataError as error:
                    outcome.drop(f"{clip.clip_id}/{system}", "no_score", str(error))
                    continue
                self._kept.write(key, values)
            yield _Measured(clip, values)

    def _key(self, system: str, clip: Clip) -> str:
        plan = self.clips.plan.parameters
        settings = [plan["decode_steps"], plan["guidance"], plan["max_clip_s"], plan["models"], plan["programs"]]
        audio = [clip.row.raw_clip_id, clip.row.first_sample, clip.row.num_samples, clip.row.given_text]
        return short(hash_json([_FORMAT, system, clip.clip_id, audio, settings, self.clips.plan.numerics]))

    def _measure(self, system: str, heard: HeldOutClip) -> dict[str, Any]:
        coded = self._coded(system, heard.samples)
        row = measured_row(heard, system, coded, self._listeners)
        values: dict[str, Any] = {
            name: [float(value), 1]
            for name in METRICS
            if isinstance(value := row.get(name), int | float) and np.isfinite(value)
        }
        if "word_errors" in row:
            values["wer"] = row["word_errors"]
        measures = {"bits_per_s": row["bits_per_s"], "values": values, "num_samples": len(heard.samples)}
        return measures | ({"heard": row["heard"]} if "heard" in row else {})

    def _coded(self, system: str, samples: np.ndarray) -> Coded:
        codec = self.clips.codec
        if system == "original":
            return Coded(samples, 16 * len(samples))
        if system == NOISE:
            level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
            noise = (level * np.random.default_rng(0).standard_normal(len(samples))).astype(np.float32)
            return Coded(noise, 0)
        if system == "autoencoder":
            return autoencoded(codec, samples)
        if system in CODERS:
            coder, delay = self._coder(system)
            coded = coder.run(samples)
            return Coded(undo_delay(coded.samples, delay, len(samples)), coded.num_bits)
        use_reasoning = system == "ours_reasoning"
        (decoded,) = codec.decode(
            codec.encode([samples]),
            steps=self.job.decode_steps,
            guidance=self.job.guidance,
            use_reasoning=use_reasoning,
        )
        return Coded(decoded, round(bits_per_s(codec.config) * len(samples) / SAMPLE_RATE))

    def _coder(self, system: str) -> tuple[Coder, int]:
        """A coder and its one delay, found on the first clips of each domain: the same whatever shard is measured."""
        if system not in self._coders:
            coder = coder_named(system, bits_per_s(self.clips.codec.config), self._programs)
            first = [clip for clips in self.clips.held_out.values() for clip in islice(clips, _NUM_DELAY_CLIPS)]
            all_samples = [one.samples for clip in first if (one := self.clips.hear(clip)) is not None]
            self._coders[system] = coder, find_delay((samples, coder.run(samples).samples) for samples in all_samples)
        return self._coders[system]
