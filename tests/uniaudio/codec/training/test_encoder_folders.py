"""Encoders of which only Whisper is given: the others start at random, for phase `encoders` to train."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.config import CodecConfig
from uniaudio.codec.encoders import EncoderFolders, import_transformers, pretrained_encoders, random_encoders


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
    encoders, random = pretrained_encoders(config, EncoderFolders(whisper=tmp_path)), random_encoders(config)
    for name, tensor in encoders.state_dict().items():
        expected = whisper.encoder.state_dict()[name[14:]] if name.startswith("whisper.") else random.state_dict()[name]
        assert torch.equal(tensor, expected), name
    with pytest.raises(UsageError, match="must be local folders"):
        pretrained_encoders(config, EncoderFolders(whisper=tmp_path, wavlm=tmp_path / "nothing"))
