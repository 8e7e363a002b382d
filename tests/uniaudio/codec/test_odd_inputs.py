"""Arrays, codes, settings and files that are odd: the result of the plain ones, or one clear error."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.cli import main
from uniaudio.codec.codec import Codes
from uniaudio.codec.codes_file import save_codes
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")
CLIP = a_waveform(0.5)


@pytest.fixture(scope="module")
def codes() -> Codes:
    return tiny_codec().encode([CLIP])[0]


def read_only(clip: np.ndarray) -> np.ndarray:
    return np.frombuffer(clip.tobytes(), clip.dtype)


def field_of_records(clip: np.ndarray) -> np.ndarray:
    """Every fifth byte a sample's first: strides that are no multiple of its size."""
    records = np.zeros(len(clip), [("flag", "i1"), ("sample", "f4")])
    records["sample"] = clip
    return records["sample"]


@pytest.mark.parametrize(
    "odd",
    [
        lambda clip: clip[::-1].copy()[::-1],
        lambda clip: clip[None][::-1],
        lambda clip: np.repeat(clip, 2)[::2],
        lambda clip: np.stack([clip, clip], axis=1).T,
        lambda clip: clip.astype(">f4"),
        lambda clip: clip.astype(">f8"),
        lambda clip: clip.astype(np.longdouble),
        read_only,
        field_of_records,
        lambda clip: clip.tolist(),
        lambda clip: torch.tensor(clip, requires_grad=True),
    ],
)
def test_codec_the_codes_follow_from_the_samples_whatever_their_layout(odd: Callable[..., Any], codes: Codes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (made,) = tiny_codec().encode([odd(CLIP)])
        blocks = tiny_codec().encode_blocks([odd(CLIP[:5_000]), odd(CLIP[5_000:])])
    for found in (made, blocks):
        assert np.array_equal(found.reasoning, codes.reasoning)
        assert np.array_equal(found.reconstruction, codes.reconstruction)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (None, "but is object"),
        (CLIP.astype(object), "but is object"),
        ("clip.wav", "but is <U8"),
        ([[0.0, 0.1], [0.2]], "an array, but is list of no one shape"),
        (CLIP.astype("M8[s]"), r"but is datetime64\[s\]"),
        (torch.zeros(5).to_sparse(), r"but is torch\.sparse"),
        (torch.zeros(5, device="meta"), r"but is torch\.meta"),
        (torch.zeros(5, dtype=torch.int32), r"but is torch\.IntTensor"),
    ],
)
def test_codec_what_is_no_audio_is_refused_by_name(odd: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"^Clip 1 must be .*{message}"):
        tiny_codec().encode([CLIP, odd])
    with pytest.raises(UsageError, match=f"^A block must be .*{message}"):
        tiny_codec().encode_blocks([CLIP, odd])


@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100])
def test_codec_no_blocks_are_no_audio_at_any_rate(sample_rate: int) -> None:
    with pytest.raises(UsageError, match="`blocks` must hold audio, but is empty"):
        tiny_codec().encode_blocks([], sample_rate)
    with pytest.raises(UsageError, match="`blocks` must hold audio, but is empty"):
        tiny_codec().encode_blocks(iter(()), sample_rate)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda codes: {"reconstruction": codes + 0.7}, "`reconstruction` must be whole numbers, but is float64"),
        (lambda codes: {"reconstruction": np.full(codes.shape, np.nan)}, "must be whole numbers, but is float64"),
        (lambda codes: {"reconstruction": codes > 3}, "must be whole numbers, but is bool"),
        (lambda codes: {"reconstruction": None}, "must be whole numbers, but is object"),
        (lambda codes: {"reconstruction": [[1, 2], [3]]}, "must be an array, but is list"),
        (lambda codes: {"reconstruction": np.int16(3)}, r"but is \(\)"),
        (lambda codes: {"reconstruction": codes[:, :7]}, r"must be \(7, 8\) and not empty, but is \(7, 7\)"),
        (lambda codes: {"num_samples": 12_000.0}, "`num_samples` must be a whole number, 1 or more, but is 12000.0"),
        (lambda codes: {"num_samples": None}, "`num_samples` must be a whole number, 1 or more, but is None"),
    ],
)
def test_codec_codes_of_another_kind_are_refused_by_name(
    codes: Codes, change: Callable[..., Any], message: str
) -> None:
    broken = replace(codes, **change(codes.reconstruction))
    for compat in (False, "num_samples" not in message and "(7, 8)" not in message):
        with pytest.raises(UsageError, match=message):
            tiny_codec().decode([codes, broken], compat=compat)
    with pytest.raises(UsageError, match=message):
        tiny_codec().decode_stream(broken)


def test_codec_what_is_no_clip_of_codes_is_refused(codes: Codes) -> None:
    with pytest.raises(UsageError, match="`codes` must be a list of `Codes`, but is one `Codes`"):
        tiny_codec().decode(codes)  # type: ignore[arg-type]
    for odd in (codes.reconstruction, None):
        with pytest.raises(UsageError, match="Clip 0 must be `Codes`, but is"):
            tiny_codec().decode([odd])  # type: ignore[list-item]
    for block in (None, 3, codes.reconstruction + 0.5, [[1, 2], [3]]):
        with pytest.raises(UsageError, match=r"block of codes must be|`reconstruction` must be"):
            list(tiny_codec().decode_frames([block], steps=1))  # type: ignore[list-item]


def test_codec_codes_of_any_integer_type_and_layout_sound_alike(codes: Codes) -> None:
    (plain,) = tiny_codec().decode([codes], steps=1)
    for kind in (">i2", "u1", "i8", "u8"):
        odd = np.asarray(codes.reconstruction, kind)[::-1].copy()[::-1]
        assert np.array_equal(tiny_codec().decode([replace(codes, reconstruction=odd)], steps=1)[0], plain)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a whole number, 1 or more, but is 0"),
        ({"steps": 2.5}, "`steps` must be a whole number, 1 or more, but is 2.5"),
        ({"steps": True}, "`steps` must be"),
        ({"steps": "10"}, "`steps` must be"),
        ({"seed": -1}, "`seed` must be a whole number, 0 to 18446744073709551615, but is -1"),
        ({"seed": 2**64}, "`seed` must be"),
        ({"seed": 1.5}, "`seed` must be"),
        ({"guidance": float("nan")}, "`guidance` must be a number, at most 1e[+]06, but is nan"),
        ({"guidance": float("inf")}, "`guidance` must be"),
        ({"guidance": -1e30}, "`guidance` must be"),
        ({"guidance": "1.5"}, "`guidance` must be"),
    ],
)
def test_codec_settings_that_cannot_be_are_refused_before_anything_is_drawn(
    codes: Codes, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_codec().decode([codes], **settings)
    with pytest.raises(UsageError, match=message):
        tiny_codec().decode_frames([codes.reconstruction], **settings)
    with pytest.raises(UsageError, match=message):
        tiny_codec().decode_stream(codes, **settings)


@pytest.mark.parametrize("window_latents", [-100, 100.0, True, "100"])
def test_codec_a_window_that_is_no_whole_number_is_refused(codes: Codes, window_latents: Any) -> None:
    with pytest.raises(UsageError, match="`window_latents` must be a whole number, 0 or more"):
        tiny_codec().decode([codes], window_latents=window_latents)


def test_codec_settings_may_be_numbers_of_numpy_and_extreme(codes: Codes) -> None:
    plain = tiny_codec().decode([codes], steps=2, guidance=1.5, seed=5)[0]
    numpy = tiny_codec().decode([codes], steps=np.int32(2), guidance=np.float32(1.5), seed=np.int64(5))[0]
    assert np.array_equal(plain, numpy)
    for extreme in ({"seed": 2**64 - 1}, {"guidance": 1e6}, {"guidance": -1e6}):
        assert np.isfinite(tiny_codec().decode([codes], steps=10, **extreme)[0]).all()


def test_settings_that_cannot_be_leave_no_file_behind(codes: Codes, tmp_path: Path, capsys: Any) -> None:
    tiny_codec().save(tmp_path / "codec")
    save_codes(codes, tmp_path / "codes", fingerprint=tiny_codec().fingerprint)
    options = ("--model", tmp_path / "codec", "--out", tmp_path / "out.wav")
    for more, message in ((("--seed", -1), "`seed` must be"), (("--guidance", "nan"), "`guidance` must be")):
        assert main(["codec", "decode", str(tmp_path / "codes"), *map(str, (*options, *more))]) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1 and not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no weights", b"PK\x03\x04 no zip", {"model_state": [1]}, [1, 2], torch.zeros(3), {"a": 1}]
)
def test_a_file_that_holds_no_voice_encoder_is_one_line(
    content: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr("uniaudio.codec.evaluation.held_out.held_out_clips", lambda *_: [])
    tiny_codec().save(tmp_path / "codec")
    path = tmp_path / "speaker.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    arguments = ("--model", tmp_path / "codec", "--store", tmp_path, "--out", tmp_path / "out", "--speaker", path)
    assert main(["codec", "evaluate", *map(str, arguments)]) == 2
    printed = capsys.readouterr().err
    assert "speaker.pt: does not hold the speaker network's weights" in printed and printed.count("\n") == 1


def test_a_folder_that_holds_no_recognizer_is_one_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("uniaudio.codec.evaluation.held_out.held_out_clips", lambda *_: [])
    tiny_codec().save(tmp_path / "codec")
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_text("nothing")
    arguments = (
        "--model",
        tmp_path / "codec",
        "--store",
        tmp_path,
        "--out",
        tmp_path / "out",
        "--recognizer",
        tmp_path,
    )
    assert main(["codec", "evaluate", *map(str, arguments)]) == 2
    printed = capsys.readouterr().err
    assert "not a Whisper of transformers" in printed and printed.count("\n") == 1
