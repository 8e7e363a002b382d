"""Held-out clips through two codecs in the report."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")

from uniaudio_flows.report.shipped import OWN, RECORDED, SHIPPED, figures, listening  # noqa: E402
from uniaudio_schemas.store import Store  # noqa: E402

from uniaudio.codec.evaluation.held_out import HeldOutClip  # noqa: E402
from uniaudio.testing import a_waveform, tiny_codec  # noqa: E402


def clip(domain: str, script: str | None) -> HeldOutClip:
    return HeldOutClip(clip_id="5f1c" * 16, domain=domain, split="test", samples=a_waveform(0.5), script=script)


def test_each_clip_is_shown_as_it_is_and_through_each_codec() -> None:
    codecs = {OWN: tiny_codec(), SHIPPED: tiny_codec()}
    shown = figures([clip("speech", "let's go"), clip("sound", None)], codecs)
    titles = ["speech, “let's go”", "sound, 5f1c5f1c"]
    assert [one.title for one in shown] == [f"{title}: {name}" for title in titles for name in (RECORDED, OWN, SHIPPED)]
    heard = []
    for figure in shown:
        (picture, source), (mime, audio) = figure.media
        assert picture == "image/png" and source.startswith("data:image/png;base64,") and mime == "audio/flac"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(audio.partition(",")[2])))
        assert rate == 24_000 and len(samples) == len(a_waveform(0.5))
        heard.append(samples)
    assert np.abs(heard[0] - a_waveform(0.5)).max() < 1e-4
    assert np.abs(heard[1] - heard[0]).max() > 0.01
    assert np.array_equal(heard[1], heard[2])


def test_nothing_is_shown_without_a_codec_of_either_side(tmp_path: Path) -> None:
    assert listening(Store(tmp_path), None) == []
    assert listening(Store(tmp_path), tmp_path) == []
