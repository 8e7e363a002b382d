"""`uniaudio codec encode`, `decode` and `evaluate` as a user calls them."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan
from uniaudio_schemas.testing import example_rows

from uniaudio.cli import main
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.codes_file import load_codes
from uniaudio.codec.evaluation import evaluate as evaluation
from uniaudio.codec.evaluation.coders import (
    CODEC2_MODES,
    SPEEX_QUALITIES,
    Coded,
    Coder,
    Programs,
    coders,
    nearest,
    ogg_payload_bits,
)
from uniaudio.codec.evaluation.evaluate import (
    Listeners,
    bits_per_s,
    code_use,
    evaluate,
    stream_bits_per_s,
    write_tables,
)
from uniaudio.codec.evaluation.held_out import HeldOutClip
from uniaudio.metrics.speaker import VoiceEncoder
from uniaudio.testing import a_waveform, tiny_codec

pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_codec().save(folder)
    return str(folder)


def codec(*arguments: object) -> int:
    return main(["codec", *map(str, arguments)])


def test_a_file_goes_to_codes_and_back_with_its_length(model, tmp_path, capsys):
    stereo = np.stack([a_waveform(1.0), a_waveform(1.0, seed=1)], axis=1)
    soundfile.write(tmp_path / "in.wav", stereo, 44_100)
    assert codec("encode", tmp_path / "in.wav", "--model", model, "--out", tmp_path / "new" / "in.codes") == 0
    assert "0.54 s, 3 reasoning and 7 reconstruction frames of 8 codes" in capsys.readouterr().out
    for name, steps in (("a.flac", 1), ("b.flac", 1), ("c.wav", 2)):
        options = ("--model", model, "--out", tmp_path / name, "--steps", steps, "--seed", 4)
        assert codec("decode", tmp_path / "new" / "in.codes", *options) == 0
    first, second, other = (soundfile.read(tmp_path / name)[0] for name in ("a.flac", "b.flac", "c.wav"))
    assert len(first) == -(-24_000 * 24_000 // 44_100) and soundfile.info(tmp_path / "c.wav").samplerate == 24_000
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_the_codes_in_a_file_are_those_of_the_library(model, tmp_path):
    pcm = np.round(a_waveform(0.7) * 32_767) / 32_768
    soundfile.write(tmp_path / "in.flac", pcm, 24_000)
    assert codec("encode", tmp_path / "in.flac", "--model", model, "--out", tmp_path / "codes") == 0
    loaded = load_codes(tmp_path / "codes", fingerprint=tiny_codec().fingerprint)
    (direct,) = tiny_codec().encode([soundfile.read(tmp_path / "in.flac", dtype="float32")[0]])
    assert np.array_equal(loaded.reconstruction, direct.reconstruction) and loaded.num_samples == direct.num_samples


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "{tmp}/none.wav", "--out", "{tmp}/x"), "none.wav: cannot be opened"),
        (("decode", "{tmp}/text", "--out", "{tmp}/x.wav"), "text: not a file of codes"),
        (("decode", "{tmp}/codes", "--out", "{tmp}/x.mp3"), "`--out` must end in .flac or .wav"),
        (
            ("decode", "{tmp}/codes", "--out", "{tmp}/x.wav", "--steps", "0"),
            "`steps` must be a whole number, 1 or more",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_two(model, tmp_path, capsys, arguments, message):
    (tmp_path / "text").write_text("no codes")
    soundfile.write(tmp_path / "in.wav", a_waveform(0.1), 24_000)
    codec("encode", tmp_path / "in.wav", "--model", model, "--out", tmp_path / "codes")
    assert codec(*(part.format(tmp=tmp_path) for part in arguments), "--model", model) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_codes_of_another_codec_are_not_decoded(model, tmp_path, capsys):
    from uniaudio.codec.codes_file import save_codes

    save_codes(tiny_codec().encode([a_waveform(0.1)])[0], tmp_path / "codes", fingerprint="0" * 32)
    assert codec("decode", tmp_path / "codes", "--model", model, "--out", tmp_path / "x.wav") == 2
    assert f"the codec must be {'0' * 32}" in capsys.readouterr().err


def store_of(codec_folder: Path, root: Path) -> str:
    """A store whose one version of `codec` is the codec in `codec_folder`."""
    store = Store(root)
    plan = Plan(
        kind="codec",
        schema_version=newest("codec").version,
        parents={},
        parameters={},
        code_version="1",
        units=["codec"],
    )
    with store.writer(plan, owner="test") as writer:
        weights = writer.put_blob((codec_folder / "codec.safetensors").read_bytes())
        (row,) = example_rows("codec")
        row = replace(row, weights=weights, config=(codec_folder / "config.json").read_text())
        writer.put_shard("codec", [row], blobs=[weights])
        writer.publish()
    return str(root)


def test_a_codec_of_a_store_is_exported_and_half_as_large_in_bfloat16(model, tmp_path, capsys):
    store = store_of(Path(model), tmp_path / "store")
    for dtype in ("float32", "bfloat16"):
        assert codec("export", "--store", store, "--out", tmp_path / dtype, "--dtype", dtype) == 0
        exported = ReasoningCodec.load(tmp_path / dtype)
        assert f"{tmp_path / dtype}: debug, fingerprint {exported.fingerprint}" in capsys.readouterr().out
        assert all(one.dtype == torch.float32 for one in exported.parameters())
        assert (exported.fingerprint == tiny_codec().fingerprint) == (dtype == "float32")
    sizes = [(tmp_path / dtype / "codec.safetensors").stat().st_size for dtype in ("bfloat16", "float32")]
    assert 0.45 < sizes[0] / sizes[1] < 0.6
    assert codec("export", "--store", store, "--ref", "other", "--out", tmp_path / "x") == 2
    assert "`codec` has no version behind `other`" in capsys.readouterr().err


def some_clips() -> list[HeldOutClip]:
    return [
        HeldOutClip(clip_id=domain, domain=domain, split="test", samples=a_waveform(1.0, seed=seed), script=None)
        for seed, domain in enumerate(evaluation.DOMAINS)
    ]


def a_voice_encoder() -> VoiceEncoder:
    """Untrained, with weights large enough to tell sounds apart."""
    torch.manual_seed(0)
    encoder = VoiceEncoder().eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def test_evaluation_measures_every_system_and_names_what_is_missing(tmp_path, monkeypatch):
    perfect = Coder(name="perfect", run=lambda samples: Coded(samples, 24_000))
    monkeypatch.setattr(
        evaluation, "_coders", lambda config, folder: ([perfect], ["Opus 6 kbit/s (opusenc not found)"])
    )
    listeners = Listeners(voice=a_voice_encoder())
    found = evaluate(tiny_codec(), some_clips(), listeners=listeners, steps=4)
    table = write_tables(found, tmp_path)
    assert len(found.rows) == 15
    speech = next(row for row in found.rows if row["system"] == "perfect" and row["domain"] == "speech")
    assert speech["log_mel_distance"] == 0 and speech["bits_per_s"] == 24_000
    assert speech["speaker_similarity"] == pytest.approx(1)
    bound = next(row for row in found.rows if row["system"] == "its autoencoder alone")
    assert bound["bits_per_s"] == pytest.approx(25 * 32 * math.log2(19), rel=1e-3)
    voices = {row["system"]: row["speaker_similarity"] for row in found.rows if "speaker_similarity" in row}
    assert voices["ReasoningCodec debug"] < 0.9999 and len(voices) == 5, "a voice is heard in speech, by every system"
    assert "| sound (test) | ReasoningCodec debug | 1 | 940 |" in table
    assert "Decoded in 4 steps with guidance 1.5." in table
    assert "| sound (test) | ReasoningCodec debug+reasoning | 1 | 940 |" in table
    assert "240 bit/s of reasoning and 700 bit/s of reconstruction codes" in table
    assert json.loads((tmp_path / "evaluation.json").read_text())["stream_bits_per_s"] == found.stream_bits_per_s
    assert "Not measured: Opus 6 kbit/s (opusenc not found)." in table
    assert json.loads((tmp_path / "evaluation.json").read_text())["rows"] == found.rows
    assert "entries used (perplexity) by 15 reasoning codes a level: " in table


@pytest.mark.slow
def test_a_clip_is_recognized_in_its_language_and_not_measured_in_an_unknown_one(monkeypatch):
    monkeypatch.setattr(evaluation, "_coders", lambda config, folder: ([], []))
    words = {"cs": "co si", "en": "so see"}
    listeners = Listeners(recognize=lambda samples, language: words.get(language))
    speech = next(clip for clip in some_clips() if clip.domain == "speech")
    clips = [replace(speech, script="co si", language=language) for language in ("cs", "en", "xx", None)]
    found = evaluate(tiny_codec(), clips, listeners=listeners, steps=1)
    errors = [row.get("word_errors") for row in found.rows if row["system"] == "original, 16 bits"]
    assert errors == [[0, 2], [2, 2], None, None]


def test_bits_per_second_are_those_of_both_streams():
    assert stream_bits_per_s(tiny_codec().config) == {"reasoning": 5 * 8 * 6, "reconstruction": 12.5 * 8 * 7}
    assert bits_per_s(tiny_codec().config) == 5 * 8 * 6 + 12.5 * 8 * 7


def test_the_codec_is_evaluated_with_and_without_being_told_the_reasoning_codes(monkeypatch):
    heard: dict[str, np.ndarray] = {}

    def keep(clip, system, coded, listeners):
        heard[system] = coded.samples
        return {"domain": clip.domain, "system": system}

    monkeypatch.setattr(evaluation, "_coders", lambda config, folder: ([], []))
    monkeypatch.setattr(evaluation, "measured_row", keep)
    codec = tiny_codec()
    clips = some_clips()[:1]
    evaluate(codec, clips, steps=2, guidance=3.0)
    codes = codec.encode([clips[0].samples])
    for system, told in (("ReasoningCodec debug", False), ("ReasoningCodec debug+reasoning", True)):
        assert np.array_equal(heard[system], codec.decode(codes, steps=2, guidance=3.0, use_reasoning=told)[0])
    assert not np.array_equal(heard["ReasoningCodec debug"], heard["ReasoningCodec debug+reasoning"])


@pytest.mark.parametrize("action", ["encode", "decode", "evaluate"])
def test_a_device_that_is_not_there_is_one_line(action, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    soundfile.write(tmp_path / "in.wav", a_waveform(0.1), 24_000)
    inputs = ("--store", tmp_path) if action == "evaluate" else (tmp_path / "in.wav",)
    out = tmp_path / ("out" if action == "evaluate" else "out.wav")
    assert codec(action, *inputs, "--model", model, "--out", out, "--device", "cuda") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "`--device` must be one that torch finds here, but is cuda." in printed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_file_goes_to_codes_and_back_on_a_gpu(model, tmp_path):
    soundfile.write(tmp_path / "in.wav", a_waveform(1.0), 24_000)
    options = ("--model", model, "--device", "cuda", "--out")
    assert codec("encode", tmp_path / "in.wav", *options, tmp_path / "codes") == 0
    assert codec("decode", tmp_path / "codes", *options, tmp_path / "out.wav", "--steps", 1) == 0
    assert len(soundfile.read(tmp_path / "out.wav")[0]) == 24_000
    found = evaluate(tiny_codec().__class__.load(model).to("cuda"), some_clips()[:1], steps=1)
    assert {"ReasoningCodec debug", "its autoencoder alone"} <= {row["system"] for row in found.rows}


def test_the_use_of_a_codebook_is_its_entries_that_occur_and_its_perplexity_those_in_equal_use():
    codes = tiny_codec().encode([a_waveform(0.1)])[0]
    even = np.tile(np.arange(16, dtype=np.int16)[:, None], (1, 8))
    even[:, 1] = [7] * 15 + [9]
    use = code_use(tiny_codec().config, [type(codes)(np.zeros((5, 8), np.int16), even, 1)] * 2)
    assert use["reasoning"][0] == use["reasoning"][7]
    assert (use["reasoning"][0].num_used, use["reasoning"][0].num_entries, use["reasoning"][0].num_codes) == (1, 64, 10)
    assert use["reasoning"][0].perplexity == pytest.approx(1)
    assert use["reconstruction"][0].perplexity == pytest.approx(16)
    assert use["reconstruction"][1].num_used == 2 and 1 < use["reconstruction"][1].perplexity < 1.5


def test_a_file_that_is_no_voice_encoder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="`speaker` must be a file"):
        Listeners.load(None, tmp_path / "none.pt")
    torch.save({"model_state": {"lstm": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="does not hold the speaker network's weights"):
        Listeners.load(None, tmp_path / "other.pt")


def test_the_nearest_bitrates_are_chosen():
    assert CODEC2_MODES[nearest(CODEC2_MODES, 940)] == "700C"
    assert CODEC2_MODES[nearest(CODEC2_MODES, 1_780)] == "1600"
    assert SPEEX_QUALITIES[nearest(SPEEX_QUALITIES, 4_900)] == 1


@pytest.mark.slow
def test_a_coder_that_hangs_or_fails_costs_its_own_cells_alone(tmp_path, monkeypatch):
    program = tmp_path / "usr" / "bin" / "opusenc"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr("uniaudio.codec.evaluation.programs.TIMEOUT_S", 0.2)
    hangs = Coder(name="hangs", run=lambda samples: Programs(tmp_path).run(["opusenc"]))
    works = Coder(name="works", run=lambda samples: Coded(samples, 24_000))
    monkeypatch.setattr(evaluation, "_coders", lambda config, folder: ([hangs, works], []))
    found = evaluate(tiny_codec(), some_clips()[:1], steps=1)
    assert {row["system"] for row in found.rows} >= {"works"} and "hangs" not in {row["system"] for row in found.rows}
    assert found.missing == ["hangs on clip speech (opusenc: no end after 0.2 s)"]


def test_an_evaluation_that_cannot_be_written_is_not_begun(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for more, message in (
        (("--out", tmp_path / "file"), "is a file"),
        (("--out", tmp_path, "--clips", "-1"), "`--clips`"),
    ):
        assert codec("evaluate", "--model", model, "--store", tmp_path, *more) == 2
        assert message in capsys.readouterr().err


def test_weights_that_end_too_soon_are_one_line(model, tmp_path, capsys):
    broken = tmp_path / "codec"
    shutil.copytree(model, broken)
    weights = (broken / "codec.safetensors").read_bytes()
    (broken / "codec.safetensors").write_bytes(weights[: len(weights) // 2])
    soundfile.write(tmp_path / "in.wav", a_waveform(0.1), 24_000)
    assert codec("encode", tmp_path / "in.wav", "--model", broken, "--out", tmp_path / "codes") == 2
    printed = capsys.readouterr().err
    assert "not the weights of a debug codec" in printed and printed.count("\n") == 1


def test_a_coder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found, missing = coders(1_400, Programs())
    assert found == []
    assert missing[0] == "Opus 6 kbit/s (opusenc and opusdec not found: `apt install opus-tools`)" and len(missing) == 3


def test_the_payload_of_an_ogg_stream_is_its_packets_less_the_headers():
    def page(*packets: int) -> bytes:
        lacing = b"".join(bytes([255] * (size // 255) + [size % 255]) for size in packets)
        return b"OggS" + bytes(22) + bytes([len(lacing)]) + lacing + bytes(sum(packets))

    assert ogg_payload_bits(page(19) + page(600) + page(10, 300, 255)) == 8 * 565


@pytest.mark.slow
def test_the_real_coders_give_audio_of_the_same_length_at_about_their_rate():
    """Where `UNIAUDIO_CODERS` names a folder of them, or they are installed."""
    import os

    clip = a_waveform(4.0)
    found, missing = coders(1_400, Programs(os.environ.get("UNIAUDIO_CODERS")))
    if not found:
        pytest.skip(f"no coder is installed: {missing}")
    for coder in found:
        coded = coder.run(clip)
        assert coded.samples.shape == clip.shape and np.abs(coded.samples).max() > 0.05
        assert 1_000 < coded.num_bits / 4 < 8_000, coder.name
