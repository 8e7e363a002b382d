"""Files of tensors can be read by whoever can read the other files beside them."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniaudio.tensor_file import write_tensors
from uniaudio.testing import tiny_codec, tiny_lm


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_rights_of_a_new_file(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_tensors({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"about": "ones"})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], torch.ones(2))


def test_exported_weights_can_be_read_by_others(tmp_path: Path) -> None:
    tiny_lm().save(tmp_path / "model")
    tiny_codec().save(tmp_path / "codec")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.rglob("*") if file.is_file()}
    assert set(modes.values()) == {modes["config.json"]}, modes
