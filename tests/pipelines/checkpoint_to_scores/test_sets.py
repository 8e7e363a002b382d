"""Registered evaluation sets: cards, examples that are drawn for a question, classical systems beside the model."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from uniaudio_pipelines.checkpoint_to_scores.classical import logistic_regression
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores
from uniaudio_pipelines.checkpoint_to_scores.sets import Item, OpenSet, may_show
from uniaudio_pipelines.checkpoint_to_scores.worker import ScoreWorker
from uniaudio_pipelines.evalsets import cards, own_cards, read_card, set_fingerprint
from uniaudio_pipelines.jobs import job_from_json, job_to_json
from uniaudio_pipelines.raw_to_evalset.job import RawToEvalset
from uniaudio_pipelines.raw_to_evalset.worker import EvalsetWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import write_flac_bytes
from uniaudio.tasks.recipes import share_of
from uniaudio.testing import a_waveform

pytest.importorskip("soundfile")
pytest.importorskip("scipy")

NAME = "esc50"
ITEMS = {
    "dog-a1": ("dog", "a", "a1"),
    "dog-a2": ("dog", "a", "a2"),
    "rain-b1": ("rain", "b", "b1"),
    "rain-b2": ("rain", "b", "b1"),
    "dog-c": ("dog", None, "c"),
    "sound-train": ("rain", "d", "d"),
}
"""Item -> answer, speaker, recording. The last one is a clip that is trained on."""
JOB = CheckpointToScores(
    benchmarks=("held_out_loss",), evalsets=(NAME,), shots=(0, 1), max_text=4, num_items=9, num_sequences=1
)


@pytest.fixture(scope="module")
def small_card() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cards(), NAME, replace(cards()[NAME], items=len(ITEMS)))
        yield


@pytest.fixture(scope="module")
def store(built: Any, small_card: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A copy of the built one, with the set."""
    folder = tmp_path_factory.mktemp("sets") / "store"
    shutil.copytree(built.store.root, folder)
    store = Store(folder)
    flacs = {
        item: write_flac_bytes(a_waveform(0.4, frequency=200 + 90 * number), SAMPLE_RATE)
        for number, item in enumerate(ITEMS)
    }
    plan = Plan(kind="raw", schema_version=2, parents={}, parameters={"set": NAME}, code_version="test", units=["a"])
    with store.writer(plan, owner="test", ref=f"evalset-{NAME}") as writer:
        tar, rows = b"".join(flacs.values()), []
        digest, offset = writer.put_blob(tar), 0
        for item, (answer, speaker, recording) in ITEMS.items():
            place = {"tar": digest, "tar_offset": offset, "tar_size": len(flacs[item]), "given_title": answer}
            named = {
                "clip_id": item,
                "sha256": item,
                "path": item,
                "corpus": NAME,
                "licence": "CC0-1.0",
                "domain": "sound",
            }
            size = {"medium": "audio", "sample_rate": SAMPLE_RATE, "num_samples": 9_600, "channels": 1}
            rows.append(Raw(**named, **place, **size, speaker=speaker, split_group=recording))
            offset += len(flacs[item])
        writer.put_shard("a", rows, blobs=[digest])
        writer.publish()
    run_edge(store, RawToEvalset(name=NAME), EvalsetWorker, num_workers=0)
    return store


@pytest.fixture(scope="module")
def opened(store: Store) -> OpenSet:
    evaluation = Evaluation(str(store.root), JOB, JOB.plan(store))
    return OpenSet(evaluation, NAME, store.refs("evalset")[NAME])


def test_examples_share_neither_speaker_nor_recording_with_the_question(opened: OpenSet) -> None:
    by_id = {item.item_id: item for item in opened.items}
    shown = {query: {one.item_id for one in opened.shots(by_id[query], 9)} for query in ITEMS}
    assert shown["dog-a1"] == {"rain-b1", "rain-b2", "dog-c"}
    assert shown["rain-b1"] == {"dog-a1", "dog-a2", "dog-c"}
    assert shown["dog-c"] == {"dog-a1", "dog-a2", "rain-b1", "rain-b2"}
    assert not may_show(by_id["rain-b1"], replace(by_id["rain-b2"], speaker="other"))


def an_item(name: str, speaker: str | None, recording: str) -> Item:
    raw: Any = None
    return Item(item_id=name, sha256=name, answer="a", speaker=speaker, recording=recording, language="en", raw=raw)


def test_an_example_is_of_another_speaker_and_recording() -> None:
    query = an_item("query", "ann", "r1")
    assert may_show(an_item("other", "bob", "r2"), query)
    assert may_show(an_item("unknown", None, "r2"), replace(query, speaker=None))
    assert not may_show(an_item("voice", "ann", "r2"), query)
    assert not may_show(an_item("recording", "bob", "r1"), query)
    assert not may_show(an_item("query", "bob", "r2"), query)


def test_examples_are_no_more_work_an_item_in_a_large_set(opened: OpenSet) -> None:
    """As many draws by the seed for a set as it has items, and one more a question."""
    draws = []

    def counted(*key: Any) -> float:
        draws.append(key)
        return float(share_of(*key))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uniaudio_pipelines.checkpoint_to_scores.sets.share_of", counted)
        for size in (40, 400):
            draws.clear()
            large = OpenSet(opened.evaluation, NAME, opened.manifest)
            large.items = [an_item(f"i{number}", f"s{number % 7}", f"r{number}") for number in range(size)]
            shown = [large.shots(item, 4) for item in large.items]
            assert all(len(shots) == 4 and len({one.item_id for one in shots}) == 4 for shots in shown)
            assert len(draws) == 2 * size
            assert len({tuple(one.item_id for one in shots) for shots in shown}) > size // 2


def test_examples_are_drawn_by_the_seed_alone(opened: OpenSet) -> None:
    query = next(item for item in opened.items if item.item_id == "dog-c")
    drawn = {seed: _drawn(opened, query, seed) for seed in range(6)}
    assert drawn == {seed: _drawn(opened, query, seed) for seed in range(6)}
    assert len(set(drawn.values())) > 1


def _drawn(opened: OpenSet, query: Any, seed: int) -> tuple[str, ...]:
    other = OpenSet(opened.evaluation, NAME, opened.manifest)
    other.evaluation.job = replace(JOB, seed=seed)
    return tuple(one.item_id for one in other.shots(query, 3))


def test_a_set_is_asked_with_and_without_examples_and_beside_a_classical_system(store: Store) -> None:
    result = ScoreWorker(str(store.root), JOB, JOB.plan(store)).process(f"evalset-{NAME}")
    rows = {(row.benchmark, row.metric): row for row in result.rows}
    systems = {f"{NAME}/{system}" for system in ("0-shot", "1-shot", "logistic_regression")}
    assert {benchmark for benchmark, _ in rows} == systems
    assert {metric for _, metric in rows} == {"accuracy", "unparsed", "choice_accuracy"}
    assert {row.num_samples for row in result.rows} == {5}
    assert rows[f"{NAME}/0-shot", "choice_accuracy"].baseline_value == 0.5
    assert rows[f"{NAME}/0-shot", "accuracy"].baseline_value == pytest.approx(
        3 / 5
    )  # three dogs of five that are asked
    assert {(row.row_id, row.reason, row.unit) for row in result.dropped} == {
        ("sound-train", "leak", f"evalset-{NAME}")
    }
    lines = [json.loads(line) for blob in result.blobs for line in blob.decode().splitlines()]
    # No question was in training; of classical systems the lineage says nothing.
    assert {line.get("is_task_new") for line in lines} == {True, None}
    with_example = [line for line in lines if len(line["clip_ids"]) == 2]
    assert len(with_example) == 5
    assert all(line["recording"] in ("a1", "a2", "b1", "c") for line in lines)


def test_a_large_set_is_answered_in_units_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(JOB, shard_size=4, max_text=5, shots=(1,))
    plan = job.plan(store)
    unit = f"evalset-{NAME}"
    assert plan.units == [f"answers-{unit}-00000", f"answers-{unit}-00001", "held_out_loss", unit]
    worker = ScoreWorker(str(store.root), job, plan)
    assert not any(worker.process(name).rows for name in plan.units[:2])
    monkeypatch.setattr("uniaudio_pipelines.checkpoint_to_scores.generation.generate", None)
    assert {row.num_samples for row in worker.process(unit).rows} == {5}


def test_a_set_that_is_not_the_cards_is_refused(store: Store, opened: OpenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for changes in ({"items": 2_000}, {"fingerprint": "another"}):
        monkeypatch.setitem(cards(), NAME, replace(cards()[NAME], **({"items": 0} | changes)))
        with pytest.raises(DataError, match=f"Evaluation set {NAME} must be"):
            _ = OpenSet(opened.evaluation, NAME, opened.manifest).items


MINE = """source = "my recordings"
licence = "CC0-1.0"
task = "audio_understanding"
question = "What is it"
answer = "given_title"
domain = "sound"
shots = [1]
metrics = ["accuracy"]
"""


def test_a_card_of_ones_own_travels_with_the_job_and_says_shots_and_metrics(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    job = replace(JOB, cards=own_cards(tmp_path), evalsets=("mine",))
    (tmp_path / "mine.toml").unlink()
    job = job_from_json(CheckpointToScores, job_to_json(job))
    with pytest.raises(UsageError, match=r"mine is not: `uniaudio evalset add mine FOLDER` \(my recordings\)"):
        job.plan(store)
    store.point("raw", "evalset-mine", store.refs("raw")[f"evalset-{NAME}"])
    run_edge(store, RawToEvalset(name="mine"), EvalsetWorker, num_workers=0)
    plan = job.plan(store)
    result = ScoreWorker(str(store.root), job, plan).process("evalset-mine")
    assert [(row.benchmark, row.metric, row.num_samples) for row in result.rows] == [("mine/1-shot", "accuracy", 5)]
    assert replace(job, cards=(replace(job.cards[0], shots=(0,)),)).plan(store).plan_id != plan.plan_id
    assert replace(JOB, cards=job.cards).plan(store).plan_id == JOB.plan(store).plan_id, "its set is not asked"


def test_a_card_says_shots_and_metrics_and_the_job_where_it_does_not() -> None:
    manifest: Any = None
    said, silent = (read_card(name, text) for name, text in (("mine", MINE), ("yours", MINE.partition("shots")[0])))
    job = job_from_json(CheckpointToScores, job_to_json(replace(JOB, cards=(said, silent))))
    evaluation: Any = SimpleNamespace(job=job)
    opened = {name: OpenSet(evaluation, name, manifest) for name in ("mine", "yours", NAME)}
    assert {name: one.shot_counts for name, one in opened.items()} == {"mine": (1,), "yours": (0, 1), NAME: (0, 1)}
    assert opened["mine"].card.scored_metrics == ("accuracy",)
    assert opened["yours"].card.scored_metrics == ("accuracy", "unparsed", "choice_accuracy")


def test_a_wrong_card_of_ones_own_is_named_with_its_key(tmp_path: Path) -> None:
    assert own_cards(tmp_path / "nowhere") == ()
    (tmp_path / "mine.toml").write_text(MINE + 'colour = "red"\n')
    with pytest.raises(UsageError, match=f"{tmp_path}/mine.toml: .*colour"):
        own_cards(tmp_path)
    (tmp_path / "mine.toml").unlink()
    (tmp_path / f"{NAME}.toml").write_text(MINE)
    with pytest.raises(UsageError, match=f"{NAME}.toml: `name` .* must be new, but {NAME} is a set of the package"):
        own_cards(tmp_path)


def test_a_set_is_part_of_what_is_planned(store: Store) -> None:
    plan = JOB.plan(store)
    assert plan.units == ["held_out_loss", f"evalset-{NAME}"]
    assert plan.plan_id != replace(JOB, shots=(0,)).plan(store).plan_id
    assert plan.plan_id == replace(JOB, evalsets=("registered",)).plan(store).plan_id


def test_logistic_regression_hears_a_pitch_and_is_never_asked_what_it_knows() -> None:
    heard = [a_waveform(0.3, frequency=200 + 1_500 * (number % 2)) for number in range(20)]
    answers = ["low", "high"] * 10
    recordings = [f"r{number}" for number in range(20)]
    assert logistic_regression(heard, answers, recordings, ("high", "low")) == answers
    # All of one recording: nothing else to learn from, so nothing is known.
    assert set(logistic_regression(heard, answers, ["one"] * 20, ("high", "low"))) == {"high"}


def test_cards_are_read_and_those_of_packages_are_pinned() -> None:
    found = cards()
    assert len([card for card in found.values() if card.packages]) >= 8
    assert all(card.items and card.fingerprint for card in found.values() if card.packages)
    assert all(len(package.sha256) == 64 for card in found.values() for package in card.packages)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('source = "x"\nlicence = "x"\ntask = "tts"\nanswer = "given_text"', "`task` must be one that cards may have"),
        ('source = "x"\nlicence = "x"\ntask = "asr"\nanswer = "path"', "`answer` must be"),
        (
            'source = "x"\nlicence = "x"\ntask = "asr"\nanswer = "given_text"\nbaselines = ["guess"]',
            "`baselines` must be",
        ),
        ("source =", "must be a TOML file"),
        (MINE + "pattern = '(?P<speaker>.*)'", "`pattern` must be one that cards may have"),
        (
            MINE.replace('"accuracy"', '"accuracy", "wer"'),
            "`metrics` must be of accuracy, unparsed, choice_accuracy, but hold wer",
        ),
        (MINE.replace("[1]", "[-1]"), "`shots` must lie in 0 … 64 for task audio_understanding, but are -1"),
        (MINE.replace("audio_understanding", "sound_classification").replace("[1]", "[]"), "`shots` must lie in 1 … 3"),
        (MINE + "recorded = 2020-01-01", "recorded"),
        ('source = "x"\nlicence = "x"\ntask = "asr"\nanswer = "given_text"\ncolour = "red"', "colour"),
    ],
)
def test_a_card_that_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_card("mine", text)


def test_a_fingerprint_is_of_files_and_answers_in_any_order() -> None:
    items = [("aa", "dog"), ("bb", "rain")]
    assert set_fingerprint(items) == set_fingerprint(items[::-1]) != set_fingerprint([("aa", "rain"), ("bb", "dog")])


def test_packages_are_laid_out_by_the_cards_pattern(tmp_path: Path) -> None:
    from uniaudio_flows.evalset_packages import lay_out

    tree = tmp_path / "tree"
    for name in ("kit/kick-soft.wav", "kit/kick-hard.wav", "kit/tom-1.wav", "kit/readme.txt"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode())
    (tree / "kit/link-1.wav").symlink_to(tree / "kit/tom-1.wav")
    card = replace(
        cards()["drum_pieces"],
        pattern=r"(?P<group>kit/(?P<answer>\w+))-\w+\.wav",
        answers={"kick": "bass drum"},
        items=3,
        fingerprint="",
    )
    lay_out(card, [("kits", tree)], tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [(line["given_title"], line["split_group"]) for line in lines] == [
        ("bass drum", "kit/kick"),
        ("bass drum", "kit/kick"),
        ("tom", "kit/tom"),
    ]


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("ravdess", "Actor_12/03-01-05-02-01-01-12.wav", ("angry", "12")),
        ("ravdess", "Actor_12/02-01-05-02-01-01-12.wav", None),  # a video
        ("crema_d", "AudioWAV/1040_ITH_SAD_X.wav", ("sad", "1040")),
        ("crema_d", "AudioWAV/1001_IEO_HAP_HI.wav", ("happy", "1001")),
    ],
)
def test_a_public_set_whose_names_say_the_answer_is_laid_out_from_its_folder(
    name: str, file: str, expected: tuple[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uniaudio_flows import evalset, evalset_packages

    (tmp_path / "source" / file).parent.mkdir(parents=True)
    (tmp_path / "source" / file).write_bytes(b"sound")
    added: list[tuple[str, Path]] = []
    monkeypatch.setattr(evalset, "add", lambda store, name, folder, say: added.append((name, folder)))
    arguments: Any = (None, cards()[name], name, tmp_path / "source", tmp_path / "out", print)
    if expected is None:
        with pytest.raises(DataError, match=f"{name}: {tmp_path}/source must hold items"):
            evalset_packages.add(*arguments)
        return
    evalset_packages.add(*arguments)
    assert added == [(name, tmp_path / "out" / name)]
    (line,) = (tmp_path / "out" / name / "metadata.jsonl").read_text().splitlines()
    metadata = json.loads(line)
    assert (metadata["given_title"], metadata["speaker"], metadata["domain"]) == (*expected, "speech")
    # What one actor says is no independent sample, and no classical system is asked of an actor whom it knows.
    assert metadata["split_group"] == metadata["speaker"]
    assert (tmp_path / "out" / name / metadata["path"]).read_bytes() == b"sound"
    with pytest.raises(UsageError, match="`folder` must lie elsewhere"):
        evalset_packages.add(None, cards()[name], name, tmp_path / "out" / name, tmp_path / "out", print)  # type: ignore[arg-type]
    assert (tmp_path / "out" / name / metadata["path"]).is_file()
