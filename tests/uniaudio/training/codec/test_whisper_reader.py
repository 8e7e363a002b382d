"""Whisper's decoder as a reader of reasoning frames, on a tiny one with random weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import import_transformers
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.codec import whisper_reader
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec
from uniaudio.training.codec.whisper_reader import WhisperReader

WORDS = ["\u0120let", "\u0120us", "\u0120go", "\u0120home"]
MARKS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|cs|>", "<|transcribe|>", "<|notimestamps|>"]
DIM = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of four words, as models are prepared."""
    pytest.importorskip("transformers")
    transformers = import_transformers()
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    vocabulary = {word: index for index, word in enumerate([*WORDS, *MARKS])}
    config = transformers.WhisperConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=1500,
        max_target_positions=120, num_mel_bins=80, pad_token_id=4, bos_token_id=4, eos_token_id=4, decoder_start_token_id=5,
        suppress_tokens=None, begin_suppress_tokens=None, init_std=0.3,
    )  # fmt: skip
    transformers.WhisperForConditionalGeneration(config).half().save_pretrained(folder)
    marks = [
        {"id": vocabulary[mark], "content": mark, "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
        for mark in MARKS
    ]  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": marks, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
        "use_regex": True}, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "\u0120home"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture
def reader(folder: Path) -> WhisperReader:
    torch.manual_seed(1)
    return WhisperReader(DIM, folder)


def test_what_is_behind_the_end_is_not_read(reader: WhisperReader) -> None:
    frames_BRD = torch.randn(1, 6, DIM)
    valid_BR = torch.tensor([[True, True, True, True, False, False]])
    noisy_BRD = frames_BRD + 5 * (~valid_BR)[..., None]
    told = (valid_BR, ["let us go"], ["en"], torch.randn(1, 60, 16))
    one, other = reader(frames_BRD, *told), reader(noisy_BRD, *told)
    assert torch.equal(one.text, other.text) and torch.equal(one.states, other.states)
    assert reader.states(frames_BRD, valid_BR).shape == (1, 60, 16)
    assert (reader.states(frames_BRD, valid_BR)[:, 40:] == 0).all()


def test_the_states_are_measured_over_their_variance(reader: WhisperReader) -> None:
    frames_BRD, valid_BR = torch.randn(2, 4, DIM), torch.ones(2, 4, dtype=torch.bool)
    states_BTW = reader.states(frames_BRD, valid_BR).detach()
    assert reader(frames_BRD, valid_BR, ["", ""], ["", ""], states_BTW).states < 1e-10
    mean_BTW = states_BTW.mean(dim=(0, 1), keepdim=True)
    moved_BTW = mean_BTW + 3 * (states_BTW - mean_BTW)
    error = reader(frames_BRD, valid_BR, ["", ""], ["", ""], moved_BTW).states
    assert torch.isclose(error, torch.tensor((2 / 3) ** 2), rtol=0.02)


def test_a_clip_without_a_text_counts_among_the_states_alone(reader: WhisperReader) -> None:
    frames_BRD, valid_BR, states_BTW = (
        torch.randn(2, 4, DIM),
        torch.ones(2, 4, dtype=torch.bool),
        torch.randn(2, 40, 16),
    )
    both = reader(frames_BRD, valid_BR, ["let us go", ""], ["en", ""], states_BTW)
    first = reader(frames_BRD[:1], valid_BR[:1], ["let us go"], ["en"], states_BTW[:1])
    assert torch.isclose(both.text, first.text) and not torch.isclose(both.states, first.states)


def test_gradients_reach_the_frames_and_never_whisper(reader: WhisperReader) -> None:
    frames_BRD = torch.randn(1, 4, DIM, requires_grad=True)
    before = {name: tensor.clone() for name, tensor in reader._model.state_dict().items()}
    reading = reader(frames_BRD, torch.ones(1, 4, dtype=torch.bool), ["go home"], ["cs"], torch.randn(1, 40, 16))
    reading.text.backward()
    assert frames_BRD.grad is not None and frames_BRD.grad.abs().sum() > 0
    assert all(name.split(".")[0] in ("blocks", "norm", "project") for name in reader.state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in reader._model.state_dict().items())


def test_transcripts_are_what_the_likelihood_likes_best(reader: WhisperReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step with a cache, and in one pass without one."""
    monkeypatch.setattr(whisper_reader, "MAX_TOKENS", 10)
    frames_BRD, valid_BR = torch.randn(3, 5, DIM), torch.ones(3, 5, dtype=torch.bool)
    states_BTW = reader.states(frames_BRD, valid_BR)
    written = reader.transcripts(frames_BRD, valid_BR, ["en"] * 3)
    for row, text in enumerate(written):
        ids = [WORDS.index("\u0120" + word) for word in text.split()]
        inputs_BS = torch.tensor([[5, 6, 8, 9, *ids]])
        logits_SV = reader._logits(states_BTW[row : row + 1], inputs_BS)[0, 3:, :5]
        assert logits_SV[: len(ids)].argmax(dim=-1).tolist() == ids
    with pytest.raises(UsageError, match="`languages` must be known of all clips or of none"):
        reader.transcripts(frames_BRD, valid_BR, ["en", "", "en"])


def test_the_branch_learns_from_what_is_read(folder: Path, tmp_path: Path) -> None:
    codec = ReasoningCodec.create(
        replace(CodecConfig.preset("debug"), whisper=replace(CodecConfig.preset("debug").whisper, dim=16))
    )
    clips = [
        TrainingClip(samples=a_waveform(0.8, frequency=frequency), text=text, facts=ClipFacts(domain="speech", transcript=text, language="en"))
        for frequency, text in ((150.0, "let us go"), (300.0, "go home"), (450.0, "home"))
    ]  # fmt: skip
    phase = replace(
        codec_phase("reasoning"), num_steps=30, num_unquantized_steps=10, learning_rate=1e-2, num_clips=3, log_every=15, reader=str(folder),
        num_teacher_layers=1,
    )  # fmt: skip
    metrics = train_codec(codec, [phase], clips, clips)
    for name in ("transcript", "states"):
        values = [metric.value for metric in metrics if metric.name == name]
        assert values[-1] < values[0]


def test_what_is_no_whisper_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`reader` must be a folder of Whisper, but"):
        WhisperReader(DIM, tmp_path)
