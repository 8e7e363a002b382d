"""Scoring given answers from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from uniaudio.cli import main
from uniaudio.run.clips import read_clip
from uniaudio.run.model import UniAudio
from uniaudio.run.request import Request

CHOICES = ["--choice", "a dog", "--choice", "rain on a roof"]


def test_every_input_gets_a_line_with_the_log_likelihoods_that_the_model_states(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "asr", str(clip_folder), *CHOICES, "--model", str(model_folder)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["0.wav", "1.wav", "2.wav"]
    model = UniAudio.from_pretrained(model_folder)
    for line in lines:
        request = Request(audio=read_clip(Path(line["input"])))
        expected = model.score("asr", ["a dog", "rain on a roof"], request)
        found = [choice["log_likelihood"] for choice in line["choices"]]
        np.testing.assert_allclose(found, [one.log_likelihood for one in expected], atol=1e-5)
        assert line["best"] == ["a dog", "rain on a roof"][int(np.argmax(found))]


def test_the_best_a_token_may_be_another_than_the_best_as_a_whole(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # An untrained model finds all ids about equally likely, so fewer are likelier.
    given = ["score", "asr", str(clip_folder / "0.wav"), "--model", str(model_folder), *CHOICES]
    for flags in ([], ["--per-token"]):
        assert main([*given, *flags]) == 0
    whole, by_token = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert whole["choices"] == by_token["choices"]
    assert whole["best"] == "a dog"
    rates = {choice["text"]: choice["log_likelihood"] / choice["tokens"] for choice in by_token["choices"]}
    assert by_token["best"] == max(rates, key=lambda text: rates[text])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["asr", "{clips}/0.wav"], "`--choice` must be given once or more"),
        (["asr", "{clips}/0.wav", "--choice", " "], "each time with words"),
        (["asr", "--choice", "yes"], "needs audio: name files, folders or globs"),
        (["tts", "--text", "hi", "--choice", "yes"], "must write one text to score texts, but is tts"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(
    model_folder: Path, clip_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("{clips}", str(clip_folder)) for argument in arguments]
    assert main(["score", *given, "--model", str(model_folder)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("uniaudio: ")
    assert message in line
