"""What reasoning codes say in words: `uniaudio codec analyse` and the text decoder that is kept with a codec."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.cli import main
from uniaudio.codec.analysis import analyse
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.text_decoder import QUESTIONS, TextDecoder
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec

pytest.importorskip("transformers")


def new_codec(**fields: int) -> ReasoningCodec:
    return ReasoningCodec.create(replace(CodecConfig.preset("debug"), **fields))  # type: ignore[arg-type]


def clips() -> list[TrainingClip]:
    said = {150.0: "one", 420.0: "two"}
    return [
        TrainingClip(samples=a_waveform(0.8, frequency=frequency), text=text, facts=ClipFacts(transcript=text))
        for frequency, text in said.items()
    ]


@pytest.mark.slow
def test_what_a_codec_learned_to_say_is_kept_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile = pytest.importorskip("soundfile")
    codec = new_codec(num_ctc_slots=4)
    phase = replace(codec_phase("reasoning"), tasks=("asr",), num_steps=80, num_unquantized_steps=30, num_clips=2)
    train_codec(codec, [phase], clips(), clips())
    codec.save(tmp_path / "codec")
    for clip in clips():
        (piece,) = analyse(ReasoningCodec.load(tmp_path / "codec"), codec.encode([clip.samples])[0])
        assert (piece.first_s, piece.answers["What is said?"]) == (0.0, clip.text)
        assert piece.spelled == clip.text
    soundfile.write(tmp_path / "two.wav", clips()[1].samples, 24_000)
    typed = ["codec", "analyse", str(tmp_path / "two.wav"), "--model", str(tmp_path / "codec")]
    assert main(typed) == 0
    told = capsys.readouterr().out
    assert "0.0 s" in told and "spelled 'two'" in told and "What is said? 'two'" in told
    assert main([*typed, "--json"]) == 0
    (told_piece,) = json.loads(capsys.readouterr().out)
    assert (told_piece["first_s"], told_piece["spelled"]) == (0.0, "two")
    assert told_piece["answers"]["What is said?"] == "two"


def test_a_long_clip_is_read_in_pieces() -> None:
    codec = new_codec()
    codes = codec.encode([np.tile(a_waveform(0.8), 45)])[0]
    pieces = analyse(codec, codes)
    assert [piece.first_s for piece in pieces] == [0.0, 30.0]
    assert all(piece.spelled is None and piece.answers.keys() == set(QUESTIONS.values()) for piece in pieces)


def test_a_codec_that_keeps_no_words_says_so() -> None:
    codec = new_codec(num_text_layers=0)
    assert "num_text_layers" not in codec.config.to_dict()
    with pytest.raises(UsageError, match="`model` must be a codec that keeps a text decoder or a CTC head"):
        analyse(codec, codec.encode([a_waveform(0.8)])[0])


def test_answers_are_the_likeliest_bytes() -> None:
    torch.manual_seed(0)
    decoder = TextDecoder(8, num_layers=1, max_bytes=12, max_frames=6).eval()
    frames = torch.randn(4, 8)
    (answer,) = decoder.answers(frames, ["?"])
    ids = list(answer.encode("utf-8", errors="replace"))
    own = decoder.likelihood(
        frames[None],
        torch.ones(1, 4, dtype=torch.bool),
        ["?"],
        [decoder.sample(frames[None], torch.ones(1, 4, dtype=torch.bool), ["?"], torch.full((1, 13), 0.9), 1e-4)[0]],
    )
    for other in range(256):
        changed = decoder.likelihood(frames[None], torch.ones(1, 4, dtype=torch.bool), ["?"], [[other]])
        assert changed.log_probability[0, 0] <= own.log_probability[0, 0] + 1e-5
    assert len(ids) <= 3 * 13
