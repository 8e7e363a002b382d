"""Reading checkpoints of the authors: the tiny golden one, and the released shapes on the meta device."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError

from uniaudio.lm.config import LMConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.load import (
    config_of,
    import_released,
    our_name,
    read_checkpoint,
    released_name,
    reorder_interleaved_qkv,
    to_our_names,
)
from uniaudio.lm.released.vocabulary import read_llm_config
from uniaudio.sequence.vocabulary import Vocabulary

HEAD_SIZES = {"head_sizes": (16, 16)}
LLM_CONFIG = """!!python/object:argparse.Namespace
parallel_number: 9
audio_reason_card: 40
audio_semantic_card: 72
reason_bos: 36
reason_eos: 37
reason_pad_token: 39
semantic_eos: 68
semantic_bos: 69
semantic_pad_token: 70
text_pad_token: 500
llm_name: meta-llama/Llama-3.2-3B
local_model: meta-llama/Llama-3.2-300M
audio_prompt_bos: 45
audio_prompt_eos: 46
"""


@pytest.fixture
def llm_config(tmp_path: Path) -> Path:
    path = tmp_path / "llm_config.yaml"
    path.write_text(LLM_CONFIG)
    return path


@pytest.fixture
def state(parity_folder: Path) -> dict[str, Tensor]:
    return read_checkpoint(parity_folder / "core_model.checkpoint")


def saved(state: dict[str, Any], path: Path) -> Path:
    torch.save(state, path)
    return path


def text_logits(model: UniAudioLM, golden: dict[str, Any]) -> Tensor:
    mask = golden["masks"].bool()[:, :-1]
    with torch.no_grad():
        return model.text_logits(model(golden["tokens"][:, :-1], mask[..., 0], mask[..., 8]))


def interleaved(weight: Tensor, num_groups: int, head_size: int) -> Tensor:
    """The older layout of a fused attention weight."""
    key_rows = num_groups * head_size
    query, key, value = weight.split([len(weight) - 2 * key_rows, key_rows, key_rows])
    groups = zip(query.chunk(num_groups), key.chunk(num_groups), value.chunk(num_groups), strict=True)
    return torch.cat([part for group in groups for part in group])


def test_parity_of_an_imported_checkpoint(
    parity_folder: Path, golden: dict[str, Any], llm_config: Path, tmp_path: Path
) -> None:
    import_released(parity_folder / "core_model.checkpoint", llm_config, tmp_path / "out", **HEAD_SIZES)
    model = UniAudioLM.load(tmp_path / "out")
    torch.testing.assert_close(text_logits(model, golden), golden["forward"]["text_logits"], atol=2e-5, rtol=0)
    vocabulary = Vocabulary.from_json((tmp_path / "out" / "vocabulary.json").read_text())
    assert model.config.vocabulary_fingerprint == vocabulary.fingerprint
    assert (vocabulary.reconstruction_bos, vocabulary.reconstruction_eos, vocabulary.text_pad) == (109, 108, 500)


def test_parity_of_prefixed_legacy_layout(
    state: dict[str, Tensor], golden: dict[str, Any], llm_config: Path, tmp_path: Path
) -> None:
    renamed = {}
    for name, tensor in state.items():
        if name.endswith("attn.qkv.weight"):
            backbone_head_size, local_head_size = HEAD_SIZES["head_sizes"]
            head_size = local_head_size if name.startswith("decoder.") else backbone_head_size
            num_queries = state[name.replace("attn.qkv", "attn.proj")].shape[1]
            tensor = interleaved(tensor, (len(tensor) - num_queries) // (2 * head_size), head_size)
        renamed[f"module.module.{name.replace('attn.qkv', 'attn.attn')}"] = tensor
    path = saved({"model": renamed, "optimizer": {"lr": 0.1}}, tmp_path / "old.checkpoint")
    import_released(path, llm_config, tmp_path / "out", **HEAD_SIZES)
    model = UniAudioLM.load(tmp_path / "out")
    torch.testing.assert_close(text_logits(model, golden), golden["forward"]["text_logits"], atol=2e-5, rtol=0)


def test_a_bfloat16_checkpoint_is_read_as_any_dtype(state: dict[str, Tensor], llm_config: Path, tmp_path: Path) -> None:
    path = saved({"model": {name: t.bfloat16() for name, t in state.items()}}, tmp_path / "half.checkpoint")
    for dtype, expected in ((None, torch.bfloat16), (torch.float32, torch.float32)):
        import_released(path, llm_config, tmp_path / str(expected), dtype=dtype, **HEAD_SIZES)
        assert UniAudioLM.load(tmp_path / str(expected)).projection.weight.dtype == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("decoder.transformer.h.1.mlp.proj.weight"),
            r"decoder\.transformer\.h\.1\.mlp\.proj\.weight is missing",
        ),
        (lambda s: s.update({"semantic_head.weight": torch.ones(1)}), "semantic_head.weight is left over"),
        (
            lambda s: s.update({"projection.weight": torch.ones(64, 95)}),
            r"projection.weight must be \[64, 96\], but is \[64, 95\]",
        ),
        (
            lambda s: s.update({"audio_embeddings.weight": torch.ones(9, 96)}),
            "8 x 112 rows, the ids of audio_head, but has 9",
        ),
        (lambda s: s.pop("audio_head"), "audio_head is missing"),
        (
            lambda s: s.update({"audio_head": torch.ones(3)}),
            r"audio_head must have 3 axes, none of them empty, but is \[3\]",
        ),
        (lambda s: s.pop("backbone.transformer.h.0.attn.qkv.weight"), "h.0.attn.qkv.weight is missing"),
        (
            lambda s: s.update({"module.projection.weight": s["projection.weight"] + 1}),
            "projection.weight is there twice, with and without `module.`",
        ),
        (lambda s: s["projection.weight"][3].fill_(torch.nan), "projection.weight must hold numbers, but holds NaN"),
        (lambda s: s["audio_head"][0, 1].fill_(torch.inf), "audio_head must hold numbers, but holds NaN or infinity"),
        (
            lambda s: s.update({"projection.weight": s["projection.weight"].int()}),
            "but holds torch.strided torch.int32",
        ),
        (
            lambda s: s.update(
                {"backbone.transformer.h.1.attn.attn.weight": s.pop("backbone.transformer.h.1.attn.qkv.weight")[1:]}
            ),
            r"h.1.attn.attn.weight must have 160 rows, but is \[159, 96\]",
        ),
    ],
)
def test_a_key_that_does_not_fit_is_named(
    state: dict[str, Tensor],
    llm_config: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], object],
    message: str,
) -> None:
    change(state)
    path = saved({"model": state}, tmp_path / "bad.checkpoint")
    with pytest.raises(DataError, match=message):
        import_released(path, llm_config, tmp_path / "out", **HEAD_SIZES)
    assert not (tmp_path / "out").exists()


class _Reporter:
    """An object of the trainer, which only pickle could bring back."""


def test_a_checkpoint_with_objects_is_refused_and_never_run(llm_config: Path, tmp_path: Path) -> None:
    path = saved({"model": {}, "reporter": _Reporter()}, tmp_path / "objects.checkpoint")
    with pytest.raises(DataError, match=r"objects.checkpoint: must hold tensors and plain containers only"):
        import_released(path, llm_config, tmp_path / "out", **HEAD_SIZES)


def test_the_released_3b_shapes_fit_key_by_key(parity_folder: Path) -> None:
    shapes = json.loads((parity_folder / "state_dict_3b_shapes.json").read_text())
    assert len(shapes) == 268
    config = config_of({name: tuple(shape) for name, shape in shapes.items()}, parity_folder, 128, 64)
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        ours = UniAudioLM(config).state_dict()
    renamed = to_our_names(state, config, parity_folder)
    assert {name: t.shape for name, t in renamed.items()} == {name: t.shape for name, t in ours.items()}
    assert config == LMConfig.preset("paper_3b", _Sizes())


class _Sizes:
    text_size, audio_size, num_codebooks, fingerprint = 128_256, 12_300, 8, ""


def test_a_config_that_names_another_released_model_is_refused(parity_folder: Path) -> None:
    shapes = json.loads((parity_folder / "state_dict_3b_shapes.json").read_text())
    with pytest.raises(DataError, match=r"backbone is 3072 wide and so must have heads of 128, but .* says 64"):
        config_of({name: tuple(shape) for name, shape in shapes.items()}, parity_folder, 64, 64)


def test_every_name_of_ours_leads_back_to_theirs(parity_folder: Path) -> None:
    for name in json.loads((parity_folder / "state_dict_3b_shapes.json").read_text()):
        assert released_name(our_name(name) or "") == name


def test_reordering_inverts_interleaving() -> None:
    stack = StackConfig(num_layers=1, width=3, num_heads=6, num_kv_heads=2, head_size=4, mlp_width=1)
    weight = torch.arange(40.0 * 3).reshape(40, 3)
    assert torch.equal(reorder_interleaved_qkv(interleaved(weight, 2, 4), stack), weight)


def test_the_yaml_of_a_namespace_is_read_as_plain_fields(llm_config: Path) -> None:
    assert read_llm_config(llm_config)["audio_reason_card"] == 40


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("audio_semantic_card: 72", "audio_semantic_card: 71", "must be the 112 ids of audio_head, but is 111"),
        ("parallel_number: 9", "parallel_number: 4", "must be 9, but is 4"),
        ("reason_bos: 36\n", "", "`reason_bos` must be a whole number, but is None"),
        ("reason_bos: 36", "reason_bos: 37", "must be distinct"),
        ("reason_bos: 36", "reason_bos: true", "`reason_bos` must be a whole number, but is True"),
        ("llm_name: meta-llama/Llama-3.2-3B", "llm_name: other", "`llm_name` must be one of"),
    ],
)
def test_a_wrong_llm_config_is_named(
    parity_folder: Path, llm_config: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    llm_config.write_text(LLM_CONFIG.replace(old, new))
    sizes = {} if "llm_name" in old else HEAD_SIZES
    with pytest.raises(DataError, match=message):
        import_released(parity_folder / "core_model.checkpoint", llm_config, tmp_path / "out", **sizes)
