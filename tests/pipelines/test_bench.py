"""What a worker's place sees to: that the node sees the driver's store, and that a row that kills its workers has a name."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip, Value
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.running.bench import Bench, check_store, marked
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import LeaseLostError, UsageError
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.manifest import Plan

from tests.pipelines.counting import Count

soundfile = pytest.importorskip("soundfile")


def test_a_node_that_sees_no_store_or_another_is_named(tmp_path: Path) -> None:
    seen, elsewhere, plan = Store(tmp_path / "seen"), Store(tmp_path / "elsewhere"), Count().plan(Store(tmp_path))
    with seen.writer(plan, owner="first") as writer:
        check_store(Store(tmp_path / "seen"), plan, writer.token)
        with pytest.raises(UsageError, match=f"node .* has no folder {elsewhere.root}: the store must be there"):
            check_store(elsewhere, plan, writer.token)
        (tmp_path / "elsewhere").mkdir()
        with pytest.raises(UsageError, match=f"node .* sees another store at {elsewhere.root} than the driver"):
            check_store(elsewhere, plan, writer.token)
        with pytest.raises(UsageError, match="sees another store"):
            check_store(seen, plan, writer.token + 1)
    with seen.writer(plan, owner="second"), pytest.raises(LeaseLostError, match="'second' took over"):
        check_store(seen, plan, writer.token)


def test_a_node_without_the_source_is_named(tmp_path: Path) -> None:
    store, job = a_source(tmp_path)
    plan = job.plan(store)
    (tmp_path / "source" / "q" / "b.wav").unlink()
    worker = RawWorker(str(store.root), job, plan)
    with pytest.raises(UsageError, match=r"node .* has no file .*/q/b\.wav: the source must be the same on every node"):
        worker.process(plan.units[0])
    (tmp_path / "source").rename(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"node .* has no folder .*/source: the source must be there on every node"):
        RawWorker(str(store.root), job, plan)


class Length:
    """Says how many samples it was given."""

    name: ClassVar[str] = "length"
    domains: ClassVar[frozenset[str]] = frozenset({"speech", "sound", "music"})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"transcript"})

    def __init__(self, models: Path, device: str) -> None:
        pass

    @classmethod
    def version(cls) -> str:
        return "1"

    def annotate(self, clip: Clip) -> list[Value]:
        return [Value(column="transcript", value=f"{clip.num_samples}")]


def a_source(tmp_path: Path) -> tuple[Store, SourceToRaw]:
    """Three clips of speech in one unit; two of the files are equal."""
    folder = tmp_path / "source" / "q"
    folder.mkdir(parents=True)
    for number, name in enumerate("abc"):
        noise = 0.1 * np.random.default_rng(number).standard_normal(4_000)
        soundfile.write(folder / f"{name}.wav", noise, 4_000)
    (folder / "d.wav").write_bytes((folder / "c.wav").read_bytes())
    lines = [json.dumps({"path": f"{name}.wav", "domain": "speech", "given_text": name}) for name in "abcd"]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return Store(tmp_path / "store"), SourceToRaw(source=str(tmp_path / "source"))


def in_hand(store: Store, job: Any, make_worker: Any, refused: frozenset[str]) -> tuple[list[str], dict[str, int]]:
    """Rows that a careful worker had in hand, and what one dropped that refuses some."""
    plan = job.plan(store)
    (unit,) = plan.units
    rows: list[str] = []
    record = Path(store.root) / layout.unit_path(plan, unit)

    class Noting(Bench):
        def _mark(self, unit: str, row: str) -> None:
            super()._mark(unit, row)
            rows.append(marked(store, plan, unit))

    with store.writer(plan, owner="me") as writer:
        bench = Noting(make_worker, str(store.root), job, plan, writer.token)
        plain = bench.process(unit)
        assert rows == []
        staged = record.read_bytes()
        record.unlink()
        assert bench.process(unit, True, frozenset()).num_rows == plain.num_rows
        assert record.read_bytes() == staged, "with care other rows were made"
        taken = list(rows)
        record.unlink()
        dropped = bench.process(unit, True, refused).dropped
    assert taken[0] == ""
    return taken[1:], dropped


def test_raw_names_the_file_it_has_in_hand_and_leaves_out_the_one_that_kills(tmp_path: Path) -> None:
    store, job = a_source(tmp_path)
    taken, dropped = in_hand(store, job, RawWorker, frozenset({"q/c.wav"}))
    assert sorted(taken) == ["q/a.wav", "q/b.wav", "q/c.wav"]
    assert dropped == {"kills_its_worker": 1}


def test_cuts_name_the_clip_they_have_in_hand_and_leave_out_the_one_that_kills(tmp_path: Path) -> None:
    store, source = a_source(tmp_path)
    raw = run_edge(store, source, RawWorker, num_workers=0)
    clips = sorted(store.read(raw)["clip_id"].to_pylist())

    def make(root: str, job: RawToCuts, plan: Plan) -> CutsWorker:
        return CutsWorker.with_annotators(root, job, plan, [Length(Path(), "cpu")])

    taken, dropped = in_hand(store, RawToCuts(annotate=RawToAnnotated(annotators=())), make, frozenset(clips[:1]))
    assert taken == clips
    assert dropped == {"kills_its_worker": 1}
