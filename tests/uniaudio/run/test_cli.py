"""The command line: conventional, one line for a mistake, exit code 2."""

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from uniaudio.cli import main
from uniaudio.lm.compiled import _build
from uniaudio.run import arguments
from uniaudio.run.clips import ClipWriter
from uniaudio.tasks import TASKS

SHORT = ["--max-text", "6", "--max-seconds", "0.4"]


def run(*arguments: object) -> int:
    return main(["run", *map(str, arguments), *SHORT])


def test_one_clip_gives_its_text_and_nothing_else(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("asr", clip_folder / "0.wav", "--model", model_folder) == 0
    printed = capsys.readouterr()
    # A model of random weights seldom stops by itself.
    assert [line for line in printed.err.splitlines() if "cut off at its limit" not in line] == []
    assert "{" not in printed.out.partition("\n")[2]


def test_folder_and_glob_give_one_line_of_json_an_input_in_any_batch(
    model_folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("transcribe", clip_folder, "--model", model_folder) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["0.wav", "1.wav", "2.wav"]
    assert {"task", "text", "finished", "seed"} <= set(lines[0])
    path = tmp_path / "out" / "lines.jsonl"
    assert run("asr", f"{clip_folder}/*.wav", "--batch", 2, "--jsonl", path, "--model", model_folder) == 0
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines


def test_compiling_is_asked_for_by_name_and_changes_no_answer(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("asr", clip_folder, "--model", model_folder)
    if shutil.which("cc"):
        assert run(*arguments) == 0
        expected = capsys.readouterr().out
        assert run(*arguments, "--compile") == 0
        assert capsys.readouterr().out == expected
    _build.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert run(*arguments, "--compile") == 2
    assert capsys.readouterr().err.startswith("uniaudio: `compile` must find a C compiler")


def test_inputs_may_stand_on_either_side_of_options(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [clip_folder / f"{number}.wav" for number in range(3)]
    assert run("asr", *clips, "--model", model_folder) == 0
    expected = capsys.readouterr().out
    assert run("asr", clips[0], "--batch", 3, clips[1], "--model", model_folder, clips[2]) == 0
    assert capsys.readouterr().out == expected
    for unknown in (["--wrong"], [clips[0], "--model", model_folder, clips[1], "--wrong"]):
        with pytest.raises(SystemExit):
            run("asr", *unknown)
        assert "unrecognized arguments" in capsys.readouterr().err


def test_speech_is_written_to_the_file_asked_for(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "hello.wav"
    assert run("tts", "--text", "hello", "--out", out, "--model", model_folder) == 0
    with wave.open(str(out)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.getnframes() % 1920 == 0


def test_a_file_of_texts_is_spoken_line_by_line(
    model_folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tts", clip_folder / "notes.txt", "--out", tmp_path, "--model", model_folder) == 0
    files = [json.loads(line)["audio"][0] for line in capsys.readouterr().out.splitlines()]
    assert [Path(file).name for file in files] == ["tts-0000.wav", "tts-0001.wav"]
    assert all(Path(file).stat().st_size > 44 for file in files)


def test_a_seed_makes_the_same_file_again(model_folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        sampling = ["--seed", seed, "--temperature", 1, "--top-k", 40, "--top-p", 0.9, "--guidance", 1.5]
        assert run("tts", "--text", "hello", "--out", tmp_path / f"{name}.wav", "--model", model_folder, *sampling) == 0
    first, again, other = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert first == again != other


def test_groups_of_streams_and_repetition_reach_the_sampler(model_folder: Path, tmp_path: Path) -> None:
    arguments = ["tts", "--text", "hello", "--model", model_folder, "--temperature", 0]
    steered = ["--group", "acoustic:temperature=2,top_k=9", "--repetition-penalty", 1.2, "--no-repeat-ngram", 3]
    assert run(*arguments, "--out", tmp_path / "plain.wav") == 0
    assert run(*arguments, "--out", tmp_path / "steered.wav", *steered) == 0
    assert (tmp_path / "plain.wav").read_bytes() != (tmp_path / "steered.wav").read_bytes()


def test_streaming_prints_what_answering_prints(
    model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["asr", clip_folder / "1.wav", "--model", model_folder, "--temperature", 1, "--seed", 3]
    assert run(*arguments) == 0
    answered = capsys.readouterr().out
    assert run(*arguments, "--stream") == 0
    assert capsys.readouterr().out.strip() == answered.strip()


def test_streamed_audio_is_the_file_that_answering_writes(
    model_folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    arguments = ["run", "tts", "--text", "so", "--model", model_folder, "--temperature", 0, "--max-seconds", 5]
    out = [tmp_path / name for name in ("whole.wav", "streamed.wav")]
    assert main([*map(str, arguments), "--out", str(out[0]), "--window-seconds", "3.2"]) == 0
    assert main([*map(str, arguments), "--out", str(out[1]), "--stream"]) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    capfdbinary.readouterr()
    assert main([*map(str, arguments), "--out", "-", "--stream"]) == 0
    with wave.open(str(out[0])) as file:
        assert file.getnframes() == 5 * 24_000 // 1920 * 1920, "longer than a window"
        assert capfdbinary.readouterr().out == file.readframes(file.getnframes())


def test_a_file_that_is_still_written_can_be_read(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "new" / "clip.wav")
    for count in (1, 2):
        writer.write(np.full(2400, 0.5, np.float32))
        with wave.open(str(tmp_path / "new" / "clip.wav")) as file:
            assert file.getnframes() == 2400 * count
    writer.close()


def test_the_table_lists_every_task_with_its_aliases(capsys: pytest.CaptureFixture[str], model_folder: Path) -> None:
    assert main(["tasks"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == list(TASKS)
    assert next(line for line in table if line.startswith("audio_understanding ")).split()[1] == "qa"
    assert main(["tasks", "--model", str(model_folder)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["asr", "tts", "audio_caption"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["asr", "{clips}/notes.txt"], "notes.txt: must be an audio file"),
        (["asr", "{clips}/gone.wav"], "gone.wav: cannot be opened"),
        (["asr", "{clips}/*.flac"], "leads to none"),
        (["asr"], "needs audio: name files, folders or globs"),
        (["vc", "{clips}/0.wav", "--out", "x.wav"], "needs 1 to 3 `examples` of source, target, but has 0"),
        (["vc", "{clips}/0.wav", "--example", "{clips}/1.wav", "--out", "x.wav"], "must hold source, target, but holds 1 val"),
        (["enhance", "{clips}/0.wav", "--example", "{clips}/1.wav", "{clips}/2.wav", "--out", "x.wav"], "was trained on (asr,"),
        (["sentence_mixture", "{clips}/0.wav"], "must have something to answer, but sentence_mixture is for training"),
        (["tts", "--text", " ", "--out", "x.wav"], "needs words in `text`, but it is empty"),
        (["tts", "--text", "hi"], "`--out` must name the audio file to write"),
        (["tts", "--text", "hi", "--out", "x.mp3"], "must end with .wav or .flac"),
        (["qa", "{clips}/0.wav", "--text", "who?"], "must be one that the model was trained on (asr, tts, audio_caption)"),
        (["hear", "{clips}/0.wav"], "that `uniaudio tasks` lists, but is 'hear'"),
        (["asr", "{clips}/0.wav", "--top-p", "7"], "`top_p` must be above 0"),
        (["asr", "{clips}/0.wav", "--group", "all:top_k=3"], "`groups` must be of text, reasoning, semantic, acoustic"),
        (["asr", "{clips}/0.wav", "--group", "text:heat=3"], "must set temperature, top_k or top_p, but sets heat"),
        (["tts", "--text", "hi", "--stream"], "must be a .wav file, or - for raw samples, to be streamed, but is empty"),
        (["tts", "--text", "hi", "--stream", "--out", "x.flac"], "to be streamed, but is x.flac"),
        (["tts", "--text", "hi", "--out", "x.wav", "--window-seconds", "1"], "(--window-seconds) must be 3.2 or more"),
        (["separate", "{clips}/0.wav", "--stream", "--out", "-"], "must write one text or one clip to be streamed"),
        (["asr", "{clips}", "--stream"], "`--stream` must be used with one input"),
        (["asr", ""], "INPUT must name a file, a folder or a glob, but is empty"),
        (["asr", "{clips}/0.wav", "--out", "x.wav"], "must be given where audio is written, but asr writes none"),
        (["asr", "{clips}/0.wav", "--temperature", "nan"], "`temperature` must be 0 or lie in"),
        (["asr", "{clips}/0.wav", "--group", "text:temperature=inf"], "`temperature` must be 0 or lie in"),
        (["asr", "{clips}/0.wav", "--guidance", "inf"], "(--guidance) must lie in"),
        (["asr", "{clips}/0.wav", "--repetition-penalty", "nan"], "`repetition_penalty` must lie in 1"),
        (["asr", "{clips}/0.wav", "--seed", str(10**23)], "`seed` must lie within"),
        (["asr", "{clips}/0.wav", "--device", "meta"], "`device` must be one that torch can compute on"),
        (["tts", "--text", "hi", "--out", "x.wav", "--window-seconds", "nan"], "`decode_window_s` must be 0 or more"),
        (["asr", "{clips}/0.wav", "--language", "xx"], "`language` of the prompt must be one of en, zh, yue"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line_that_names_it_and_exit_code_2(
    model_folder: Path, clip_folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("{clips}", str(clip_folder)) for argument in arguments]
    assert run(*given, "--model", model_folder) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("uniaudio: ")
    assert message in line


def test_the_model_of_the_project_answers_where_no_store_is_and_none_is_named(
    model_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("UNIAUDIO_MODEL", "UNIAUDIO_STORE", "UNIAUDIO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(arguments, "shipped_model", lambda: model_folder)
    assert run("asr", clip_folder / "0.wav") == 0
    answer = capsys.readouterr().out
    assert run("asr", clip_folder / "0.wav", "--model", model_folder) == 0
    assert capsys.readouterr().out == answer
    (tmp_path / "data" / "store").mkdir(parents=True)
    assert run("asr", clip_folder / "0.wav") == 2
    assert "data/store" in capsys.readouterr().err
    monkeypatch.setattr(arguments, "shipped_model", lambda: None)
    (tmp_path / "data" / "store").rmdir()
    assert run("asr", clip_folder / "0.wav") == 2


def test_a_missing_model_is_named_with_what_to_do(
    clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("asr", clip_folder / "0.wav", "--model", tmp_path / "none") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "`uniaudio demo` trains one, `uniaudio lm import` takes one over" in line
