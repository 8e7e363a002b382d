"""The codec that comes with the project: its card, and a sentence that it never heard in training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")

from uniaudio import shipped  # noqa: E402
from uniaudio.audio.frames import SAMPLE_RATE  # noqa: E402
from uniaudio.cli import main  # noqa: E402
from uniaudio.codec.codec import ReasoningCodec  # noqa: E402
from uniaudio.metrics.spectral import log_mel_distance  # noqa: E402
from uniaudio.metrics.stoi import stoi  # noqa: E402

REPOSITORY = Path(__file__).parents[3]
SENTENCE = REPOSITORY / "docs" / "sounds" / "speech.flac"


@pytest.fixture(scope="module")
def codec() -> ReasoningCodec:
    folder = shipped.shipped_codec()
    assert folder == REPOSITORY / "models" / "starter" / "codec"
    return ReasoningCodec.load(folder)


def test_its_card_names_its_fingerprint(codec: ReasoningCodec) -> None:
    card = (REPOSITORY / "models" / "starter" / "codec" / "README.md").read_text(encoding="utf-8")
    assert f"`{codec.fingerprint}`" in card


def test_a_sentence_is_understood_behind_it(codec: ReasoningCodec) -> None:
    samples, _ = soundfile.read(SENTENCE, dtype="float32")
    (codes,) = codec.encode([samples])
    (decoded,) = codec.decode([codes])
    score = stoi(samples, decoded, SAMPLE_RATE)
    assert score is not None and score > 0.7
    swapped = replace(codes, reconstruction=codes.reconstruction[::-1].copy())
    other = stoi(samples, codec.decode([swapped])[0], SAMPLE_RATE)
    assert other is not None and other < 0.4


def test_its_mean_is_what_it_gives_where_nobody_names_steps(codec: ReasoningCodec) -> None:
    samples, _ = soundfile.read(SENTENCE, dtype="float32")
    (codes,) = codec.encode([samples[:SAMPLE_RATE]])
    (decoded,) = codec.decode([codes])
    assert np.array_equal(decoded, codec.decode([codes], steps=0)[0])
    distance = log_mel_distance(samples[:SAMPLE_RATE], decoded, SAMPLE_RATE)
    assert distance is not None and distance < 1.2


def test_the_command_line_takes_it_where_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes, decoded = tmp_path / "speech.codes", tmp_path / "speech.flac"
    assert main(["codec", "encode", str(SENTENCE), "--out", str(codes)]) == 0
    assert main(["codec", "decode", str(codes), "--out", str(decoded)]) == 0
    assert soundfile.info(decoded).frames == soundfile.info(SENTENCE).frames


def test_an_installation_without_weights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipped, "STARTER", tmp_path)
    assert shipped.shipped_codec() is None
    assert main(["codec", "encode", str(SENTENCE), "--out", str(tmp_path / "x")]) == 2
    assert "`--model` must be the folder of a codec" in capsys.readouterr().err
