import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe
from uniaudio_schemas.kinds.raw import Raw

from uniaudio.audio.mix import OPERATIONS, operation_length, render_operation, scale_to_snr
from uniaudio.audio.read import write_flac_bytes
from uniaudio.audio.render import render_clip, render_recipe
from uniaudio.audio.resample import resample

PARAMETERS: dict[str, dict[str, Any]] = {
    "mix": {"snr_db": 5.0},
    "concatenate": {"gap_samples": 17},
    "add_noise": {"snr_db": 10.0, "color": "pink"},
    "gain": {"gain_db": -6.0},
    "crop": {"first_sample": 3, "num_samples": 90},
    "cut_out": {"first_sample": 3, "num_samples": 90},
    "insert": {"first_sample": 40},
    "splice": {"first_sample": 3, "num_samples": 90, "from_sample": 7, "from_num_samples": 60},
    "band_limit": {"cutoff_hz": 4_000},
    "reverberate": {"decay_samples": 200},
    "shift_voice": {"ratio": 1.2},
}


def voices(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def parents_of(name: str) -> list[np.ndarray]:
    return voices(*(300, 200)[: max(OPERATIONS[name].num_parents[0], 1)])


def test_every_operation_is_tried_here() -> None:
    assert set(PARAMETERS) == set(OPERATIONS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_operation_is_a_function_of_parents_parameters_and_seed(name: str) -> None:
    parents = parents_of(name)
    before = [parent.copy() for parent in parents]
    first, second = (render_operation(name, parents, PARAMETERS[name], 3) for _ in range(2))
    assert np.array_equal(first, second)
    assert all(np.array_equal(parent, copy) for parent, copy in zip(parents, before, strict=True))
    assert first.dtype == np.float32
    assert first.size == operation_length(name, [parent.size for parent in parents], PARAMETERS[name])


@given(
    length=st.integers(1, 300),
    other=st.integers(1, 300),
    snr_db=st.floats(-20, 40),
    mode=st.sampled_from(["first", "longest"]),
)
@settings(max_examples=60, deadline=None)
def test_a_mixture_is_as_long_as_its_operation_says(length: int, other: int, snr_db: float, mode: str) -> None:
    result = render_operation("mix", voices(length, other), {"snr_db": snr_db, "length": mode}, 0)
    assert result.size == (length if mode == "first" else max(length, other))
    assert np.isfinite(result).all()


def test_the_ratio_of_powers_is_the_asked_one() -> None:
    target, other = voices(4_000, 4_000)
    scaled = scale_to_snr(target, other, 7.0)
    assert 10 * np.log10(np.mean(target**2) / np.mean(scaled**2)) == pytest.approx(7.0, abs=1e-3)


def test_noise_over_silence_has_no_ratio_and_stays_finite() -> None:
    assert np.isfinite(render_operation("add_noise", [np.zeros(100, np.float32)], {"snr_db": 0.0}, 0)).all()


def test_concatenating_keeps_order_and_gaps() -> None:
    first, second = voices(10, 20)
    result = render_operation("concatenate", [first, second], {"gap_samples": 5}, 0)
    assert np.array_equal(result, np.concatenate([first, np.zeros(5, np.float32), second]))


def test_cutting_out_what_was_inserted_gives_the_first_parent_back() -> None:
    first, second = voices(100, 30)
    longer = render_operation("insert", [first, second], {"first_sample": 40}, 0)
    assert np.array_equal(render_operation("cut_out", [longer], {"first_sample": 40, "num_samples": 30}, 0), first)


def test_a_splice_puts_a_stretch_of_the_second_parent_where_one_of_the_first_stood() -> None:
    first, second = voices(300, 200)
    places = {"first_sample": 40, "num_samples": 25, "from_sample": 7, "from_num_samples": 60}
    result = render_operation("splice", [first, second], places, 0)
    assert np.array_equal(result, np.concatenate([first[:40], second[7:67], first[65:]]))
    with pytest.raises(UsageError, match="must lie inside the parent's 200 samples"):
        operation_length("splice", [300, 200], {**places, "from_sample": 150})


def test_a_band_limit_leaves_nothing_above_it() -> None:
    result = render_operation("band_limit", voices(24_000), {"cutoff_hz": 4_000}, 0)
    power = np.abs(np.fft.rfft(result)) ** 2
    assert power[4_001:].sum() < 1e-9 * power[:3_500].sum()


def test_an_operation_never_reaches_full_scale() -> None:
    assert np.abs(render_operation("gain", voices(1_000), {"gain_db": 60.0}, 0)).max() <= 0.951


@pytest.mark.parametrize(
    ("name", "num_parents", "parameters", "message"),
    [
        ("eval", 1, {}, "must be one of add_noise, band_limit"),
        ("mix", 1, {"snr_db": 0.0}, "must have 2 or more parents, but has 1"),
        ("gain", 1, {"gain": 3}, "parameters of `gain` do not fit"),
        ("crop", 1, {"first_sample": 90, "num_samples": 11}, "but is 90 \\+ 11"),
        ("shift_voice", 1, {"ratio": 3.0}, "`ratio` must lie in 0.5 … 2.0, but is 3.0"),
        ("crop", 1, {"first_sample": 0, "num_samples": 0}, "must leave samples"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(
    name: str, num_parents: int, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        render_operation(name, voices(*[100] * num_parents), parameters, 0)


class FolderOfBlobs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_blob(self, sha256: str) -> Path:
        return self.folder / sha256


def a_clip(folder: Path, flac: bytes, sample_rate: int, first_sample: int, num_samples: int) -> tuple[Annotated, Raw]:
    (folder / "tar").write_bytes(b"\0" * 512 + flac + b"\0" * 512)
    common = {"corpus": "c", "path": "c/a.wav", "licence": "CC0-1.0", "domain": "speech", "sample_rate": sample_rate}
    raw = Raw(clip_id="r", medium="audio", sha256="0", tar="tar", tar_offset=512, tar_size=len(flac), **common)
    cut = {"first_sample": first_sample, "num_samples": num_samples}
    return Annotated(clip_id="a", raw_clip_id="r", split="train", **cut, **common), raw


def test_a_clip_is_its_cut_downmixed_and_resampled(tmp_path: Path) -> None:
    stereo = np.random.default_rng(0).integers(-9_000, 9_000, (2, 5_000)) / 32_768
    annotated, raw = a_clip(tmp_path, write_flac_bytes(stereo, 16_000), 16_000, 100, 3_001)
    result = render_clip(FolderOfBlobs(tmp_path), annotated, raw)
    expected = resample(stereo[:, 100:3_101].astype(np.float32).mean(axis=0), 16_000, 24_000)
    assert np.array_equal(result, expected)
    assert result.size == 4_502


def test_a_tar_that_ends_early_is_named(tmp_path: Path) -> None:
    flac = write_flac_bytes(np.zeros(4_000), 16_000)
    annotated, raw = a_clip(tmp_path, flac, 16_000, 0, 4_000)
    (tmp_path / "tar").write_bytes(b"\0" * 600)
    with pytest.raises(DataError, match=r"c/a\.wav: its tar"):
        render_clip(FolderOfBlobs(tmp_path), annotated, raw)


def a_recipe(**changes: Any) -> Recipe:
    parameters = json.dumps({"snr_db": 3.0}, sort_keys=True)
    fields = {
        "clip_id": "m",
        "operation": "mix",
        "parents": ["a", "b"],
        "parameters": parameters,
        "seed": 1,
        "num_samples": 200,
    }
    return Recipe(**(fields | changes))


def test_a_recipe_renders_what_its_operation_renders() -> None:
    parents = voices(200, 300)
    assert np.array_equal(render_recipe(a_recipe(), parents), render_operation("mix", parents, {"snr_db": 3.0}, 1))


@pytest.mark.parametrize("changes", [{"num_samples": 201}, {"parameters": "{"}, {"parameters": "[1]"}])
def test_a_recipe_that_contradicts_itself_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="recipe m"):
        render_recipe(a_recipe(**changes), voices(200, 300))
