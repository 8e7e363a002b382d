"""What a stage starts from: a model with its first weights, the stage's data, and the teacher where it distils.

Reads    sequences; the parent's weights, or the folder of a text or a whole model; the codec where the stage distils or its
         code vectors are what the audio ids start as
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import DataError, FingerprintError, StoreError, UsageError
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.stages.config import StageConfig
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint

if TYPE_CHECKING:
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.sequence.vocabulary import Vocabulary
    from uniaudio.training.lm.data import MixtureData
    from uniaudio.training.lm.distillation import CodecTeacher


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    model: "UniAudioLM"
    data: "MixtureData"
    teacher: "CodecTeacher | None"
    """Teacher of the distillation loss; None where its weight is 0."""
    parent: Checkpoint | None
    """Row whose weights the model has; None for the first stage."""

    def described(self) -> dict[str, Any]:
        """What a checkpoint row says about model and data."""
        vocabulary = self.data.vocabulary
        return {
            "parent": None if self.parent is None else self.parent.checkpoint_id,
            "model": json.loads(self.model.config.to_json()),
            "vocabulary": json.loads(vocabulary.to_json()),
            "vocabulary_fingerprint": vocabulary.fingerprint,
            "codec_fingerprint": self.data.sequences.required_metadata("codec_fingerprint"),
            "too_long": self.data.too_long(),
        }


def only_row(store: Store, manifest: Manifest) -> Checkpoint:
    return next(iter(store.rows(manifest, Checkpoint)))


def check_start(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """Check the start before workers are started: an error in one of them is tried again and hard to read."""
    if due.parent is not None and (size_of_parent := only_row(store, due.parent).size) != job.size:
        raise UsageError(
            f"`size` must be {size_of_parent}, as that of the checkpoint it starts from, but is {job.size}."
        )
    if due.backbone:
        from uniaudio.lm.config import LMConfig
        from uniaudio.lm.pretrained import llama_config, num_text_rows
        from uniaudio.sequence.vocabulary import Vocabulary

        num_text_rows(due.backbone)
        llama_config(due.backbone, LMConfig.preset(job.size, Vocabulary()))
    if due.model:
        _check_model(Path(due.model), store, due.sequences)


def _check_model(folder: Path, store: Store, manifest: Manifest) -> None:
    """Ids of another vocabulary, and codes of another codec, would be noise to it, and nothing else would notice."""
    from uniaudio.lm.weights import read_config
    from uniaudio.run.folder import codec_fingerprint_of

    # All shards say the same, which whoever opens them checks; to open them takes as long as their bytes are many.
    said = store.shard_metadata(manifest, manifest.shards[0])
    for name, fingerprint in (
        ("vocabulary_fingerprint", read_config(folder).vocabulary_fingerprint),
        ("codec_fingerprint", codec_fingerprint_of(folder)),
    ):
        if name not in said:
            raise DataError(f"sequences {manifest.plan_id[:8]}: no shard has `{name}` in its schema metadata.")
        wanted = said[name]
        if fingerprint and fingerprint != wanted:
            raise FingerprintError(
                f"`model` must have the {name} of the sequences ({wanted[:12]}), but {folder} has {fingerprint[:12]}: "
                f"build the sequences with its vocabulary (`tokenizer` {folder}) and the tokens with its codec first."
            )


def start_of(store: Store, config: dict[str, Any], stage: StageConfig) -> Start:
    """`config`: the plain values that `worker_config` gives a worker."""
    from uniaudio.run.folder import codec_of_store
    from uniaudio.sequence.vocabulary import Vocabulary
    from uniaudio.training.lm.code_vectors import start_from_code_vectors
    from uniaudio.training.lm.data import MixtureData
    from uniaudio.training.lm.distillation import CodecTeacher
    from uniaudio.training.sequences.dataset import SequenceSet

    sequences = SequenceSet.open(store, _version(store, "sequences", config["sequences_plan_id"]))
    codec_fingerprint = sequences.required_metadata("codec_fingerprint")
    vocabulary = Vocabulary.from_json(sequences.required_metadata("vocabulary"))
    parent = None
    if config["parent_plan_id"]:
        parent = only_row(store, _version(store, "checkpoint", config["parent_plan_id"]))
        vocabulary.require(parent.vocabulary_fingerprint, f"checkpoint {parent.checkpoint_id}")
        model = _model_of(store, parent)
    else:
        model = _first_model(config, vocabulary)
        if config["code_vectors"]:
            codec = codec_of_store(store, codec_fingerprint)
            start_from_code_vectors(model, vocabulary, codec, seed=config["seed"])
    return Start(
        model=model,
        data=MixtureData(sequences, vocabulary, stage, config["seed"]),
        teacher=CodecTeacher(codec_of_store(store, codec_fingerprint), vocabulary)
        if stage.distillation_weight
        else None,
        parent=parent,
    )


def _version(store: Store, kind: str, plan_id: str) -> Manifest:
    version = store.version(kind, plan_id)
    if version is None:
        raise StoreError(f"{kind} {plan_id} is not in the store any more.")
    return version


def _model_of(store: Store, row: Checkpoint) -> "UniAudioLM":
    """Model of the shape that its own row states: a backbone may have given it another than its size's."""
    from uniaudio.training.lm.weights import config_of, load_model

    return load_model(store.open_blob(row.weights), config_of(row).model)


def _first_model(config: dict[str, Any], vocabulary: "Vocabulary") -> "UniAudioLM":
    import torch

    from uniaudio.lm.config import LMConfig
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.lm.pretrained import from_llama

    if config["model"]:
        return UniAudioLM.load(config["model"], dtype=torch.float32)
    preset, seed = LMConfig.preset(config["size"], vocabulary), config["seed"]
    if not config["experts"]:
        preset = preset.without_experts()
    return (
        from_llama(Path(config["backbone"]), preset, seed=seed) if config["backbone"] else UniAudioLM(preset, seed=seed)
    )
