"""`uniaudio lm`: text models and released checkpoints become folders that `uniaudio run` reads."""

import argparse
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.cli import main
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.file import foreign_names, load_safely
from uniaudio.run.model import Options, UniAudio
from uniaudio.run.request import Request
from uniaudio.testing import tiny_codec


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A tiny LlamaForCausalLM over 300 ids, more than bytes need."""
    pytest.importorskip("transformers")
    import_torchaudio()
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return folder, model


def text_logits(model: UniAudioLM, ids: torch.Tensor) -> torch.Tensor:
    grid = torch.zeros(*ids.shape, 9, dtype=torch.int64)
    grid[..., 8] = ids
    is_text = torch.ones(ids.shape, dtype=torch.bool)
    with torch.no_grad():
        return model.text_logits(model(grid, ~is_text, is_text))


def test_a_text_model_becomes_a_model_that_continues_text(
    llama: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, theirs = llama
    tiny_codec().save(tmp_path / "codec")
    arguments = [
        folder,
        "--out",
        tmp_path / "out",
        "--codec",
        tmp_path / "codec",
        "--size",
        "debug",
        "--tokenizer",
        "bytes",
    ]
    assert main(["lm", "import", *map(str, arguments)]) == 0
    assert "backbone 2 x 32" in capsys.readouterr().out
    model = UniAudio.from_pretrained(tmp_path / "out")
    assert model.tasks == ["text_only"]
    ids = torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(text_logits(model.parts.model, ids), expected, atol=1e-4, rtol=0)
    answer = model.run("text", text="Once", options=Options(max_text=5))
    assert len(answer.generated.segments[0].ids) == 5
    assert model.score("text", ["a", "b"], Request(text="Once"))[0].num_text == 2


@pytest.mark.parametrize(
    ("files", "has"), [(["tokenizer.model"], "has tokenizer.model alone"), (["merges.txt", "vocab.json"], "merges.txt, vocab.json"), ([], "no tokenizer")]
)  # fmt: skip
def test_a_text_model_whose_text_ids_cannot_be_made_is_refused(
    llama: tuple[Path, Any], tmp_path: Path, files: list[str], has: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(llama[0], folder)
    for name in files:
        (folder / name).write_bytes(b"pieces")
    assert main(["lm", "import", str(folder), "--out", str(tmp_path / "out"), "--size", "debug"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "must hold a tokenizer.json" in line and has in line
    assert not (tmp_path / "out").exists()


def test_a_model_with_a_tokenizer_of_its_own_is_exported_with_it(llama: tuple[Path, Any], tmp_path: Path) -> None:
    words = pytest.importorskip("tokenizers")
    source = Path(shutil.copytree(llama[0], tmp_path / "llama"))
    words.Tokenizer(words.models.WordLevel({"[UNK]": 0, "once": 1}, unk_token="[UNK]")).save(
        str(source / "tokenizer.json")
    )
    assert main(["lm", "import", str(source), "--out", str(tmp_path / "out"), "--size", "debug"]) == 0
    assert main(["lm", "export", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 0
    texts = [
        UniAudio.from_pretrained(tmp_path / name).run("text", text="once", options=Options(max_text=5)).text
        for name in ("out", "again")
    ]
    assert texts[0] == texts[1]


def test_a_text_model_is_never_written_over(
    llama: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(shutil.copytree(llama[0], tmp_path / "llama"))
    assert main(["lm", "import", str(source), "--out", f"{tmp_path}/other/../llama", "--size", "debug"]) == 2
    assert "must be another folder than the text model's" in capsys.readouterr().err
    assert (source / "config.json").read_bytes() == (llama[0] / "config.json").read_bytes()


def test_a_codec_of_other_codes_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "llm_config.yaml").write_text(LLM_CONFIG.replace("reason_bos: 64", "reason_bos: 3"))
    torch.save({"model": released_state()}, tmp_path / "a.checkpoint")
    tiny_codec().save(tmp_path / "codec")
    given = ["a.checkpoint", "--config", "llm_config.yaml", "--codec", "codec", "--out", "out"]
    arguments = [word if word.startswith("--") else str(tmp_path / word) for word in given]
    assert main(["lm", "import", *arguments]) == 2
    assert "reasoning codes, but the codec has" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_ends_too_soon_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "llm_config.yaml").write_text(LLM_CONFIG)
    torch.save({"model": released_state()}, tmp_path / "a.checkpoint")
    (tmp_path / "a.checkpoint").write_bytes((tmp_path / "a.checkpoint").read_bytes()[:5000])
    arguments = [tmp_path / "a.checkpoint", "--config", tmp_path / "llm_config.yaml", "--out", tmp_path / "out"]
    assert main(["lm", "import", *map(str, arguments)]) == 2
    assert "cannot be read as such" in capsys.readouterr().err


def test_a_checkpoint_of_a_store_or_folder_is_exported_whole(model_folder: Path, tmp_path: Path) -> None:
    assert main(["lm", "export", str(model_folder), "--out", str(tmp_path / "out")]) == 0
    shutil.copytree(tmp_path / "out", tmp_path / "moved")
    moved = UniAudio.from_pretrained(tmp_path / "moved")
    assert moved.tasks == UniAudio.from_pretrained(model_folder).tasks
    assert moved.codec.fingerprint == tiny_codec().fingerprint


LLM_CONFIG = """!!python/object:argparse.Namespace
parallel_number: 9
audio_reason_card: 68
audio_semantic_card: 136
reason_bos: 64
reason_eos: 65
reason_pad_token: 67
semantic_bos: 128
semantic_eos: 129
semantic_pad_token: 130
audio_prompt_bos: 199
audio_prompt_eos: 200
text_pad_token: 258
llm_name: meta-llama/Llama-3.2-3B
local_model: meta-llama/Llama-3.2-300M
"""


def released_state() -> dict[str, torch.Tensor]:
    """One head of 128 a backbone block and one of 64 a depth block, the released head sizes."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return 0.05 * torch.randn(*shape, generator=generator)

    state = {
        "audio_head": drawn(8, 32, 204),
        "audio_embeddings.weight": drawn(8 * 204, 48),
        "projection.weight": drawn(32, 48),
        "backbone.lm_head.weight": drawn(269, 48),
        "backbone.transformer.wte.weight": drawn(269, 48),
    }
    stacks = {
        "backbone": (2, 48, 128),
        "audio_understanding_expert": (1, 48, 128),
        "audio_generation_expert": (1, 48, 128),
        "decoder": (2, 32, 64),
    }
    for name, (num_layers, width, head) in stacks.items():
        state[f"{name}.transformer.ln_f.weight"] = torch.ones(width)
        for layer in range(num_layers):
            block = f"{name}.transformer.h.{layer}"
            state |= {f"{block}.norm_{number}.weight": torch.ones(width) for number in (1, 2)}
            state |= {
                f"{block}.attn.qkv.weight": drawn(3 * head, width),
                f"{block}.attn.proj.weight": drawn(width, head),
            }
            state |= {f"{block}.mlp.fc_{number}.weight": drawn(64, width) for number in (1, 2)}
            state[f"{block}.mlp.proj.weight"] = drawn(width, 64)
    return state


def test_a_released_checkpoint_with_its_reporter_becomes_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "llm_config.yaml").write_text(LLM_CONFIG)
    path = tmp_path / "llm_ep3.checkpoint"
    torch.save({"model": released_state(), "reporter": Reporter()}, path)
    arguments = ["lm", "import", path, "--config", tmp_path / "llm_config.yaml", "--out", tmp_path / "out"]
    assert main([*map(str, arguments)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "Reporter; `--skip-objects` reads the tensors" in line
    assert not (tmp_path / "out").exists()
    assert main([*map(str, arguments), "--skip-objects", "--dtype", "bfloat16"]) == 0
    assert "backbone 2 x 48, experts 1 and 1, depth 2 x 32, 269 text and 204 audio ids" in capsys.readouterr().out
    model = UniAudioLM.load(tmp_path / "out")
    assert model.text_head.weight.dtype == torch.bfloat16
    assert torch.equal(model.projection.weight, released_state()["projection.weight"].bfloat16())


class Reporter:
    """An object of a trainer."""

    def __init__(self) -> None:
        self.losses = {"text": torch.ones(2)}
        self.times = [1.0, 2.0]


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


def save(path: Path, **more: object) -> Path:
    torch.save({"model": {"weight": torch.arange(3.0)}, "reporter": Reporter(), **more}, path)
    return path


def test_objects_in_a_checkpoint_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.checkpoint", args=argparse.Namespace(seed=1), counts=defaultdict(Reporter, {"a": 1}))
    name = f"{Reporter.__module__}.Reporter"
    assert foreign_names(path) == sorted(["argparse.Namespace", "collections.defaultdict", name])
    with pytest.raises(DataError, match=r"also holds .*argparse\.Namespace.*`--skip-objects` reads the tensors"):
        load_safely(path)
    loaded = load_safely(path, skip_objects=True)
    assert loaded["model"]["weight"].tolist() == [0.0, 1.0, 2.0]
    assert not isinstance(loaded["reporter"], Reporter)


def test_a_checkpoint_that_calls_the_system_is_refused_whatever_is_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "a.checkpoint", more=Harmful())
    for skip_objects in (False, True):
        with pytest.raises(DataError, match=r"but holds posix\.system; do not trust it"):
            load_safely(path, skip_objects=skip_objects)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "--out", "out"], "gone: no such file or folder"),
        (["{folder}", "--out", "out", "--config", "x.yaml"], "must be given with a checkpoint FILE"),
        (["{file}", "--out", "out"], "`--config` must be the llm_config.yaml"),
        (["{folder}", "--out", "out"], "config.json: cannot be read"),
    ],
)
def test_a_wrong_import_ends_in_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "a.checkpoint")
    (tmp_path / "model.safetensors").write_bytes(b"")
    given = [argument.format(folder=tmp_path, file=file) for argument in arguments]
    assert main(["lm", "import", *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
