"""The raw clip that tests of annotators say something about."""

from typing import Any

from uniaudio_schemas.kinds.raw import Raw


def a_raw(domain: str = "speech", **columns: Any) -> Raw:
    """Audio at 16 kHz, unless `columns` say otherwise."""
    return Raw(
        **{
            "clip_id": "c",
            "medium": "audio",
            "corpus": "a",
            "path": "a/x",
            "sha256": "0",
            "domain": domain,
            "licence": "unknown",
            "sample_rate": 16_000,
            **columns,
        }
    )
