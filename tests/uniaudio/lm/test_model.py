"""What the language model promises whatever its weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.lm.config import PRESETS, LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary

MakeRow = Callable[..., SimpleNamespace]


def hidden_of(model: UniAudioLM, *rows: SimpleNamespace, document_ids: Tensor | None = None) -> Tensor:
    ids, is_audio, is_text = (
        torch.stack([getattr(row, name) for row in rows]) for name in ("ids", "is_audio", "is_text")
    )
    return model(ids, is_audio, is_text, document_ids)


def joined(*rows: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: torch.cat([getattr(row, name) for row in rows]) for name in ("ids", "is_audio", "is_text")}
    )


def test_a_packed_row_gives_the_logits_of_its_documents(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    documents = [make_row("ttaaat", 1), make_row("aaatt", 2), make_row("t", 3), make_row("ttttaa", 4)]
    padding = make_row("...", 5)
    document_ids = torch.cat([torch.full((len(row.ids),), i) for i, row in enumerate([*documents, padding])])[None]
    packed = hidden_of(tiny_model, joined(*documents, padding), document_ids=document_ids)[0]
    alone = torch.cat([hidden_of(tiny_model, row)[0] for row in documents])
    text = tiny_model.text_logits(packed[: len(alone)]), tiny_model.text_logits(alone)
    torch.testing.assert_close(*text, atol=1e-5, rtol=0)
    codes = make_row("a" * len(alone), 6).ids[:, :8]
    audio = tiny_model.audio_logits(packed[: len(alone)], codes), tiny_model.audio_logits(alone, codes)
    torch.testing.assert_close(*audio, atol=1e-5, rtol=0)


def test_a_document_is_blind_to_its_neighbours(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    document_ids = torch.tensor([[0] * 4 + [1] * 6])
    seen = [
        hidden_of(tiny_model, joined(make_row("ttaa", seed), make_row("aatttt", 9)), document_ids=document_ids)[0, 4:]
        for seed in (1, 2)
    ]
    assert torch.equal(*seen)


def test_right_padding_changes_nothing(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    short, long = make_row("ttaaat", 1), make_row("aaaatttttt", 2)
    batched = hidden_of(tiny_model, joined(short, make_row("....", 3)), long)
    torch.testing.assert_close(batched[0, :6], hidden_of(tiny_model, short)[0], atol=1e-5, rtol=0)
    assert not batched[0, 6:].any()


def test_the_future_is_not_seen(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    row, other = make_row("ttaattaa", 1), make_row("ttaattaa", 2)
    other.ids[:5] = row.ids[:5]
    assert torch.equal(hidden_of(tiny_model, row)[0, :5], hidden_of(tiny_model, other)[0, :5])
    assert not torch.equal(hidden_of(tiny_model, row)[0, 5:], hidden_of(tiny_model, other)[0, 5:])


def test_columns_of_the_other_modality_are_ignored(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    row = make_row("ttaa", 1)
    changed = SimpleNamespace(**vars(row))
    changed.ids = row.ids.clone()
    changed.ids[:2, :8], changed.ids[2:, 8] = 10**6, 10**6
    assert torch.equal(hidden_of(tiny_model, row), hidden_of(tiny_model, changed))


def test_text_before_audio_reaches_it_through_the_backbone(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    row, other = make_row("ttaa", 1), make_row("ttaa", 1)
    other.ids[0, 8] = (row.ids[0, 8] + 1) % 256
    assert not torch.allclose(hidden_of(tiny_model, row)[0, 3], hidden_of(tiny_model, other)[0, 3])


def test_a_code_is_predicted_from_the_codes_before_it_alone(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    hidden = hidden_of(tiny_model, make_row("tttt", 1))[0]
    codes = make_row("aaaa", 2).ids[:, :8]
    changed = codes.clone()
    changed[:, 3] = (codes[:, 3] + 1) % 60
    before, after = tiny_model.audio_logits(hidden, codes), tiny_model.audio_logits(hidden, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_no_audio_targets_give_empty_logits(tiny_model: UniAudioLM) -> None:
    logits = tiny_model.audio_logits(torch.zeros(0, 32), torch.zeros(0, 8, dtype=torch.int64))
    assert logits.shape == (0, 8, 60)


def test_promising_no_audio_changes_no_text_row(tiny_model: UniAudioLM, make_row: MakeRow) -> None:
    row = make_row("tttttt", 1)
    skipped = tiny_model(row.ids[None], row.is_audio[None], row.is_text[None], has_audio=False)
    torch.testing.assert_close(skipped, hidden_of(tiny_model, row), atol=1e-6, rtol=0)


def test_without_experts_audio_goes_straight_through_the_backbone(tiny_config: LMConfig, make_row: MakeRow) -> None:
    model = UniAudioLM(tiny_config.without_experts())
    assert not [name for name, _ in model.named_parameters() if "expert" in name]
    row = make_row("ttaa", 1)
    summed = torch.stack([model.embed_code(row.ids[2:, q], q) for q in range(8)]).sum(0)
    torch.testing.assert_close(model.embed_frames(row.ids[2:, :8]), summed, atol=1e-6, rtol=0)
    assert hidden_of(model, row).shape == (1, 4, 32)


def test_recomputation_gives_the_same_gradients(tiny_config: LMConfig, make_row: MakeRow) -> None:
    gradients = []
    for mode in ("none", "blocks"):
        model = UniAudioLM(tiny_config, seed=2)
        model.set_recomputation(mode)
        hidden_of(model, make_row("ttaaat", 1)).square().sum().backward()
        gradients.append(model.backbone.layers[0].mlp.up.weight.grad)
    assert torch.equal(*gradients)


def test_weights_from_scratch_are_a_function_of_the_seed(tiny_config: LMConfig) -> None:
    first, again, other = (UniAudioLM(tiny_config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["audio_head.weight"], other["audio_head.weight"])
    assert torch.equal(first["text_head.weight"], first["text_embedding.weight"])


def test_fresh_weights_predict_almost_uniformly(make_row: MakeRow) -> None:
    vocabulary = Vocabulary()
    model = UniAudioLM(LMConfig.preset("debug", vocabulary))
    hidden = hidden_of(model, make_row("tttaaatt", 1))[0]
    for logits, size in (
        (model.text_logits(hidden), vocabulary.text_size),
        (model.audio_logits(hidden, make_row("a" * 8, 2).ids[:, :8]), vocabulary.audio_size),
    ):
        entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
        assert (entropy > 0.97 * torch.log(torch.tensor(float(size)))).all()


@pytest.mark.parametrize(("preset", "num_parameters"), [("paper_1b", 2_453_123_072), ("paper_3b", 4_863_493_120)])
def test_the_paper_presets_have_the_released_number_of_parameters(preset: str, num_parameters: int) -> None:
    released_sizes = SimpleNamespace(text_size=128_256, audio_size=12_300, num_codebooks=8, fingerprint="")
    with torch.device("meta"):
        assert UniAudioLM(LMConfig.preset(preset, released_sizes)).num_parameters() == num_parameters


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_survives_json(preset: str) -> None:
    config = LMConfig.preset(preset, Vocabulary())
    assert LMConfig.from_json(config.to_json()) == config


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UsageError, match="but is 'huge'"):
        LMConfig.preset("huge", Vocabulary())


def test_loading_inverts_saving(tiny_model: UniAudioLM, tmp_path: Path) -> None:
    tiny_model.save(tmp_path)
    loaded = UniAudioLM.load(tmp_path)
    assert loaded.config == tiny_model.config
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in tiny_model.state_dict().items())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert UniAudioLM.load(tmp_path, dtype=torch.bfloat16).projection.weight.dtype == torch.bfloat16


def test_loading_names_the_tensor_that_does_not_fit(tiny_model: UniAudioLM, tmp_path: Path) -> None:
    tiny_model.save(tmp_path)
    (tmp_path / "config.json").write_text(replace(tiny_model.config, text_size=299).to_json())
    with pytest.raises(DataError, match=r"text_embedding.weight must be \[299, 32\], but is \[300, 32\]"):
        UniAudioLM.load(tmp_path)


def test_bfloat16_stays_close_to_float32(tiny_config: LMConfig, make_row: MakeRow) -> None:
    model, row = UniAudioLM(tiny_config), make_row("ttaaat", 1)
    expected = hidden_of(model, row)
    rounded = hidden_of(model.to(torch.bfloat16), row)
    assert rounded.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(rounded.float(), expected, dim=-1).min() > 0.99
