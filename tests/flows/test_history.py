"""`uniaudio lineage`, `diff` and `forget`, typed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from uniaudio_flows.history import step_answer
from uniaudio_schemas.kinds.sequences import train_statistics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan
from uniaudio_schemas.testing import clip_id, example_rows

from uniaudio.cli import main
from uniaudio.stages.table import stage_config
from uniaudio.testing import tiny_sequences
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_vocabulary
from uniaudio.training.sequences.dataset import SequenceSet

ARC = Path(__file__).parents[1] / "schemas" / "arc.py"
_spec = importlib.util.spec_from_file_location("arc", ARC)
assert _spec is not None and _spec.loader is not None
arc: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(arc)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    monkeypatch.delenv("UNIAUDIO_STORE", raising=False)
    made: Store = arc.make_arc(tmp_path / "store")
    return made


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_checkpoint_leads_back_to_files_and_licences(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(typed(capsys, "lineage", "checkpoint", "--json"))
    assert {version["kind"] for version in answer["versions"]} == {
        "sequences", "tokens", "codec", "instructions", "annotated", "raw"
    }  # fmt: skip
    assert [(one["corpus"], one["licence"], one["files"]) for one in answer["sources"]] == [
        ("bells", "freeware", 2), ("queen", "freeware", 3)
    ]  # fmt: skip
    assert "checkpoint" in typed(capsys, "lineage", answer["model"]["checkpoint_id"][:8]).splitlines()[0]


def test_an_example_leads_back_through_its_recipe(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (both,) = [row for row in arc._instructions("queen") if row.recipes]
    answer = json.loads(typed(capsys, "lineage", both.instruction_id, "--json"))
    (example,) = answer["examples"]
    clips = {clip["clip_id"]: clip for clip in example["clips"]}
    assert clips[arc.mixture().clip_id]["recipe"]["parents"] == [clip_id(3), clip_id(4)]
    assert clips[clip_id(3)]["file"]["path"] == "queen/3.wav"
    assert clips[clip_id(3)]["tokens"]["codec"] == "c"
    assert sum(one["files"] for one in answer["sources"]) == 2
    assert "mix of" in typed(capsys, "lineage", both.instruction_id)


def test_a_clip_leads_back_to_its_file(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "queen/3.wav (freeware" in typed(capsys, "lineage", clip_id(3)[:8])


def test_the_difference_names_rows_parameters_and_columns(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first = store.head("tokens")
    assert first is not None
    rows = example_rows("tokens", 4)
    rows[0] = example_rows("tokens", first=9)[0].__class__(
        clip_id=clip_id(0), num_samples=1, reasoning_codes=rows[0].reasoning_codes, reconstruction_codes=rows[0].reconstruction_codes
    )  # fmt: skip
    arc.publish(store, "tokens", {"codec": "0" * 32}, {"clips-0": {"rows": rows}}, nested={"min_samples": 3})
    answer = json.loads(typed(capsys, "diff", "tokens", first.plan_id[:8], "latest", "--json"))
    assert answer["rows"]["changed"] == [clip_id(0)] and answer["rows"]["columns"] == ["num_samples"]
    assert answer["rows"]["removed"] == sorted([clip_id(4), arc.mixture().clip_id]) and not answer["rows"]["added"]
    assert answer["parameters"] == {"nested.min_samples": [None, 3]}
    assert answer["parents"]["codec"][1] == "0" * 32
    assert "2 rows removed" in typed(capsys, "diff", "tokens", first.plan_id[:8], "latest")


def test_the_difference_of_tokens_is_a_table_of_branches_and_clips(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first = store.head("tokens")
    assert first is not None
    rows = example_rows("tokens", 5)
    rows[1].reasoning_codes.reshape(-1)[:8] += 1
    arc.publish(store, "tokens", {}, {"clips-0": {"rows": rows}})
    printed = typed(capsys, "diff", "tokens", first.plan_id[:8], "latest").splitlines()
    assert "codes of 1 of 5 clips in both differ" in printed
    table = [line.split() for line in printed[printed.index("codes of 1 of 5 clips in both differ") + 1 :]]
    assert table[1:3] == [
        ["reasoning_codes", "1", "5.000%", "25.00%"],
        ["reconstruction_codes", "0", "0.000%", "0.00%"],
    ]
    assert table[4] == [clip_id(1), "25.0%", "of", "reasoning_codes,", "0.0%", "of", "reconstruction_codes"]
    assert "codes of 0 of 5 clips in both differ" in typed(capsys, "diff", "tokens", "latest", "latest")


def test_show_lists_every_kind_in_the_order_of_the_data_flow(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [line.split()[0] for line in typed(capsys, "show").splitlines()[1:]]
    assert kinds == [
        "raw", "evalset", "cuts", "annotated", "instructions", "codec", "tokens", "sequences", "checkpoint", "scores",
        "codec_scores",
    ]  # fmt: skip


def test_listings_are_json_for_programs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(typed(capsys, "show", "--json"))
    raw = store.head("raw")
    assert raw is not None and shown["files_being_forgotten"] == []
    (told,) = [version for version in shown["versions"] if (version["kind"], version["ref"]) == ("raw", "latest")]
    assert told == {
        "kind": "raw", "ref": "latest", "rows": raw.num_rows, "plan_id": raw.plan_id, "content_id": raw.content_id, "dropped": raw.dropped
    }  # fmt: skip
    assert json.loads(typed(capsys, "gc", "--json")) == {"files": [], "removed": False}


def test_a_kind_that_is_none_has_no_difference(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "token", "latest", "latest"]) == 2
    assert "`kind` must be one of raw, " in capsys.readouterr().err


def test_a_version_does_not_differ_from_itself(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(typed(capsys, "diff", "raw", "latest", "latest", "--json"))
    assert answer["is_equal"] and not any(answer["rows"].values()) and not answer["parents"]


def test_forget_lists_and_only_really_forgets(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    listing = Path(store.root) / "cache" / "listing-0.json"
    listing.parent.mkdir()
    listing.write_text("SECRET")
    listed = typed(capsys, "forget", "queen/3.wav")
    assert (
        "raw" in listed and "checkpoint stage1" in listed and listed.splitlines()[-1].startswith("nothing was written")
    )
    assert "queen/3.wav" in listed and listing.exists()
    typed(capsys, "forget", "queen/3.wav", "--really")
    head = store.head("raw")
    assert head is not None and head.num_rows == 4 and not listing.exists()
    assert main(["forget", "queen/3.wav", "--really"]) == 2
    assert main(["lineage", "checkpoint", "--step", "0"]) == 2
    assert "was forgotten, and the order hangs on every row" in capsys.readouterr().err


def test_what_is_forgotten_is_json_for_programs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    raw, (checkpoint,) = store.head("raw"), store.versions("checkpoint")
    assert raw is not None
    listed = json.loads(typed(capsys, "forget", "queen/3.wav", "--json"))
    assert listed["files"] == [{"clip_id": clip_id(3), "path": "queen/3.wav"}] and not listed["forgotten"]
    assert listed["versions"][0] == {
        "kind": "raw", "plan_id": raw.plan_id, "content_id": raw.content_id, "refs": ["latest"],
        "rows": 5, "rows_of_source": 1, "shards": len(raw.shards), "shards_of_source": 1,
    }  # fmt: skip
    assert checkpoint.plan_id in {model["plan_id"] for model in listed["models"]}
    assert store.head("raw") == raw
    done = json.loads(typed(capsys, "forget", "queen/3.wav", "--really", "--json"))
    assert done == {**listed, "forgotten": True}
    head = store.head("raw")
    assert head is not None and head.num_rows == 4


def test_an_interrupted_forgetting_is_ended_by_the_same_command(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(ARC.parent)!r})
import arc
from uniaudio_schemas.history import forget
forget._swap_and_clear = lambda *_: os._exit(9)
arc.run_forget({str(store.root)!r}, "queen/3.wav")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert "begun and not ended: 1 files" in typed(capsys, "forget", "bells")
    assert json.loads(typed(capsys, "forget", "bells", "--json"))["files_being_forgotten"] == [1]
    assert "ending the forgetting of 1 files" in typed(capsys, "forget", "queen/3.wav", "--really")
    head = store.head("raw")
    assert head is not None and head.num_rows == 4


@pytest.mark.parametrize(
    ("name", "message"), [("abc", "6 hex digits"), ("0" * 8, "begins with"), ("raw/x", "a ref of raw")]
)
def test_an_id_that_names_nothing_is_refused(
    store: Store, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert main(["lineage", name]) == 2
    assert message in capsys.readouterr().err


def trained(root: Path) -> tuple[Store, Plan]:
    """A store with synthetic sequences, and the plan of a stage on them."""
    store, vocabulary, rows = Store(root), tiny_vocabulary(), tiny_sequences()
    said = {"vocabulary": vocabulary.to_json(), "vocabulary_fingerprint": vocabulary.fingerprint}
    unit = {"rows": rows, "metadata": said, "statistics": train_statistics(rows)}
    sequences = arc.publish(store, "sequences", {}, {"synthetic-00000": unit})
    stage = json.loads(json.dumps(stage_config("stage3").to_dict()))
    parameters = {"stage": stage, "size": "debug", "seed": 7}
    (row,) = example_rows("checkpoint")
    unit = {"rows": [row], "data": [b"weights"]}
    made = arc.publish(store, "checkpoint", {"sequences": sequences.content_id}, {"stage3": unit}, **parameters)
    return store, made


def test_the_examples_of_a_step_are_those_that_training_reads(tmp_path: Path) -> None:
    store, checkpoint = trained(tmp_path)
    sequences = store.head("sequences")
    assert sequences is not None
    data = MixtureData(SequenceSet.open(store, sequences), tiny_vocabulary(), stage_config("stage3"), seed=7)
    for step in range(3):
        wanted = data.sequence_ids(data.next_step())
        answer = step_answer(store, checkpoint, step)  # type: ignore[arg-type]
        assert answer["sequence_ids"] == wanted == [example["sequence_id"] for example in answer["examples"]]


def test_the_commands_load_no_torch(tmp_path: Path) -> None:
    trained(tmp_path / "store")
    code = "import sys, uniaudio.cli; assert not uniaudio.cli.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    for arguments in (["lineage", "checkpoint", "--step", "1"], ["diff", "sequences", "latest", "latest"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _environment(data: Path) -> dict[str, str]:
    import os

    return {**os.environ, "UNIAUDIO_DATA": str(data)}
