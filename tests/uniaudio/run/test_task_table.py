"""`uniaudio tasks`: the declarations, and what a store has of each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment
from uniaudio_schemas.kinds.task_statistics import Example, example_statistics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.cli import main
from uniaudio.run.task_table import task_forms
from uniaudio.tasks import TASKS


def publish(root: Path, statistics: dict[str, float]) -> None:
    """Two examples of asr, in two splits."""
    rows = [
        Instruction(
            instruction_id=split, task="asr", mixture="asr", split=split, corpus="queen",
            segments=[InstructionSegment(kind="text", loss=True, text="hi")],
        )
        for split in ("train", "val")
    ]  # fmt: skip
    plan = Plan(
        kind="instructions", schema_version=1, parents={}, parameters={}, code_version="1", units=["queen-00000"]
    )
    with Store(root).writer(plan, owner="test") as writer:
        writer.put_shard("queen-00000", rows, statistics=statistics)
        writer.publish()


def a_store(root: Path) -> None:
    examples = [
        Example(task="asr", split=split, corpus="queen", seconds=1_800.0, positions=70) for split in ("train", "val")
    ]
    needs = {"rows/words": 2.0, "rows/audio": 2.0, "rows/voice": 1.0}
    publish(root, {**example_statistics(examples), **needs, "not_built/prompt_tts/no_voice_sample": 1.0})


def records(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["tasks", "--store", str(root), "--json"]) == 0
    return {record["task"]: record for record in json.loads(capsys.readouterr().out)}


def test_a_store_says_how_much_of_each_task_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_store(tmp_path)
    found = records(tmp_path, capsys)
    assert found.keys() == TASKS.keys()
    half = {"examples": 1, "hours": 0.5, "positions": 70}
    assert found["asr"] == {
        "task": "asr", "examples": 2, "hours": 1.0, "positions": 140, "splits": {"train": half, "val": half},
        "corpora": {"queen": {"examples": 2, "hours": 1.0, "positions": 140}}, "not_built": {}, "why_none": "",
    }  # fmt: skip


def test_a_task_without_examples_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_store(tmp_path)
    found = records(tmp_path, capsys)
    assert found["lyric_recognition"]["why_none"] == "no clip has music with `lyrics`"
    assert found["prompt_tts"]["why_none"] == "no_voice_sample 1"
    assert found["speech_enhancement"]["why_none"] == "no clips fit together, or the job builds none"
    assert all(record["why_none"] for name, record in found.items() if name != "asr")


def test_the_table_has_a_line_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_store(tmp_path)
    assert main(["tasks", "--store", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["TASK", "EXAMPLES", "AUDIO", "POSITIONS"]
    assert [line.split()[0] for line in lines] == list(TASKS)
    (line,) = [line for line in lines if line.startswith("asr ")]
    assert line.split() == ["asr", "2", "1.0", "h", "140", "train", "1,", "val", "1", "queen"]


def test_a_version_without_statistics_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path, {})
    found = records(tmp_path, capsys)
    assert (found["asr"]["examples"], found["asr"]["hours"]) == (2, 0.0)
    assert "without statistics" in str(found["tts"]["why_none"])


def test_a_store_without_instructions_names_the_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--store", str(tmp_path)]) == 2
    assert "build-multitask-data" in capsys.readouterr().err


def test_the_declarations_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    found = {record["task"]: record for record in json.loads(capsys.readouterr().out)}
    assert found["prompt_tts"]["needs"] and found["tts"]["aliases"] == ["say"]


def test_a_form_is_described_in_words_that_people_read() -> None:
    (asr,) = task_forms(["asr"])
    assert asr["description"] == TASKS["asr"].prompts["en"][0] and asr["inputs"] == ["audio"]
    assert all(form["description"] for form in task_forms(TASKS))


@pytest.mark.slow
def test_the_table_of_a_store_loads_no_torch(tmp_path: Path) -> None:
    a_store(tmp_path)
    code = f"import sys; from uniaudio.cli import main; main(['tasks', '--store', {str(tmp_path)!r}]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
