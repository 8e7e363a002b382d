"""The clips of a unit through the codec: audio made ahead by threads, codes kept as clips are finished, drops with their reason."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.codec.encoding import EncodeWork
from uniaudio_pipelines.instructions_to_tokens.ahead import rendered_ahead
from uniaudio_pipelines.instructions_to_tokens.audio import Rendered, UnitAudio
from uniaudio_pipelines.instructions_to_tokens.finished import FinishedCodes
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens

if TYPE_CHECKING:
    from uniaudio.codec.codec import Codes, ReasoningCodec

SILENT_BELOW = 1e-4
"""Peak (-80 dBFS) under which a clip says nothing."""


class TokenStream:
    """Encoder of the clips of one unit."""

    def __init__(
        self, codec: "ReasoningCodec", audio: UnitAudio, job: InstructionsToTokens, finished: FinishedCodes
    ) -> None:
        self._codec, self._audio, self._job, self._finished = codec, audio, job, finished
        self._encoded = EncodeWork()
        self._wall_s = 0.0
        self.made: list[Tokens] = []
        self.dropped: list[tuple[str, str, str]] = []
        """Clip, reason, detail."""

    def encode(self, groups: Iterable[list[str]]) -> None:
        """All clips of the groups. In which order is the threads' business; the codes of a clip do not depend on it."""
        started = time.perf_counter()
        names: list[str] = []

        def encodable() -> Iterator[np.ndarray]:
            for one in rendered_ahead(groups, self._audio.render, num_threads=self._job.decode_threads):
                if reason := self._reason_against(one):
                    self.dropped.append((one.clip_id, *reason))
                else:
                    names.append(one.clip_id)
                    yield one.samples

        self._codec.encode_stream(encodable(), lambda index, codes: self._take(names[index], codes), self._encoded)
        self._wall_s += time.perf_counter() - started

    @property
    def work(self) -> dict[str, float]:
        """Audio encoded over audio given is `encoded_samples` over `given_samples`, the encoder's busy share the two times'."""
        return {
            "encoded_clips": len(self.made),
            "given_samples": self._encoded.num_given,
            "encoded_samples": self._encoded.num_encoded,
            "decoded_samples": self._audio.num_decoded,
            "encode_seconds": self._encoded.busy_s,
            "wall_seconds": self._wall_s,
        }

    def _take(self, clip: str, codes: "Codes") -> None:
        row = Tokens(
            clip_id=clip,
            num_samples=codes.num_samples,
            reasoning_codes=codes.reasoning,
            reconstruction_codes=codes.reconstruction,
        )
        self.made.append(row)
        self._finished.add(row)

    def _reason_against(self, clip: Rendered) -> tuple[str, str] | None:
        if clip.reason:
            return clip.reason, clip.detail
        if len(clip.samples) < self._job.min_samples:
            return too_short(len(clip.samples), self._job)
        peak = float(np.abs(clip.samples).max())
        # Not `peak < …`: that would let NaN through.
        return None if peak >= SILENT_BELOW else ("silent", f"peak {peak:.1e}, at least {SILENT_BELOW:.1e}")


def too_short(num_samples: int, job: InstructionsToTokens) -> tuple[str, str]:
    return "too_short", f"{num_samples} samples, at least {job.min_samples}"
