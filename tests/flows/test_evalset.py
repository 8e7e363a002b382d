"""`uniaudio evalset`, typed."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_flows import evaluate_checkpoint
from uniaudio_flows.evalset import describe
from uniaudio_flows.settings import load_settings, service_environment
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.store.runs import log_run
from uniaudio_schemas.testing import a_run, clip_id, example_rows

from uniaudio.cli import main

Typed = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("UNIAUDIO_STORE", raising=False)
    return Store(tmp_path / "data" / "store")


@pytest.fixture
def typed(store: Store, capsys: pytest.CaptureFixture[str]) -> Typed:
    """`typed("list", code=0)`: what `uniaudio evalset list` prints."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["evalset", *arguments]) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def publish(
    store: Store, kind: str, rows: list[Any], ref: str = "latest", parents: dict[str, str] | None = None,
    dropped: list[Dropped] | None = None, **parameters: Any,
) -> Manifest:  # fmt: skip
    plan = Plan(
        kind=kind, schema_version=newest(kind).version, parents=parents or {}, parameters=parameters, code_version="test",
        units=["all"],
    )  # fmt: skip
    with store.writer(plan, owner="test", ref=ref) as writer:
        statistics = {"audio_s": 0.8 * len(rows), "num_with_text": 0.0}
        writer.put_shard("all", rows, dropped or [], statistics=statistics)
        return writer.publish()


def a_corpus(store: Store, *, leaks: dict[int, list[str]], held_back: tuple[int, ...] = ()) -> Manifest:
    """Four clips of the training split, a held-out one, an example of each; with those of the sets `esc` and `asr`, one item each."""
    for number, name in enumerate(("asr", "esc")):
        items = [replace(row, name=name) for row in example_rows("evalset", first=20 + number)]
        publish(store, "evalset", items, name, name=name)
        publish(store, "raw", example_rows("raw", first=20 + number), f"evalset-{name}", name=name)
    raw = publish(store, "raw", example_rows("raw", 5))
    rows = [
        replace(row, leaks=leaks.get(number, []), split="val" if number == 4 else "train")
        for number, row in enumerate(example_rows("annotated", 5))
    ]
    evalsets = {name: head.content_id for name, head in store.refs("evalset").items()}
    annotated = publish(store, "annotated", rows, parents={"raw": raw.content_id}, evalsets=evalsets)
    dropped = [Dropped(row_id=clip_id(number), reason="leak", unit="all") for number in held_back]
    dropped += [Dropped(row_id=clip_id(3), reason="too_long", unit="all")]
    instructions = publish(
        store,
        "instructions",
        example_rows("instructions"),
        parents={"annotated": annotated.content_id},
        dropped=dropped,
    )
    (row,) = example_rows("sequences")
    examples = [
        replace(row, sequence_id=f"example-{number}", clip_ids=[clip_id(number)])
        for number in range(4)
        if number not in held_back
    ]
    publish(store, "sequences", examples, parents={"instructions": instructions.content_id})
    return annotated


@pytest.mark.slow
def test_a_folder_is_registered_by_its_name_once_and_its_version_changes_with_it(
    store: Store, typed: Typed, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "document.txt").write_text("He hoped there would be stew for dinner, turnips and carrots and potatoes.\n")
    (folder / "empty.txt").write_text("")
    said = typed("add", "books", str(folder))
    assert "books is registered: 1 items, 0.0 s, 1 with text" in said and "not in it: 1 files (empty)" in said
    before = store.head("evalset", "books")
    assert "registered already, with the same 1 items" in typed("add", "books", str(folder))
    assert store.head("evalset", "books") == before and store.head("raw") is None
    (folder / "other.txt").write_text("A second document.\n")
    assert "books is registered: 2 items" in typed("add", "books", str(folder))
    assert store.read(store.refs("evalset")["books"])["name"].to_pylist() == ["books", "books"]


@pytest.mark.slow
def test_an_error_of_the_edge_is_said_in_its_words(store: Store, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_text("A document.\n")
    plan = SourceToRaw(source=str(tmp_path / "set"), ref="evalset-books").plan(store)
    with store.writer(plan, owner="somebody", ref="evalset-books"):
        said = typed("add", "books", str(tmp_path / "set"), code=2)
    assert len(said.splitlines()) == 1 and "somebody" in said
    assert store.head("evalset", "books") is None


def test_a_folder_that_holds_nothing_is_refused_in_one_line(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert "`source` must hold audio or text files" in typed("add", "books", str(tmp_path / "set"), code=2)
    assert "`name` must be the name of a set, but is latest" in typed("add", "latest", str(tmp_path), code=2)


def test_the_list_says_what_a_set_holds_and_what_the_corpus_shares_with_it(store: Store, typed: Typed) -> None:
    annotated = a_corpus(store, leaks={0: ["esc"], 1: ["asr", "esc"], 3: ["asr"], 4: ["esc"]}, held_back=(0, 1))
    log_run(store, replace(a_run(), plan_id=annotated.plan_id, started=1_700_000_000.0))
    rows = {row["name"]: row for row in json.loads(typed("list", "--json"))}
    assert rows["esc"] == {
        "name": "esc", "items": 1, "hours": 0.0002, "with_text": 0, "licences": ["CC-BY-NC-3.0"],
        "content_id": store.refs("evalset")["esc"].content_id, "checked": True, "checked_at": 1_700_000_000.0,
        "leaked_clips": 3, "leaked_training_clips": 2, "held_back": 2,
    }  # fmt: skip
    assert [rows["asr"][name] for name in ("leaked_clips", "leaked_training_clips", "held_back")] == [2, 2, 1]
    assert [line.split()[0] for line in typed("list").splitlines()] == ["set", "asr", "esc"]


def test_a_set_that_the_corpus_was_not_compared_with_has_no_numbers(store: Store, typed: Typed) -> None:
    assert "no evaluation set is registered" in typed("list")
    publish(store, "evalset", example_rows("evalset"), "early")
    assert describe(store)[0]["checked"] is False, "there is no corpus yet"
    a_corpus(store, leaks={})
    publish(store, "evalset", example_rows("evalset", 2), "late", late=True)
    late = next(line for line in typed("list").splitlines() if line.startswith("late"))
    assert "not yet" in late and late.count("?") == 3


def test_a_check_compares_now_and_says_whether_training_would_be_refused(store: Store, typed: Typed) -> None:
    a_corpus(store, leaks={1: ["esc"]})
    said = typed("check", code=1)
    assert "train-stage would refuse: `sequences` must share" in said and "such as example-1 (esc)" in said
    # The example rows' sound is made up: what is compared now is their files.
    (item,) = example_rows("evalset", first=2)
    publish(store, "evalset", [replace(item, name="esc")], "esc", again=True)
    answer = json.loads(typed("check", "--json", code=1))
    assert [(leak["clip_id"], leak["name"], leak["how"], leak["item_path"]) for leak in answer["leaks"]] == [
        (clip_id(2), "esc", "file", "esc50/2.wav")
    ]
    assert "esc was registered or changed later" in answer["refusal"]


def test_a_check_of_a_corpus_that_holds_its_leaks_back_finds_no_obstacle(store: Store, typed: Typed) -> None:
    assert "would not refuse" in typed("check")
    a_corpus(store, leaks={1: ["esc"]}, held_back=(1,))
    assert "would not refuse" in typed("check")


def test_a_removed_set_is_garbage_and_training_does_not_ask_for_it(store: Store, typed: Typed) -> None:
    a_corpus(store, leaks={1: ["esc"]})
    assert "esc is no evaluation set any more" in typed("remove", "esc")
    assert set(store.refs("evalset")) == {"asr"} and set(store.refs("raw")) == {"latest", "evalset-asr"}
    assert "would not refuse" in typed("check")
    assert sum("/versions/" in str(path) for path in store.collect()) == 2
    assert "`name` must be a registered set (asr), but is esc" in typed("remove", "esc", code=2)


def test_cards_of_ones_own_are_told_to_the_job_of_scores(
    store: Store, typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = 'source = "a lab"\nlicence = "CC0-1.0"\ntask = "asr"\nanswer = "given_text"\n'
    for folder in (tmp_path / "data" / "evalsets", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / f"of_{folder.name}.toml").write_text(text)
    assert [card.name for card in evaluate_checkpoint.job(load_settings(), {}).cards] == ["of_evalsets"]
    assert "of_evalsets is a lab: get it, then `uniaudio evalset add of_evalsets" in typed(
        "build", "of_evalsets", code=2
    )
    monkeypatch.setenv("UNIAUDIO_EVALSETS", str(tmp_path / "elsewhere"))
    assert [card.name for card in evaluate_checkpoint.job(load_settings(), {}).cards] == ["of_elsewhere"]
    assert service_environment(load_settings())["UNIAUDIO_EVALSETS"] == str(tmp_path / "elsewhere")
    assert "of_elsewhere" in typed("build", "nothing", code=2)


def test_the_commands_load_neither_torch_nor_prefect_nor_ray() -> None:
    code = (
        "import sys, uniaudio_flows.evalset, uniaudio_flows.evalset_cli;"
        "sys.exit(bool({'torch', 'ray', 'prefect', 'polars'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
