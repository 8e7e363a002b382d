"""Two versions of scores side by side: `uniaudio compare` and `uniaudio leaderboard`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_flows import comparison_forms as forms
from uniaudio_flows import leaderboard
from uniaudio_flows.comparison import compare
from uniaudio_flows.report import model
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import example_rows

from uniaudio.cli import main

WORSE, BETTER = [4, 5, 3, 4, 5, 4, 3, 5], [1, 2, 0, 1, 2, 1, 0, 2]
"""Errors of eight samples of five words each."""


def write(store: Store, ref: str, errors: list[int], *, metric: str = "wer", more: tuple[Score, ...] = ()) -> Manifest:
    plan = Plan(
        kind="scores", schema_version=1, parents={"checkpoint": ref}, parameters={}, code_version="test", units=["asr"]
    )
    lines = [
        {
            "sample_id": f"s{number}",
            "recording": f"r{number}",
            "clip_ids": [f"c{number}"],
            "reference": f"words of {number}",
            "answer": f"{ref} said {number}",
            "metrics": {metric: [wrong, 5]},
        }
        for number, wrong in enumerate(errors)
    ]
    with store.writer(plan, owner="test", ref=ref) as writer:
        blob = writer.put_blob("".join(json.dumps(line) + "\n" for line in lines).encode())
        row = Score(
            score_id=f"{ref}-{metric}",
            checkpoint_id=f"{ref}00",
            benchmark="asr",
            metric=metric,
            domain="speech",
            value=sum(errors) / 5 / len(errors),
            low=0.1,
            high=0.5,
            num_samples=len(errors),
            baseline="empty answer",
            baseline_value=0.75,
            higher_is_better=False,
            predictions=blob,
        )
        writer.put_shard("asr", [row, *more], blobs=[blob])
        return writer.publish()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    store = Store(tmp_path / "store")
    write(store, "before", WORSE)
    store.point("scores", "latest", write(store, "after", BETTER))
    return store


def test_the_second_is_better_where_it_wins_every_recording(store: Store) -> None:
    (row,) = compare(store, "before", "after").rows
    assert row.is_better is True
    assert (row.wins, row.losses, row.num_samples) == (8, 0, 8)
    assert row.difference is not None
    assert row.difference.value == pytest.approx(-0.6)
    assert row.difference.p_value == row.corrected_p_value == pytest.approx(2 / 2**8)
    (other,) = compare(store, "after", "before").rows
    assert other.is_better is False
    assert (other.wins, other.losses) == (0, 8)


def test_what_is_not_sure_is_not_said(store: Store) -> None:
    write(store, "shuffled", WORSE[::-1])
    (row,) = compare(store, "before", "shuffled").rows
    assert row.is_better is None
    assert "better in 0 and worse in 0 of 1" in forms.markdown(compare(store, "before", "shuffled"))


def test_a_metric_without_predictions_is_shown_and_not_tested(store: Store) -> None:
    for name, errors in (("one", WORSE), ("two", BETTER)):
        many = tuple(
            Score(
                score_id=f"{name}{number}",
                checkpoint_id=name,
                benchmark="asr",
                metric=f"m{number}",
                domain="speech",
                value=1.0,
                low=None,
                high=None,
                num_samples=8,
                baseline="none",
                baseline_value=None,
                higher_is_better=True,
            )
            for number in range(3)
        )
        write(store, name, errors, more=many)
    rows = {row.key[2]: row for row in compare(store, "one", "two").rows}
    assert rows["m0"].difference is None  # no predictions, no test
    assert rows["wer"].corrected_p_value == pytest.approx(2 / 2**8)


def test_a_sample_of_one_side_alone_is_left_out(store: Store) -> None:
    write(store, "longer", [*BETTER, 5, 5])
    (row,) = compare(store, "after", "longer").rows
    assert row.num_samples == 8
    assert row.difference is not None
    assert row.difference.value == 0
    assert row.first.value != row.second.value


def test_two_runs_write_equal_bytes_in_every_form(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        assert main(["compare", "before", "after", "--out", str(tmp_path / folder)]) == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "comparison.json",
        "comparison.md",
        "comparison.tex",
        "first.lmms-eval.json",
        "second.lmms-eval.json",
    ]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    said = capsys.readouterr().out
    assert "| asr | speech | wer | 0.825† | **0.225** |" in said
    assert "“before said 0”" in said
    assert r"\textbf{0.225}" in (tmp_path / "one" / "comparison.tex").read_text()


def test_lmms_evals_form_names_the_metric_and_its_error(store: Store) -> None:
    whole = json.loads(forms.lmms_eval(compare(store, "before", "after").second))
    assert whole["results"]["asr"] == {"alias": "asr", "wer,none": 0.225, "wer_stderr,none": pytest.approx(0.1)}
    assert whole["n-samples"]["asr"] == {"original": 8, "effective": 8}
    assert whole["higher_is_better"]["asr"] == {"wer": False}


def test_lmms_evals_form_says_how_many_examples_stood_before_a_question(store: Store) -> None:
    side = compare(store, "before", "after").second
    (score,) = side.scores.values()
    names = ("asr", "digits/0-shot", "digits/4-shot", "digits/pocketsphinx")
    several = replace(side, scores={(name, "speech", "wer"): replace(score, benchmark=name) for name in names})
    assert json.loads(forms.lmms_eval(several))["n-shot"] == {
        "asr": 0,
        "digits/0-shot": 0,
        "digits/4-shot": 4,
        "digits/pocketsphinx": 0,
    }


def test_the_leaderboard_has_all_versions_and_marks_the_best(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = leaderboard.frame(store)
    assert found.filter("is_best")["checkpoint"].to_list() == ["after00"]
    assert main(["leaderboard"]) == 0
    said = capsys.readouterr().out
    assert "| **0.225** | 0.825† | 0.75 |" in said
    assert main(["leaderboard", "--json"]) == 0
    assert [row["checkpoint"] for row in json.loads(capsys.readouterr().out) if row["is_best"]] == ["after00"]
    assert main(["compare", "before", "after", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert said.startswith("| benchmark | domain | metric | after00 (")


def test_the_report_has_the_board_where_there_are_several_versions(store: Store, tmp_path: Path) -> None:
    assert model.leaderboard(store).rows[0][:4] == ("asr", "speech", "wer", "**0.225**")
    assert not model.leaderboard(Store(tmp_path / "empty")).rows
    assert [row[-1] for row in model.scores(store).rows] == ["better"]


def test_a_name_without_scores_says_what_makes_them(store: Store) -> None:
    with pytest.raises(UsageError, match="must be a ref of scores"):
        compare(store, "before", "nothing")


def write_codec(store: Store, ref: str, size: str, errors: list[int]) -> None:
    """Word errors of one codec's reconstructions, and of Opus beside it, of the same clips."""
    (row,) = example_rows("codec_scores")
    plan = Plan(
        kind="codec_scores", schema_version=1, parents={"codec": ref}, parameters={}, code_version="test", units=["a"]
    )
    lines = [
        {"sample_id": f"c{number}", "recording": f"r{number}", "metrics": {"wer": [wrong, 5]}}
        for number, wrong in enumerate(errors)
    ]
    with store.writer(plan, owner="test", ref=ref) as writer:
        blob = writer.put_blob("".join(json.dumps(line) + "\n" for line in lines).encode())
        common = replace(row, codec_id=f"{ref}-id", metric="wer", higher_is_better=False, predictions=blob)
        rows = [
            replace(common, score_id=f"{ref}1", system=f"ReasoningCodec {size}", value=sum(errors) / 40),
            replace(common, score_id=f"{ref}2", system="Opus 6 kbit/s", value=0.5, predictions=None),
        ]
        writer.put_shard("a", rows, blobs=[blob])
        writer.publish()


def test_two_codecs_are_compared_on_the_clips_of_both(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_codec(store, "supervised", "debug", WORSE)
    write_codec(store, "rewarded", "starter", BETTER)
    assert main(["compare", "supervised", "rewarded", "--codecs", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "- First: supervised, codec supervis, scores " in said
    assert "| reconstruction/ReasoningCodec | speech | wer | 0.825 | **0.225** | -0.6 |" in said
    row = compare(store, "supervised", "rewarded", of_codecs=True).rows[1]
    assert (row.wins, row.losses, row.num_samples) == (8, 0, 8)
    assert row.difference is not None and row.difference.p_value == pytest.approx(2 / 2**8)
    whole = json.loads((tmp_path / "out" / "second.lmms-eval.json").read_text())
    assert whole["config"]["model_args"] == "codec=rewarded-id"
    assert main(["compare", "before", "rewarded", "--codecs"]) == 2
    assert "`before` must be a ref of codec_scores" in capsys.readouterr().err


def test_wins_and_losses_of_sounds_can_be_heard(store: Store, tmp_path: Path) -> None:
    sounds = {}
    for ref, errors in (("mumbles", WORSE), ("speaks", BETTER)):
        plan = Plan(
            kind="scores",
            schema_version=1,
            parents={"checkpoint": ref},
            parameters={},
            code_version="test",
            units=["tts"],
        )
        with store.writer(plan, owner="test", ref=ref) as writer:
            sounds[ref] = writer.put_blob(f"sound of {ref}".encode())
            recorded = writer.put_blob(b"recorded")
            lines = [
                {"sample_id": f"s{number}", "recording": f"r{number}", "clip_ids": [], "reference": "words", "answer": "",
                 "made_audio": [sounds[ref]], "recorded_audio": [recorded], "metrics": {"wer": [wrong, 5]}}
                for number, wrong in enumerate(errors)
            ]  # fmt: skip
            blob = writer.put_blob("".join(json.dumps(line) + "\n" for line in lines).encode())
            (score,) = example_rows("scores")
            row = replace(score, benchmark="tts", metric="wer", higher_is_better=False, predictions=blob, media=[])
            writer.put_shard("tts", [row], blobs=[blob, sounds[ref], recorded])
            writer.publish()
    assert main(["compare", "mumbles", "speaks", "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "comparison.md").read_text()
    for part, blob in (("recorded", recorded), ("first", sounds["mumbles"]), ("second", sounds["speaks"])):
        assert f"[{part}](sounds/{blob}.flac)" in page
    files = {path.stem: path.read_bytes() for path in (tmp_path / "out" / "sounds").iterdir()}
    assert files[sounds["speaks"]] == b"sound of speaks" and len(files) == 3
    assert ".flac" not in forms.markdown(compare(store, "mumbles", "speaks"))


def test_an_empty_store_has_an_empty_board(tmp_path: Path) -> None:
    assert leaderboard.markdown(leaderboard.frame(Store(tmp_path / "empty"))).count("\n") == 5


def test_codecs_stand_beside_what_they_were_measured_beside(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = example_rows("codec_scores")
    rows = [
        row,
        replace(row, score_id="1" * 32, metric="wer", value=0.9, baseline_value=0.8, higher_is_better=False),
        replace(row, score_id="2" * 32, system="ours", bits_per_s=None, value=1.6),
        replace(row, score_id="3" * 32, system="ours", benchmark="perplexity", metric="token_perplexity", value=12.5),
    ]
    plan = Plan(kind="codec_scores", schema_version=1, parents={}, parameters={}, code_version="test", units=["a"])
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("a", rows)
        writer.publish()
    assert main(["leaderboard", "--codecs"]) == 0
    tables = [line.replace(" ", "") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    name = row.codec_id[:8]
    assert "|codec|system|bit/s|speechpesq|speechwer|" in tables
    assert f"|{name}|Codec21400|1400|1.32|0.9†|" in tables
    assert f"|{name}|ours||1.6||" in tables
    assert "|codec|system|bit/s|speechtoken_perplexity|" in tables
