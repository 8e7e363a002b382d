"""The tagger's weights are read from a checkpoint of TensorFlow's that the test writes, and its names become tags."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from uniaudio_pipelines.raw_to_annotated import musicnn
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.music_tags import MusicTags
from uniaudio_schemas.errors import DataError, UsageError

from tests.pipelines.raw_to_annotated.clips import a_raw
from uniaudio.metrics.musicnn import LABELS, MusicTagger

RATE = 16_000


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries with shared starts, one restart, then the byte that says `not compressed` and a checksum."""
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<II", 0, 1) + b"\0" + b"\0\0\0\0"


def checkpoint(variables: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    entries, numbers = [(b"", field(1, 1))], b""
    for name in sorted(variables):
        data = variables[name].astype(np.float32).tobytes()
        shape = b"".join(field(2, field(1, size)) for size in variables[name].shape)
        entry = field(1, 1) + field(2, shape) + field(4, len(numbers)) + field(5, len(data)) + b"\x35\1\2\3\4"
        entries.append((name.encode(), entry))
        numbers += data
    entries.append((b"zz/step", field(1, 9) + field(4, 0) + field(5, 8)))
    half = len(entries) // 2
    table, places = b"", []
    for part in (entries[:half], entries[half:]):
        data = block(part)
        places.append((part[-1][0], varint(len(table)) + varint(len(data) - 5)))
        table += data
    top = block(places)
    footer = (varint(0) + varint(0) + varint(len(table)) + varint(len(top) - 5)).ljust(40, b"\0")
    return table + top + footer + struct.pack("<Q", 0xDB4775248B80FB57), numbers


def the_variables(seed: int = 0) -> dict[str, np.ndarray]:
    """Of the tagger's shapes, as TensorFlow lays them out."""
    rng = np.random.default_rng(seed)
    kernels = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
    kernels += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
    found: dict[str, np.ndarray] = {}
    for number, shape in enumerate(kernels):
        name = "conv2d" + (f"_{number}" if number else "")
        found[f"{name}/kernel"] = 0.05 * rng.standard_normal(shape)
        found[f"{name}/bias"] = 0.1 * rng.standard_normal(shape[-1])
    for number, size in enumerate([1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200]):
        name = "batch_normalization" + (f"_{number}" if number else "")
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            found[f"{name}/{part}"] = rng.uniform(0.5, 1.5, size)
    for name, shape in (("dense", (1506, 200)), ("dense_1", (200, 50))):
        found[f"{name}/kernel"] = 0.05 * rng.standard_normal(shape)
        found[f"{name}/bias"] = 0.1 * rng.standard_normal(shape[1])
    return found


def test_every_number_of_a_checkpoint_is_read() -> None:
    variables = the_variables()
    found = musicnn.read_checkpoint(*checkpoint(variables))
    assert set(found) == set(variables)
    for name, value in variables.items():
        np.testing.assert_array_equal(found[name], value.astype(np.float32))


def test_a_truncated_checkpoint_is_refused() -> None:
    index, numbers = checkpoint({"a/kernel": np.ones((2, 3))})
    with pytest.raises(DataError, match="a/kernel must end in its data"):
        musicnn.read_checkpoint(index, numbers[:-1])
    with pytest.raises(DataError, match="has no footer"):
        musicnn.read_checkpoint(index[:-1], numbers)


def by_hand(variables: dict[str, np.ndarray], mel_TM: np.ndarray) -> np.ndarray:
    """The original's arithmetic, in its own layout and float64."""

    def norm(value: np.ndarray, number: int) -> np.ndarray:
        name = "batch_normalization" + (f"_{number}" if number else "")
        gamma, beta, mean, variance = (
            variables[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (value - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def conv(value: np.ndarray, number: int) -> np.ndarray:
        """`valid` over `[T, M]` -> `[T', M', C]`."""
        name = "conv2d" + (f"_{number}" if number else "")
        kernel = variables[f"{name}/kernel"][:, :, 0]
        patches = np.lib.stride_tricks.sliding_window_view(value, kernel.shape[:2])
        return np.maximum(np.tensordot(patches, kernel, ((2, 3), (0, 1))) + variables[f"{name}/bias"], 0)

    plane = norm(mel_TM[..., None], 0)[..., 0]
    wide = np.pad(plane, ((3, 3), (0, 0)))
    front = [norm(conv(wide, number), number + 1).max(axis=1) for number in (0, 1)]
    for number, length in ((2, 128), (3, 64), (4, 32)):
        padded = np.pad(plane, (((length - 1) // 2, length // 2), (0, 0)))
        front.append(norm(conv(padded, number), number + 1).max(axis=1))
    layers = [np.concatenate(front, axis=1)]
    for number in (5, 6, 7):
        found = norm(conv(np.pad(layers[-1], ((3, 3), (0, 0))), number)[:, 0], number + 1)
        layers.append(found + layers[-1] if number > 5 else found)
    features = np.concatenate(layers, axis=1)
    pooled = norm(np.stack([features.max(axis=0), features.mean(axis=0)], axis=1).ravel(), 9)
    hidden = norm(np.maximum(pooled @ variables["dense/kernel"] + variables["dense/bias"], 0), 10)
    return np.asarray(1 / (1 + np.exp(-(hidden @ variables["dense_1/kernel"] + variables["dense_1/bias"]))))


def test_the_tagger_computes_what_the_original_does() -> None:
    variables = the_variables()
    tagger = MusicTagger()
    tagger.load_state_dict({name: torch.tensor(value) for name, value in musicnn.rename(variables).items()})
    mel_TM = np.random.default_rng(1).random((140, 96))
    with torch.inference_mode():
        found = tagger.eval()(torch.tensor(mel_TM[None], dtype=torch.float32))[0]
    np.testing.assert_allclose(found, by_hand(variables, mel_TM), atol=2e-5)


def test_weights_are_prepared_from_a_wheel_and_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, numbers = checkpoint(the_variables())
    with zipfile.ZipFile(tmp_path / "musicnn-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(musicnn._INDEX, index)
        wheel.writestr(musicnn._NUMBERS, numbers)
    with pytest.raises(DataError, match="must have sha256"):
        musicnn.prepare(tmp_path, tmp_path)
    hashes = {musicnn._INDEX: musicnn.hash_bytes(index), musicnn._NUMBERS: musicnn.hash_bytes(numbers)}
    monkeypatch.setattr(musicnn, "_SHA256", hashes)
    musicnn.prepare(tmp_path, tmp_path)
    assert MusicTagger.load(tmp_path / musicnn.FILE).output.bias.shape == (50,)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="must hold the package"):
        musicnn.prepare(tmp_path / "empty", tmp_path)


def annotator(tmp_path: Path, probable: dict[str, float]) -> MusicTags:
    """A tagger that says the same of everything."""
    tagger = MusicTagger()
    with torch.no_grad():
        tagger.output.weight.zero_()
        chances = torch.tensor([probable.get(label, 0.01) for label in LABELS])
        tagger.output.bias.copy_(torch.logit(chances))
    (tmp_path / musicnn.FOLDER).mkdir(exist_ok=True)
    save_file(tagger.state_dict(), tmp_path / musicnn.FOLDER / musicnn.FILE)
    return MusicTags(tmp_path, "cpu")


def clip(seconds: float = 1.0, known: dict[str, Any] | None = None, given: tuple[str, ...] = ()) -> Clip:
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    raw = a_raw("music", given_tags=list(given))
    return Clip(raw=raw, domain="music", samples=samples[None], analysis=samples, known=known or {})


def test_tags_are_the_probable_labels_under_one_name_and_instruments_are_among_them(tmp_path: Path) -> None:
    probable = {"guitar": 0.7, "slow": 0.6, "singing": 0.4, "vocal": 0.3, "man": 0.25, "cello": 0.21, "rock": 0.19}
    found = {value.column: value for value in annotator(tmp_path, probable).annotate(clip())}
    assert found["tags"].value == ["guitar", "vocal", "male vocal", "cello"]
    assert found["instruments"].value == ["guitar", "cello"]
    assert found["tags"].confidence == pytest.approx(0.21, abs=1e-3)


def test_tags_of_the_source_come_first_and_are_not_said_twice(tmp_path: Path) -> None:
    one = clip(known={"tags": ["Guitar", "calm"]})
    found = {value.column: value.value for value in annotator(tmp_path, {"guitar": 0.7, "rock": 0.5}).annotate(one)}
    assert found["tags"] == ["Guitar", "calm", "rock"]
    without = {
        value.column: value.value for value in annotator(tmp_path, {"rock": 0.5}).annotate(clip(given=("calm",)))
    }
    assert without == {"tags": ["calm", "rock"]}


def test_nothing_probable_and_nothing_to_hear_give_no_tags(tmp_path: Path) -> None:
    assert annotator(tmp_path, {}).annotate(clip()) == []
    assert annotator(tmp_path, {"rock": 0.9}).annotate(clip(0.4)) == []


def test_a_missing_model_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"musicnn==0\.1\.0"):
        MusicTags(tmp_path, "cpu")
    (tmp_path / musicnn.FOLDER).mkdir()
    (tmp_path / musicnn.FOLDER / musicnn.FILE).write_bytes(b"no weights")
    with pytest.raises(DataError, match="does not hold the music tagger's weights"):
        MusicTags(tmp_path, "cpu")
