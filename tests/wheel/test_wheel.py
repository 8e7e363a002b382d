"""The wheel is the product: built, installed where there is no clone, and used."""

import os
import shutil
import subprocess
import sys
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.flows.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
CODE = {
    "uniaudio": "uniaudio",
    "schemas/uniaudio_schemas": "uniaudio_schemas",
    "pipelines/uniaudio_pipelines": "uniaudio_pipelines",
}
CODE["flows/uniaudio_flows"] = "uniaudio_flows"

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(3_600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True)
    (found,) = out.glob("*.whl")
    return found


def installed(folder: Path, wheel: Path, extra: str) -> Path:
    """The folder of programs of a fresh environment. pip and uv read the caches that this machine has."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    constraints = ["-c", str(ROOT / "infra" / "constraints.txt")]
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        command = [str(folder / "bin" / "pip"), "install", "-q"]
    else:
        links = [part for place in os.environ.get("PIP_FIND_LINKS", "").split() for part in ("--find-links", place)]
        command = [uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *links]
    environment = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true", **os.environ}
    subprocess.run([*command, *constraints, wanted], check=True, env=environment)
    return folder / "bin"


def say(programs: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`uniaudio …` outside the clone, in an environment without settings of whoever starts the tests."""
    around = {name: value for name, value in os.environ.items() if not name.startswith(("UNIAUDIO_", "PREFECT_"))}
    command = [str(programs / "uniaudio"), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**around, **environment}, capture_output=True, text=True, check=False
    )


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [path for path in listed.stdout.split("\n") if path and (ROOT / path).exists()]
    expected = {
        name + path.removeprefix(folder)
        for path in tracked
        for folder, name in CODE.items()
        if path.startswith(f"{folder}/")
    }
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_the_base_alone_says_in_one_line_what_is_missing(wheel: Path, tmp_path: Path) -> None:
    programs = installed(tmp_path / "venv", wheel, "")
    assert say(programs, tmp_path, "--version").stdout.startswith("uniaudio 0")
    for arguments, package, extra in (
        (["up"], "prefect|psutil|httpx|polars|ray|obstore", "scale"),
        (["codec", "encode", "a.wav", "--model", "codec", "--out", "a.codes"], "", ""),
        (["--print-completion", "bash"], "shtab", "shell"),
    ):
        done = say(programs, tmp_path, *arguments)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        if package:
            assert any(
                f"{name} is not installed: `pip install 'uniaudio[{extra}]'`" in done.stderr
                for name in package.split("|")
            )
    code = "from uniaudio.audio.read import read_audio; read_audio('a.wav')"
    a_clip(tmp_path / "a.wav", seed=0)
    done = subprocess.run([programs / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("soundfile is not installed: `pip install 'uniaudio[audio]'`.")
    rows = say(programs, tmp_path, "licences").stdout
    assert "torch " in rows and "ray " not in rows


def a_clip(path: Path, *, seed: int) -> None:
    """Three seconds of a decaying chord, 16 bits at 24 kHz."""
    time_s = np.arange(3 * 24_000) / 24_000
    partials = sum(np.sin(2 * np.pi * (180 + 20 * seed) * k * time_s) / k for k in range(1, 6))
    samples = 0.1 * partials * (1 + np.sin(2 * np.pi * 3 * time_s)) / 2
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def everything(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """Programs, a folder outside the clone, and the environment of services that are stopped at the end."""
    folder = tmp_path_factory.mktemp("outside")
    programs = installed(folder / "venv", wheel, "all")
    environment = {f"UNIAUDIO_{name}_PORT": str(free_port()) for name in ("PREFECT", "RAY", "DASHBOARD")}
    yield programs, folder, environment
    say(programs, folder, "down", **environment)


def test_the_wheel_takes_a_folder_of_audio_to_a_model_that_answers(
    everything: tuple[Path, Path, dict[str, str]],
) -> None:
    programs, folder, environment = everything
    for number in range(12):
        a_clip(folder / "sounds" / f"mine{number % 2}" / f"{number}.wav", seed=number)
        (folder / "sounds" / f"mine{number % 2}" / f"{number}.txt").write_text(f"A chord with number {number}.\n")
    done = say(programs, folder, "demo", "--source", str(folder / "sounds"), **environment)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    shown = say(programs, folder, "show", "--json", **environment).stdout
    assert '"scores"' in shown
    assert (folder / "data" / "report.html").stat().st_size > 100_000
    done = say(programs, folder, "run", "text_only", "--text", "A chord", "--max-text", "4", **environment)
    assert done.returncode == 0, done.stderr
    done = say(programs, folder, "lm", "export", "data/store", "--out", "model", **environment)
    assert done.returncode == 0, done.stderr
    assert "AGPL" not in say(programs, folder, "licences").stdout
