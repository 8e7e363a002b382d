"""`evalset`: one item of an evaluation set that is registered, so that nothing is trained on that shares its sound or its text.

Written by  raw_to_evalset; the ref of a version is the set's name
Read by     raw_to_annotated (column `leaks`), sequences_to_checkpoint (which refuses to train on leaks)

One row:
    {"clip_id": "5f1c…", "name": "esc50", "path": "esc50/1-100032-A-0.wav", "sha256": "5f1c…", "licence": "CC-BY-NC-3.0",
     "sample_rate": 44100, "num_samples": 220500, "text": null, "landmarks": [81274…, …], "audio_sha256": "77aa…"}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import Digest, RawId
from uniaudio_schemas.kinds.raw import NO_LANDMARKS
from uniaudio_schemas.kinds.record import Landmarks, schema


@schema("evalset", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class EvalsetItem:
    clip_id: RawId
    """The id of the raw clip."""
    name: str
    """The name of the evaluation set."""
    path: str
    sha256: Digest
    """The hash of the bytes of the source file."""
    licence: str
    sample_rate: int = 0
    num_samples: int = 0
    text: str | None = None
    """What is spoken, or the document: the reference that must not be trained on."""
    audio_sha256: Digest | None = None
    landmarks: Landmarks = field(default_factory=lambda: NO_LANDMARKS)
