"""The weights as a wheel of their own: built of whatever lies in `models/starter`, found where no clone is."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODEC = ("codec/README.md", "codec/LICENSE-whisper", "codec/config.json", "codec/codec.safetensors")
MODEL = ("config.json", "model.safetensors", "vocabulary.json", "uniaudio.json")


def a_wheel(folder: Path, weights: tuple[str, ...]) -> Path:
    """A wheel built in `folder`, of small files in place of the weights."""
    shutil.copytree(ROOT / "infra" / "starter", folder / "infra" / "starter")
    shutil.copy(ROOT / "LICENSE", folder)
    for name in weights:
        path = folder / "models" / "starter" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "infra/starter"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("uniaudio_starter-*.whl")
    return wheel


@pytest.mark.parametrize("has_model", [False, True])
def test_weights_are_found_where_no_clone_is(tmp_path: Path, has_model: bool) -> None:
    wheel = a_wheel(tmp_path / "clone", (*CODEC, *MODEL) if has_model else CODEC)
    packages = tmp_path / "packages"
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "uniaudio").mkdir()
    for name in ("__init__.py", "shipped.py"):
        shutil.copy(ROOT / "uniaudio" / name, packages / "uniaudio")
    code = "from uniaudio.shipped import *; print(shipped_codec()); print(shipped_model())"
    # -S: without site-packages, whose editable installation leads to the clone.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    starter = packages / "uniaudio_starter" / "starter"
    assert done.stdout.split() == [str(starter / "codec"), str(starter) if has_model else "None"]
    inside = {str(path.relative_to(packages / "uniaudio_starter")) for path in starter.parent.rglob("*")}
    assert {"LICENSE", *(f"starter/{name}" for name in CODEC)} <= inside


def test_the_wheel_has_the_version_and_the_weights_of_the_project() -> None:
    versions = [
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
        for path in (ROOT / "pyproject.toml", ROOT / "infra" / "starter" / "pyproject.toml")
    ]
    assert versions[0] == versions[1]
    assert all((ROOT / "models" / "starter" / name).is_file() for name in CODEC)
