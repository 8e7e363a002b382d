"""Held-out clips as they were recorded, through the store's codec, and through the trained one that comes with the project.

Reads    raw, annotated, codec; the folder of the shipped codec
Row      Figure("speech, “let's go”: starter codec, from 12.5 Hz × 8 codes", [("image/png", "data:…"), ("audio/flac", "data:…")])
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from uniaudio_schemas.errors import UniaudioError
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.store import Store

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio_flows.report.model import Figure
from uniaudio_flows.report.sound import data_uri, encode, picture

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.evaluation.held_out import HeldOutClip

NUM_CLIPS = 2
"""Clips of each domain."""
MAX_SAMPLES = 6 * SAMPLE_RATE
RECORDED, OWN, SHIPPED = "as recorded", "this store's codec", "the starter codec"
log = logging.getLogger(__name__)


def listening(store: Store, folder: Path | None) -> list[Figure]:
    """Clips of the store beside one another; none where there is no shipped codec, or no clip that nothing was trained on."""
    if folder is None or any(store.head(kind) is None for kind in ("raw", "annotated", "codec")):
        return []
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.evaluation.held_out import held_out_clips

    manifest = store.head("codec")
    assert manifest is not None
    (row,) = store.rows(manifest, CodecRow)
    try:
        codecs = {
            OWN: ReasoningCodec.load_files(row.config, store.open_blob(row.weights)),
            SHIPPED: ReasoningCodec.load(folder),
        }
        if codecs[OWN].fingerprint == codecs[SHIPPED].fingerprint:
            del codecs[OWN]
        return figures(held_out_clips(store, NUM_CLIPS), codecs)
    except UniaudioError as error:
        log.warning("the report has no clips of the shipped codec: %s", error)
        return []


def figures(clips: Sequence["HeldOutClip"], codecs: Mapping[str, "ReasoningCodec"]) -> list[Figure]:
    """Each clip as it is, then through each codec: the mean of its latents, where it has one, else ten steps of its flow."""
    audio = [clip.samples[:MAX_SAMPLES] for clip in clips]
    versions: dict[str, list[np.ndarray]] = {RECORDED: audio}
    for name, codec in codecs.items():
        steps = 10 if codec.flow.mean is None else 0
        versions[name] = codec.decode(codec.encode(audio), steps=steps, guidance=1.0)
    return [
        Figure(f"{_title(clip)}: {name}", _media(samples[index]))
        for index, clip in enumerate(clips)
        for name, samples in versions.items()
    ]


def _title(clip: "HeldOutClip") -> str:
    return f"{clip.domain}, “{clip.script}”" if clip.script else f"{clip.domain}, {clip.clip_id[:8]}"


def _media(samples: np.ndarray) -> list[tuple[str, str]]:
    data, mime = encode(samples, SAMPLE_RATE)
    return [("image/png", picture(samples, SAMPLE_RATE)), (mime, data_uri(mime, data))]
