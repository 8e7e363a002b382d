"""A model's folder whose files are broken, of several models, or written over: one line that names the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from uniaudio_schemas.errors import DataError, FingerprintError

from uniaudio.lm import weights
from uniaudio.lm.model import UniAudioLM
from uniaudio.run.folder import Parts, load_parts, save_parts
from uniaudio.testing import tiny_lm


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def change_json(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def stack(folder: Path, **fields: object) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["backbone"] | fields  # type: ignore[no-any-return]


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "config.json: must be JSON in UTF-8"),
    (lambda f: change_json(f / "config.json", text_size="269"), "`text_size` must be a whole number"),
    (lambda f: change_json(f / "config.json", text_size=-1), "`text_size` must be a whole number"),
    (lambda f: change_json(f / "config.json", norm_eps="x"), '`norm_eps` must be a number, but is "x"'),
    (lambda f: change_json(f / "config.json", backbone=stack(f, num_kv_heads=0)), "`num_kv_heads` must be a whole"),
    (lambda f: change_json(f / "config.json", rope={"base": 0}), "`base` must be a number above 0"),
    (lambda f: (f / "vocabulary.json").write_bytes(b"\xff"), "vocabulary.json: must be JSON in UTF-8"),
    (
        lambda f: change_json(f / "vocabulary.json", text_specials=[1]),
        r"`text_specials` must be an object, but is \[1\]",
    ),
    (lambda f: change_json(f / "vocabulary.json", text_size=9.5), "`text_size` must be a whole number, but is 9.5"),
    (lambda f: change_json(f / "uniaudio.json", tasks="asr"), "uniaudio.json: `tasks` must be a list"),
    (lambda f: (f / "model.safetensors.index.json").write_text("x"), "index.json: must be JSON"),
    (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "must map tensors to files by `weight_map`"),
    (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}'),
        "must name files of its own folder",
    ),
    (
        lambda f: change_weights(f, lambda s: s["text_head.weight"].fill_(torch.nan)),
        "text_head.weight must hold numbers",
    ),
    (
        lambda f: change_weights(f, lambda s: s.update({"projection.weight": s["projection.weight"].int()})),
        "projection.weight must hold dense floating-point numbers",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_broken_file_is_named(folder: Path, change: Callable[[Path], object], message: str) -> None:
    change(folder)
    with pytest.raises(DataError, match=message):
        load_parts(folder)


@pytest.mark.parametrize(
    "fields",
    [{"audio_size": 300}, {"text_size": 400}, {"text_specials": {"pad": 258}}],
    ids=["audio", "text", "specials"],
)
def test_a_vocabulary_of_other_ids_than_the_model_is_refused_without_a_fingerprint_too(
    folder: Path, fields: dict[str, object]
) -> None:
    change_json(folder / "config.json", vocabulary_fingerprint="")
    change_json(folder / "vocabulary.json", **fields)
    with pytest.raises(FingerprintError, match="ids"):
        load_parts(folder)


def test_weights_of_several_types_are_read_as_the_widest(folder: Path) -> None:
    change_weights(folder, lambda s: s.update({name: t.bfloat16() for name, t in s.items() if "norm" not in name}))
    assert {parameter.dtype for parameter in UniAudioLM.load(folder).parameters()} == {torch.float32}


def test_writing_over_a_model_of_several_files_leaves_nothing_of_it(parts: Parts, tmp_path: Path) -> None:
    old, new = tiny_lm(parts.vocabulary, seed=1), tiny_lm(parts.vocabulary, seed=2)
    weights.save(old.state_dict(), old.config, tmp_path, max_file_bytes=40_000)
    assert (tmp_path / weights.INDEX_FILE).is_file()
    new.save(tmp_path)
    assert torch.equal(UniAudioLM.load(tmp_path).projection.weight, new.projection.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_model_is_saved_over_itself(folder: Path) -> None:
    before = load_file(folder / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in before.items()}
    save_parts(load_parts(folder), folder)
    after = load_file(folder / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
