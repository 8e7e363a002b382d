"""Every command that a page shows is one that exists: options by the parsers, deployments and their parameters by the flows, files by the tree."""

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from uniaudio_pipelines.jobs import job_from_json

from tests.docs.pages import PAGES, ROOT, blocks, commands, is_shell
from uniaudio import cli

LINES = sorted(
    {(block.page, line) for page in PAGES for block in blocks(page) if is_shell(block) for line in commands(block)}
)
FOREIGN = {
    "git",
    "cd",
    "export",
    ".",
    "pip",
    "kubectl",
    "docker",
    "ray",
    "tensorboard",
    "torchrun",
    "curl",
    "pytest",
    "apt-get",
    "python3",
    "bash",
}
"""Programs of others: of these only the files of the tree that they name are looked at."""
PREFECT = ("deployment run", "flow-run cancel", "work-pool create", "deploy", "server start", "worker start")


@cache
def deployments() -> dict[str, set[str]]:
    """Name such as `train-codec/local` -> the parameters of its flow."""
    (file,) = (ROOT / "flows").rglob("prefect.yaml")
    found = {}
    for one in yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]:
        module, _, name = one["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        found[f"{flow.name}/{one['name']}"] = set(flow.parameters.properties)
    return found


def check_uniaudio(words: list[str]) -> None:
    try:
        cli._parse(cli.make_parser(), words)
    except SystemExit as error:
        assert error.code == 0, f"`uniaudio {' '.join(words)}` is refused"


def check_prefect(words: list[str]) -> None:
    words = [word for word in words if word != "--no-prompt"]
    assert " ".join(words).startswith(PREFECT), words
    if words[:2] == ["deployment", "run"]:
        name, parameters = words[2], [words[at + 1] for at, word in enumerate(words) if word == "--param"]
        assert name in deployments(), f"no deployment is called {name}"
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            assert key in deployments()[name], f"{name} has no parameter {key}"
            if value.startswith(("{", "[")):
                json.loads(value)
    check_files(words)


def check_python(words: list[str]) -> None:
    if words[0] != "-m":
        check_files(words)
        return
    assert importlib.util.find_spec(words[1]) is not None, f"there is no module {words[1]}"
    if "--job" in words:
        module = importlib.import_module(f"{words[1]}.job")
        (job,) = [
            one
            for one in vars(module).values()
            if getattr(one, "EDGE", "") == words[1].rpartition(".")[2] and one.WRITES in words[1]
        ]
        job_from_json(job, words[words.index("--job") + 1])


def check_make(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_files(words: list[str]) -> None:
    for word in words:
        if re.fullmatch(r"(infra|flows|docs|examples|schemas|uniaudio|pipelines|tests)/[\w./-]+", word):
            assert (ROOT / word).exists(), f"{word} is not there"


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "uniaudio": check_uniaudio,
    "prefect": check_prefect,
    "python": check_python,
    "make": check_make,
}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_a_command_of_a_page_exists(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    program = words[0].rpartition("/")[2] if words else ""
    if program in CHECKS:
        CHECKS[program](words[1:])
    else:
        assert program in FOREIGN or not words, f"{page}: {program} is a program that this test does not know"
        check_files(words)


def test_the_pages_show_commands_of_every_program() -> None:
    assert len(LINES) > 80
    assert {line.split()[0] for _, line in LINES} >= set(CHECKS)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for check, line in (
        (check_uniaudio, "run asr clip.wav --no-such-option"),
        (check_prefect, "deployment run train-everything/local"),
        (check_prefect, "deployment run train-stage/local --param no_such_field=1"),
        (check_python, "-m uniaudio_pipelines.no_such_edge"),
        (check_make, "no-such-target"),
    ):
        with pytest.raises(AssertionError):
            check(shlex.split(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    made_by_runs = ("data/", "model/", "site/", "curves/", "train/")
    named = {path for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*\.\w+)`", text) if not path.startswith(made_by_runs)}
    places = (
        "",
        "schemas/",
        "pipelines/",
        "flows/",
        "pipelines/uniaudio_pipelines/",
        "pipelines/uniaudio_pipelines/raw_to_annotated/",
    )
    assert [path for path in sorted(named) if not any((ROOT / place / path).exists() for place in places)] == []
