"""How good speech sounds, 1 to 5: DNSMOS overall, by the network in the package speechmos."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, SPEECH, Clip, Value

_MAX_HOPS = 7
"""Windows that are heard of a long clip: a corpus asks for less than a test does (`uniaudio.metrics.dnsmos`, which hears all)."""


class MeanOpinionScore:
    name: ClassVar[str] = "mos"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"mos"})

    def __init__(self, models: Path, device: str) -> None:
        del models  # its network is in a package
        from uniaudio.metrics import dnsmos

        path = packages.package_file("speechmos", dnsmos.NETWORK, self.name)
        packages.require_package("onnxruntime", self.name)
        self._session: Any = packages.onnx_session(path)
        self._window, self._opinion = dnsmos.WINDOW_SAMPLES, dnsmos.overall_opinion

    @classmethod
    def version(cls) -> str:
        return f"dnsmos-{packages.package_version('speechmos')}"

    def annotate(self, clip: Clip) -> list[Value]:
        samples = np.clip(clip.analysis, -1, 1).astype(np.float32)
        if not len(samples):
            return []
        # A short clip is repeated until it fills the window, as in the published script.
        samples = np.tile(samples, -(-self._window // len(samples)))[: max(self._window, len(samples))]
        starts = range(0, len(samples) - self._window + 1, ANALYSIS_RATE)[:_MAX_HOPS]
        scores = []
        for start in starts:
            raw = self._session.run(None, {"input_1": samples[None, start : start + self._window]})[0][0]
            scores.append(self._opinion(raw))
        return [Value(column="mos", value=round(float(np.mean(scores)), 3))]
