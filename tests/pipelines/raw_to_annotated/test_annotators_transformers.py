"""Annotators by models of transformers, on models of the same classes that are tiny and random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.chat_caption import ChatCaption
from uniaudio_pipelines.raw_to_annotated.annotators.transformers_models import (
    MODELS,
    AudioSetTags,
    Emotion,
    WavLMSpeaker,
    ZeroShotTagger,
)
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.cuts import Cut

from tests.pipelines.raw_to_annotated.clips import a_raw
from uniaudio.codec.encoders.frozen import import_transformers

transformers = import_transformers()
pytestmark = pytest.mark.slow  # importing transformers takes seconds

RATE = 16_000
_WAVE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (80, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
    "classifier_proj_size": 8,
}


def clip(seconds: float = 1.0, domain: str = "speech", seed: int = 0, known: dict[str, Any] | None = None) -> Clip:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)
    raw = a_raw(domain)
    return Clip(raw=raw, domain=domain, samples=samples[None], analysis=samples, known=known or {})


def save_wave_extractor(folder: Path) -> None:
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE).save_pretrained(folder)


def test_an_x_vector_is_of_unit_length_and_differs_between_clips(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.WavLMConfig(
        **_WAVE, tdnn_dim=(8, 8), tdnn_kernel=(3, 1), tdnn_dilation=(1, 1), xvector_output_dim=12
    )
    transformers.WavLMForXVector(config).save_pretrained(tmp_path / WavLMSpeaker.folder)
    save_wave_extractor(tmp_path / WavLMSpeaker.folder)
    annotator = WavLMSpeaker(tmp_path, "cpu")
    first, second = (annotator.annotate(clip(seed=seed))[0].value for seed in (0, 1))
    assert len(first) == 12
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first != second
    assert annotator.annotate(clip(seed=0))[0].value == first
    assert annotator.annotate(clip(0.4)) == []


def test_a_classifier_of_one_label_says_the_probable_one_with_its_prefix(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**_WAVE, id2label={0: "angry", 1: "calm"}, label2id={"angry": 0, "calm": 1})
    model = transformers.Wav2Vec2ForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([2.0, 0.0]))
    model.save_pretrained(tmp_path / Emotion.folder)
    save_wave_extractor(tmp_path / Emotion.folder)
    (value,) = Emotion(tmp_path, "cpu").annotate(clip(known={"tags": ["radio"]}))
    assert value.value == ["radio", "emotion: angry"]
    assert value.confidence == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)


def test_a_classifier_of_several_labels_says_all_that_are_probable(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=64,
        num_mel_bins=16,
        id2label={0: "Dog", 1: "Rain", 2: "Music"},
        label2id={"Dog": 0, "Rain": 1, "Music": 2},
        problem_type="multi_label_classification",
    )
    model = transformers.ASTForAudioClassification(config)
    with torch.no_grad():
        model.classifier.dense.weight.zero_()
        model.classifier.dense.bias.copy_(torch.tensor([0.0, 2.0, -5.0]))
    model.save_pretrained(tmp_path / AudioSetTags.folder)
    transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=64).save_pretrained(tmp_path / AudioSetTags.folder)
    annotator = AudioSetTags(tmp_path, "cpu")
    (value,) = annotator.annotate(clip(domain="sound"))
    assert value.value == ["Rain", "Dog"]
    assert value.confidence == pytest.approx(0.5, abs=1e-3)
    assert annotator.annotate(clip(domain="sound", known={"tags": ["dog", "rain"]})) == []


def a_tokenizer(folder: Path, words: list[str]) -> Any:
    """One token a word."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.save_pretrained(folder)
    return fast


def test_clap_chooses_among_the_words_of_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / ZeroShotTagger.folder
    config = transformers.ClapConfig(
        text_config={"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "intermediate_size": 16, "projection_dim": 8},
        audio_config={"window_size": 4, "num_mel_bins": 16, "spec_size": 64, "patch_size": 4, "patch_stride": [4, 4],
                      "hidden_size": 16, "projection_dim": 8, "depths": [1, 1], "num_attention_heads": [2, 2],
                      "patch_embeds_hidden_size": 8, "num_hidden_layers": 2, "enable_fusion": False},
        projection_dim=8,
    )  # fmt: skip
    transformers.ClapModel(config).save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=RATE,
        hop_length=160,
        max_length_s=1,
        fft_window_size=512,
        truncation="rand_trunc",
    )
    transformers.ClapProcessor(extractor, a_tokenizer(folder, ["dog", "rain"])).save_pretrained(folder)
    with pytest.raises(UsageError, match=r"labels.txt is missing"):
        ZeroShotTagger(tmp_path, "cpu")
    (folder / "labels.txt").write_text("dog\n\nrain\n")
    found = ZeroShotTagger(tmp_path, "cpu").annotate(clip(domain="sound"))
    assert {tag for value in found for tag in value.value} & {"dog", "rain"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatCaption:
    torch.manual_seed(0)
    models = tmp_path_factory.mktemp("models")
    words = ["A", "man", "speaks", "slowly", "in", "a", "low", "voice", "."]
    a_tokenizer(models / ChatCaption.folder, words)
    config = transformers.LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(models / ChatCaption.folder)
    return ChatCaption(models, "cpu")


def test_what_a_random_model_says_is_rejected(chat: ChatCaption) -> None:
    known = {"style": "A man speaks slowly in a low voice.", "evidence": ["facts.gender=male"]}
    assert chat._reword(known["style"]) == chat._reword(known["style"])
    assert chat.annotate(clip(known=known)) == []


def test_a_true_rewording_takes_the_place_of_the_sentence(chat: ChatCaption, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_reword", lambda sentence: "Slowly, in a low voice, a man is speaking.")
    known = {"style": "A man speaks slowly in a low voice.", "evidence": ["facts.gender=male"]}
    (value,) = chat.annotate(clip(known=known))
    assert (value.column, value.value) == ("style", "Slowly, in a low voice, a man is speaking.")
    assert chat.annotate(clip(known={"style": known["style"]})) == []
    assert chat.annotate(clip(domain="sound", known=known)) == []


@pytest.mark.parametrize("cls", [*MODELS, ChatCaption])
def test_a_model_that_is_not_there_or_none_is_said(cls: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"leave `{cls.name}` out"):
        cls(tmp_path, "cpu")
    (tmp_path / cls.folder).mkdir()
    (tmp_path / cls.folder / "config.json").write_text('{"model_type": "none"}')
    (tmp_path / cls.folder / "labels.txt").write_text("dog")
    with pytest.raises(DataError, match="is no model"):
        cls(tmp_path, "cpu")
    assert set(Cut.__dataclass_fields__) >= cls.writes | cls.reads
