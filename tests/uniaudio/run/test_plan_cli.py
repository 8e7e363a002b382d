"""`uniaudio plan train` in a process that has no torch."""

import json
import subprocess
import sys

from uniaudio.cli import main

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from uniaudio.run.plan_cli import add_command
import argparse
parser = argparse.ArgumentParser()
add_command(parser.add_subparsers())
options = parser.parse_args(["plan", "train", "--size", "paper_3b", "--gpus", "64", "--gpu", "h100", "--json"])
sys.exit(options.run(options))
"""


def test_a_plan_needs_no_torch_and_is_json() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    plan = json.loads(done.stdout)
    assert plan["parameters"]["backbone"] == 2_818_747_392
    assert [stage["stage"] for stage in plan["stages"]] == ["text_warmup", "stage1", "stage2", "stage3", "stage4"]
    held = plan["stages"][3]["configured"]["memory"]
    assert held["peak"] == sum(held[name] for name in held if name not in ("peak", "moment"))


def test_the_command_prints_each_stage_asked_for(capsys) -> None:
    assert main(["plan", "train", "--size", "paper_1b", "--gpus", "8", "--stage", "stage1", "--stage", "stage4"]) == 0
    said = capsys.readouterr().out
    assert "stage1: 50,000 steps of 64 rows of 1,024" in said
    assert "stage4: 300,000 steps of 32 rows of 2,048" in said
    assert "stage3" not in said


def test_a_stage_that_is_not_planned_is_one_line(capsys) -> None:
    assert main(["plan", "train", "--stage", "stage9"]) == 2
    assert capsys.readouterr().err.startswith("uniaudio: `--stage` must be one of text_warmup, stage1")


def test_an_unknown_card_is_one_line(capsys) -> None:
    assert main(["plan", "train", "--gpu", "abacus"]) == 2
    assert capsys.readouterr().err.startswith("uniaudio: `gpu` must be one of")
