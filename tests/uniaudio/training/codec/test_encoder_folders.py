"""Encoders of which only Whisper is given: the others start at random, for phase `encoders` to train."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import (
    TRAINED_BIAS_SCALE,
    EncoderFolders,
    import_transformers,
    pretrained_encoders,
    random_encoders,
)


def test_whisper_is_read_and_the_encoders_without_a_folder_are_random(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = replace(CodecConfig.preset("debug"), encoders="pretrained")
    shape = config.whisper
    transformers = import_transformers()
    whisper = transformers.WhisperModel(
        transformers.WhisperConfig(
            d_model=shape.dim, encoder_layers=shape.num_layers, encoder_attention_heads=shape.num_heads,
            encoder_ffn_dim=shape.ff_dim, decoder_layers=1, decoder_attention_heads=shape.num_heads,
            decoder_ffn_dim=shape.ff_dim, num_mel_bins=80, vocab_size=32, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )
    )  # fmt: skip
    whisper.save_pretrained(tmp_path)
    encoders = pretrained_encoders(config, EncoderFolders(whisper=tmp_path))
    random = random_encoders(config, bias_scale=TRAINED_BIAS_SCALE)
    for name, tensor in encoders.state_dict().items():
        expected = whisper.encoder.state_dict()[name[14:]] if name.startswith("whisper.") else random.state_dict()[name]
        assert torch.equal(tensor, expected), name
    with pytest.raises(UsageError, match="must be local folders"):
        pretrained_encoders(config, EncoderFolders(whisper=tmp_path, wavlm=tmp_path / "nothing"))


def test_the_gradient_of_an_encoder_that_is_to_be_trained_is_finite_on_digital_silence() -> None:
    """Without biases every layer norm sees zeros, and its gradient is 316 times what comes from above."""
    pytest.importorskip("transformers")
    config = CodecConfig.preset("debug")
    deep = replace(config, wavlm=replace(config.wavlm, num_layers=6))
    norms = {}
    for bias_scale in (0.0, TRAINED_BIAS_SCALE):
        model = random_encoders(deep, bias_scale=bias_scale).wavlm.model.requires_grad_(True)
        states = model(torch.zeros(1, 3_360)).last_hidden_state
        (states * torch.linspace(-1, 1, states.shape[-1])).sum().backward()
        gradients = [one.grad for one in model.parameters() if one.grad is not None]
        norms[bias_scale] = float(torch.stack([gradient.norm() for gradient in gradients]).norm())
    print(norms)
    assert norms[TRAINED_BIAS_SCALE] < 1e6
    assert not norms[0.0] < 1e6, "silence is harmless without biases too: the test shows nothing"
