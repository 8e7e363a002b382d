"""How good speech sounds, 1 to 5: DNSMOS overall, by the network in the package speechmos."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value

_WINDOW = 144_160
"""Samples the network takes: 9.01 s at 16 kHz."""
_TO_SCALE = (-0.06766283, 1.11546468, 0.04602535)
"""Polynomial from the network's third output to the scale of opinions, as published with DNSMOS."""
_MAX_HOPS = 7


class MeanOpinionScore:
    name: ClassVar[str] = "mos"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"mos"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # its network is in a package
        path = packages.package_file("speechmos", "dnsmos_models/sig_bak_ovr.onnx", self.name)
        packages.require_package("onnxruntime", self.name)
        self._session: Any = packages.onnx_session(path)

    @classmethod
    def version(cls) -> str:
        return f"dnsmos-{packages.package_version('speechmos')}"

    def annotate(self, clip: Clip) -> list[Value]:
        samples = np.clip(clip.analysis, -1, 1).astype(np.float32)
        if not len(samples):
            return []
        # A short clip is repeated until it fills the window, as in the published script.
        samples = np.tile(samples, -(-_WINDOW // len(samples)))[: max(_WINDOW, len(samples))]
        starts = range(0, len(samples) - _WINDOW + 1, ANALYSIS_RATE)[:_MAX_HOPS]
        scores = []
        for start in starts:
            raw = self._session.run(None, {"input_1": samples[None, start : start + _WINDOW]})[0][0][2]
            scores.append(float(np.polyval(_TO_SCALE, raw)))
        return [Value(column="mos", value=round(float(np.mean(scores)), 3))]
