"""The job of the edge `annotated_to_codec`: which size, which phases, on what. Light: no torch, no ray."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.frames import UNIT as CROP_UNIT
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import DEFAULT_PHASES, codec_phases
from uniaudio_pipelines.jobs import check_device, check_group, hash_folder, parent
from uniaudio_pipelines.ray_training.keeping import Keeping, check_wandb

CODE_VERSION = "9"
"""Goes up when the same clips would train to other weights."""
UNIT = "codec"
LEAST_CLIP_S = 8.0
"""Seconds: clips up to at least this length are read whole, however short the crops are."""
TEXT_PHASES = ("reasoning", "grpo")
ENCODERS = ("whisper", "wavlm", "music")
CONFIG_FILE, WEIGHTS_FILE, MODEL_CODEC = "config.json", "codec.safetensors", "codec"
"""File names that `ReasoningCodec.save` writes, and the name of the codec's folder within that of a whole model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedToCodec:
    """Train a codec on the annotated clips."""

    EDGE: ClassVar[str] = "annotated_to_codec"
    WRITES: ClassVar[str] = "codec"

    size: str = "debug"
    """Preset of codec and phases."""
    start: str = ""
    """Folder of a codec, imported weights among them, that the first phase starts from; its shapes are its own, `size` is the
    phases'. Without `phases` it is taken as it is."""
    phases: tuple[str, ...] = ()
    """Names of `uniaudio.stages.codec_phases.PHASES`, in order; empty: the size's `DEFAULT_PHASES`, without `encoders` where
    all encoders are given, and none after `start`."""
    num_steps: dict[str, int] = field(default_factory=dict)
    """Optimizer steps of a phase, such as `{"scalar": 2000}`; phases that are not named keep the preset's."""
    learning_rate: dict[str, float] = field(default_factory=dict)
    """Highest learning rate of a phase, such as `{"reasoning": 5e-4}`; phases that are not named keep the preset's."""
    num_clips: int = 0
    """Crops an optimizer step of each phase, over all workers; 0 keeps the preset's."""
    micro_clips: int = 0
    """Crops in one pass on one worker, which is what memory grows with; 0 keeps the preset's. Not of `encoders`, which takes all at
    once."""
    recompute: Literal["", "none", "blocks"] = ""
    """What the backward pass computes again instead of keeping it, in the transformer blocks of reasoning branch, flow and text
    decoder: memory for time. Empty keeps each phase's."""
    crop_s: float = 0.0
    """Longest crop of each phase in seconds, a multiple of 0.4; 0 keeps the preset's. `reasoning` and `grpo` read whole clips."""
    seed: int = 0
    max_clip_s: float = 0.0
    """The start of longer clips is used; 0 is the longest crop of the phases, and at least 8 s."""
    max_hours: float = 4.0
    """Audio that is trained on; which clips, the hash of their ids decides."""
    audio_cache_gb: float = 1.0
    """Decoded audio that a worker keeps in memory, in 2^30 bytes: the clips used last. Others are decoded again while the steps before
    theirs are computed."""
    num_workers: int = 1
    """Workers of Ray Train, which share the crops of each step. A step's loss is the mean of
    theirs, so more of them weigh crops of unequal length a little differently."""
    min_workers: int = 0
    """Where fewer than `num_workers` find room the run goes on with as many as do, down to these; 0 waits for all."""
    max_failures: int = 3
    """Times that a worker may die before the run gives up; each time it goes on from the last training checkpoint. -1 sets no limit."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    precision: Literal["", "float32", "bfloat16"] = ""
    """Precision of the products in a step; weights, codes and losses are float32. Empty keeps each phase's."""
    deterministic: bool | None = None
    """Kernels that give the same bits each time; on a device they are slower, and some do not exist. None keeps each phase's: true
    at `debug` and `starter`."""
    encoders: str = ""
    """Folder with `whisper` (or `whisper-base`, as models are prepared), `wavlm` and `music`, for sizes whose encoders are
    pretrained; phase `encoders` trains the latter two where they are not there."""
    text_model: str = ""
    """Folder of the language model that phases `reasoning` and `grpo` adapt; empty: a small decoder of their own."""
    judge: str = "rules"
    """Judge of phase `grpo`: `rules`, the folder of a chat model, or the address of an OpenAI-compatible endpoint."""
    judge_model: str = ""
    """The model's name at an endpoint."""
    checkpoint_every: int = 0
    """Steps between two training checkpoints; 0 keeps each phase's."""
    hold_out_every: int = 0
    """Steps between two held-out losses; 0 has one at each line of the log."""
    keep_last: int = 2
    """Training checkpoints that the run may go on from: the last so many."""
    keep_every: int = 0
    """Every so many-th training checkpoint of a phase stays in `train/<plan id>/kept`, also when the phase has ended, until `uniaudio gc`;
    0 keeps none."""
    keep_best: int = 0
    """So many training checkpoints with the lowest held-out loss of a phase stay in that folder too; 0 keeps none."""
    wandb_project: str = ""
    """Project of Weights & Biases (`pip install wandb`) that the curves are sent to as well; `WANDB_MODE=offline` keeps them below
    `curves/wandb`. Empty: TensorBoard's alone."""
    annotated_ref: str = "latest"
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        annotated = parent(store, "annotated", "annotate-corpus", self.annotated_ref)
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={"annotated": annotated.content_id, "raw": annotated.parents["raw"]},
            parameters={
                "config": _plain(self.config().to_dict()),
                **self._start_identity(),
                **self._encoders_identity(),
                "phases": [_plain(self._identity(phase)) for phase in self.training_phases()],
                "seed": self.seed,
                "max_clip_s": self.longest_clip_s(),
                "max_hours": self.max_hours,
                # It moves no weight, but the row has the curves.
                **({"hold_out_every": self.hold_out_every} if self.hold_out_every else {}),
            },
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device),
            units=[UNIT],
        )

    def longest_clip_s(self) -> float:
        crops = [phase.crop_samples / SAMPLE_RATE for phase in self.training_phases()]
        return self.max_clip_s or max([LEAST_CLIP_S, *crops])

    def config(self) -> CodecConfig:
        """Configuration of the codec that is trained."""
        if not self.start:
            return CodecConfig.preset(self.size)
        file = codec_folder(self.start) / CONFIG_FILE
        if not file.is_file():
            raise UsageError(f"`start` must be the folder of a codec, but {file} is missing.")
        return CodecConfig.from_json(file.read_bytes(), name=str(file))

    def keeping(self) -> Keeping:
        """No part of the plan: weights are the same."""
        return Keeping(last=self.keep_last, every=self.keep_every, best=self.keep_best)

    def training_phases(self) -> list[CodecPhase]:
        phases = [
            replace(
                phase,
                seed=self.seed,
                text_model=self.text_model if phase.name in TEXT_PHASES else "",
                grpo=replace(phase.grpo, judge=self.judge, judge_model=self.judge_model),
                precision=self.precision or phase.precision,
                num_clips=self.num_clips or phase.num_clips,
                micro_clips=phase.micro_clips if phase.name == "encoders" else self.micro_clips or phase.micro_clips,
                recompute=self.recompute or phase.recompute,
                crop_samples=round(self.crop_s * SAMPLE_RATE) or phase.crop_samples,
                deterministic=phase.deterministic if self.deterministic is None else self.deterministic,
            )
            for phase in codec_phases(self._phase_names(), self.size)
        ]
        for field_name in ("num_steps", "learning_rate"):
            if unknown := sorted(set(getattr(self, field_name)) - {phase.name for phase in phases}):
                names = ", ".join(phase.name for phase in phases)
                raise UsageError(
                    f"`{field_name}` must name phases of this run ({names}), but names {', '.join(unknown)}."
                )
        phases = [replace(one, learning_rate=self.learning_rate.get(one.name, one.learning_rate)) for one in phases]
        return [
            _shortened(phase, self.num_steps[phase.name]) if phase.name in self.num_steps else phase for phase in phases
        ]

    def checkpointed_phases(self) -> list[CodecPhase]:
        """The phases with the checkpoints that the job asks for. The plan does not hold them: weights are the same."""
        return [
            replace(phase, checkpoint_every=self.checkpoint_every or phase.checkpoint_every)
            for phase in self.training_phases()
        ]

    def _phase_names(self) -> tuple[str, ...]:
        return self.phases if self.start else self.phases or DEFAULT_PHASES.get(self.size, ())

    def resources(self) -> dict[str, float]:
        """Resources of one worker of the training run."""
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    @staticmethod
    def _identity(phase: CodecPhase) -> dict[str, Any]:
        """The phase with what a language model is instead of where it lies."""
        return {
            **phase.to_dict(),
            "text_model": hash_folder(phase.text_model, "text_model") if phase.text_model else "",
        }

    def _heard(self) -> set[str]:
        """The encoders that the codec has."""
        return set(ENCODERS) - ({"wavlm"} if self.config().phone_layers else set())

    def _start_identity(self) -> dict[str, str]:
        """What the codec to start from is, wherever it lies."""
        return {"start": hash_folder(str(codec_folder(self.start)), "start")} if self.start else {}

    def _encoders_identity(self) -> dict[str, Any]:
        """What the given encoders are, wherever they lie; nothing where the size has random ones."""
        if not self.encoders:
            return {}
        folders = encoder_folders(self.encoders)
        return {"encoders": {name: hash_folder(str(folder), "encoders") for name, folder in folders.items()}}

    def _check(self) -> None:
        check_device(self.device, self.num_gpus)
        check_group(self.device, self.num_gpus, self.num_workers)
        self._check_numbers()
        self._check_workers()
        self.checkpointed_phases()
        self.keeping().check()
        check_wandb(self.wandb_project)
        if self.start and self.encoders:
            raise UsageError(f"`encoders` must be empty where `start` names a codec, but is {self.encoders}.")
        if not self.start and CodecConfig.preset(self.size).encoders == "pretrained":
            self._check_encoders()

    def _check_numbers(self) -> None:
        for name in ("num_workers", "max_hours", "audio_cache_gb"):
            if getattr(self, name) <= 0:
                raise UsageError(f"`{name}` must be positive, but is {getattr(self, name)}.")
        for name in ("max_clip_s", "num_clips", "micro_clips", "crop_s", "checkpoint_every", "hold_out_every"):
            if getattr(self, name) < 0:
                raise UsageError(f"`{name}` must be 0 or more, but is {getattr(self, name)}.")
        if round(self.crop_s * SAMPLE_RATE) % CROP_UNIT:
            raise UsageError(f"`crop_s` must be a multiple of {CROP_UNIT / SAMPLE_RATE}, but is {self.crop_s}.")
        for name, num_steps in self.num_steps.items():
            if not isinstance(num_steps, int) or num_steps < 1:
                raise UsageError(f"`num_steps` of phase {name} must be a whole number from 1, but is {num_steps}.")
        for name, rate in self.learning_rate.items():
            if not 0 < rate < 1:
                raise UsageError(f"`learning_rate` of phase {name} must lie between 0 and 1, but is {rate}.")

    def _check_workers(self) -> None:
        if not 0 <= self.min_workers <= self.num_workers:
            raise UsageError(f"`min_workers` must lie in 0 … `num_workers`, but is {self.min_workers}.")
        if self.max_failures < -1:
            raise UsageError(f"`max_failures` must be -1 or more, but is {self.max_failures}.")
        for phase in self.training_phases():
            if phase.num_clips < self.num_workers:
                raise UsageError(
                    f"`num_workers` must be at most the crops of a step, {phase.num_clips} in phase {phase.name}, "
                    f"but is {self.num_workers}."
                )

    def _check_encoders(self) -> None:
        folders = encoder_folders(self.encoders) if self.encoders else {}
        # Random ones will do where a phase trains them, or where mel is heard beside the music encoder.
        optional = (
            ENCODERS[1:] if "encoders" in self._phase_names() else ("music",) if self.config().num_mel_bands else ()
        )
        missing_encoders = [
            name for name in ENCODERS if name in self._heard() - folders.keys() and name not in optional
        ]
        if missing_encoders:
            raise UsageError(
                f"`encoders` must be a folder with {', '.join(missing_encoders)} (transformers' `config.json` and `model.safetensors`) "
                f"at size {self.size}, but is {self.encoders or 'empty'}. `uniaudio demo` prepares Whisper in its folder of "
                "models; phase `encoders` trains the others where it comes first."
            )


def codec_folder(start: str) -> Path:
    """Folder of the codec to start from: `start` itself, or the codec within a whole model."""
    inside = Path(start) / MODEL_CODEC
    return inside if (inside / CONFIG_FILE).is_file() else Path(start)


def encoder_folders(root: str) -> dict[str, Path]:
    """Which of `ENCODERS` lie below `root`, and where."""
    whisper = next((path for name in ("whisper", "whisper-base") if (path := Path(root) / name).is_dir()), None)
    others = {name: Path(root) / name for name in ENCODERS[1:] if (Path(root) / name).is_dir()}
    return {**({"whisper": whisper} if whisper else {}), **others}


def _shortened(phase: CodecPhase, num_steps: int) -> CodecPhase:
    """The phase in `num_steps`, its unquantized start in proportion."""
    unquantized = min(phase.num_unquantized_steps * num_steps // phase.num_steps, num_steps - 1)
    grpo = replace(phase.grpo, num_frozen_steps=phase.grpo.num_frozen_steps * num_steps // phase.num_steps)
    spectral = phase.adversarial.num_spectral_steps * num_steps // phase.num_steps
    adversarial = replace(phase.adversarial, num_spectral_steps=spectral)
    return replace(phase, num_steps=num_steps, num_unquantized_steps=unquantized, grpo=grpo, adversarial=adversarial)


def _plain(value: Any) -> Any:
    """JSON types only: tuples would not survive the manifest."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
