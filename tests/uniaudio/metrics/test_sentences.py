"""Embeddings of sentences by a BERT in a local folder, here a tiny one of random weights."""

from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.metrics.sentences import load_sentence_encoder

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


def a_bert(folder: Path) -> Path:
    """With a tokenizer of words that pads to eight tokens, as that of MiniLM pads to 128."""
    import_torchaudio()  # whole builds of it need a GPU's libraries, and transformers imports it
    words = {word: number for number, word in enumerate(["[UNK]", "[PAD]", "a", "dog", "barks", "loudly"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=8, pad_id=1)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_sentence_is_one_unit_vector_of_its_own_tokens(tmp_path: Path) -> None:
    embed = load_sentence_encoder(a_bert(tmp_path))
    first, second = embed("a dog barks"), embed("a dog barks loudly")
    assert first.shape == (8,) and np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(first, second, atol=1e-4)
    padded = load_sentence_encoder(tmp_path)("a dog barks [PAD]")
    assert not np.allclose(first, padded, atol=1e-4), "padding is no part of a sentence"


def test_a_folder_without_a_bert_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a folder of a BERT"):
        load_sentence_encoder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="not a BERT of transformers"):
        load_sentence_encoder(tmp_path)
