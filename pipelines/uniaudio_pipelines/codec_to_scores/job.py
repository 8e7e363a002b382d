"""The job of the edge `codec_to_scores`: which codec, which parts, beside what. Light: no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_file, numerics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import version_with
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.codec.evaluation.programs import CODERS, Programs
from uniaudio.lm.config import PRESETS
from uniaudio_pipelines.jobs import check_device, hash_folder, parent

CODE_VERSION = "1"
"""Goes up when the same codec would get other scores."""
RECOGNIZER, VOICES = "whisper-base", "speaker/resemblyzer.pt"
"""Models below `models` that recognize words and compare voices."""
PARTS = ("reconstruction", "perplexity", "understanding")
OURS = ("ours", "ours_reasoning", "autoencoder", "original")
"""Systems that need no program: decoded from the reconstruction codes, told the reasoning codes too, without codes, not coded at all."""
VARIANTS = ("reasoning", "reconstruction", "reconstruction_given_reasoning")
QUESTIONS = ("asr", "sound", "emotion", "speaker", "domain")
"""What is asked of tokens: the words; and labels of clips: the first tag, the source's word for how it is said, who speaks, what it is."""
VIEWS = ("reasoning", "reconstruction", "both", "reasoning_states", "reconstruction_states", "encoder", "mel")
"""What is heard of a clip: codes of either stream or of both, the states before they are rounded to codes, the continuous states of the
codec's Whisper, and log mel bands, which cost nothing."""
MEASURED = "measured"
"""Begins the names of units that measure some clips of a system and score nothing."""
_NOT_IN_PLAN = ("codec", "ref", "device", "num_gpus", "models", "programs")


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecToScores:
    """Score a codec: how it reconstructs, how well its tokens can be predicted, what is understood from them."""

    EDGE: ClassVar[str] = "codec_to_scores"
    WRITES: ClassVar[str] = "codec_scores"

    codec: str = "latest"
    """Ref of the codec."""
    parts: tuple[str, ...] = PARTS
    """Parts of the evaluation that run."""
    coders: tuple[str, ...] = tuple(CODERS)
    """Other codecs that reconstruct the same clips, at their bitrate nearest to the codec's."""
    questions: tuple[str, ...] = QUESTIONS
    """Questions about the audio that the small transformers answer."""
    views: tuple[str, ...] = VIEWS
    """Views of a clip from which the questions are answered."""
    programs: str = ""
    """Folder where opus-tools, codec2 and speex are unpacked, if they are not installed."""
    models: str = ""
    """Folder with a recognizer and a voice encoder, as the annotators use them; metrics that need what is not there are dropped by name."""
    num_clips: int = 20
    """Most held-out clips a domain, one a recording."""
    num_train_clips: int = 256
    """Most training clips a domain that language models and transformers learn from."""
    max_clip_s: float = 10.0
    """The start of longer clips is heard."""
    shard_size: int = 64
    """Clips of a system that are a unit of their own where there are more: for several workers, and to go on behind them."""
    decode_steps: int | None = None
    """Solver steps of the codec's decoder; empty: the codec's own."""
    guidance: float = 1.5
    """Guidance of the codec's decoder."""
    lm_size: str = "debug"
    """Preset of the language model behind the perplexities."""
    lm_steps: int = 200
    """Optimizer steps of that language model, of 8 clips each."""
    understanding_steps: int = 200
    """Optimizer steps of each small transformer, of 8 clips each."""
    seed: int = 0
    device: str = "cpu"
    """`cpu` or `cuda`."""
    num_gpus: float = 0.0
    """GPUs that one worker reserves; more than 0 on cuda."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        self._check()
        codec = parent(store, "codec", "train-codec", self.codec)
        parents = {"codec": codec, **{kind: _behind(store, codec, kind) for kind in ("annotated", "raw")}}
        parameters = {name: value for name, value in asdict(self).items() if name not in _NOT_IN_PLAN}
        for name in ("parts", "coders", "questions", "views"):
            parameters[name] = list(parameters[name])
        return Plan(
            kind=self.WRITES,
            schema_version=1,
            parents={kind: manifest.content_id for kind, manifest in parents.items()},
            parameters={**parameters, "models": self._weights(), "programs": self._programs()},
            code_version=f"{self.EDGE}-{CODE_VERSION}",
            numerics=numerics(self.device),
            units=self._units(),
        )

    @property
    def systems(self) -> tuple[str, ...]:
        return (*OURS, *self.coders)

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0, "num_gpus": self.num_gpus}

    def _units(self) -> list[str]:
        units = []
        if "reconstruction" in self.parts:
            shards = range(-(-self.num_clips // self.shard_size)) if self.num_clips > self.shard_size else ()
            units += [f"{MEASURED}-{system}-{shard:05}" for system in self.systems for shard in shards]
            units += [f"reconstruction-{system}" for system in self.systems]
        if "perplexity" in self.parts:
            units += [f"perplexity-{variant}" for variant in VARIANTS]
        if "understanding" in self.parts:
            units += [f"understanding-{question}-{view}" for question in self.questions for view in self.views]
        return units

    def _weights(self) -> dict[str, str]:
        """Hash of each model that is there, over its files, since other models give other scores."""
        folders = {name: Path(self.models) / Path(name).parts[0] for name in (RECOGNIZER, VOICES)}
        return {
            name: hash_folder(str(path), "models") for name, path in folders.items() if self.models and path.is_dir()
        }

    def _programs(self) -> dict[str, str]:
        """Hash of each coder's program that is there, over its bytes."""
        programs = Programs(self.programs or None)
        program_names = [program for name in self.coders for program in CODERS[name][1]]
        return {program: hash_file(Path(path)) for program in program_names if (path := programs.find(program))}

    def _check(self) -> None:
        known = {"parts": PARTS, "coders": tuple(CODERS), "questions": QUESTIONS, "views": VIEWS}
        for name, names in known.items():
            if unknown := [one for one in getattr(self, name) if one not in names]:
                raise UsageError(f"`{name}` must be some of {', '.join(names)}, but hold {', '.join(unknown)}.")
        if not self.parts:
            raise UsageError(f"`parts` must be some of {', '.join(PARTS)}, but is empty.")
        if self.lm_size not in PRESETS:
            raise UsageError(f"`lm_size` must be one of {', '.join(PRESETS)}, but is {self.lm_size!r}.")
        for name in ("num_clips", "num_train_clips", "shard_size", "lm_steps", "understanding_steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        if self.decode_steps is not None and self.decode_steps < 0:
            raise UsageError(f"`decode_steps` must be 0 or more, but is {self.decode_steps}.")
        if not 0.1 <= self.max_clip_s <= 30:
            raise UsageError(f"`max_clip_s` must lie between 0.1 and 30, but is {self.max_clip_s:g}.")
        check_device(self.device, self.num_gpus)


def _behind(store: Store, codec: Manifest, kind: str) -> Manifest:
    """What the codec was trained on, or what is left of it: its splits say which clips it has not heard."""
    content = codec.parents.get(kind, "")
    manifest = version_with(store, kind, content)
    if manifest is None:
        raise UsageError(
            f"`codec` must be one whose {kind} the store still has, but {content[:8] or 'it'} is not there."
        )
    return manifest
