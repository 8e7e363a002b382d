"""A corpus of each format that people have, in one folder: the README's commands make a trained model of it.

One run of the services for all: they take minutes to train. `tests/cases/test_each_format.py` makes a model of each format alone, in one
process.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from uniaudio_schemas.history.find import find
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store

from tests.cases.corpora import CORPORA, Given
from tests.flows.conftest import Services

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(1800)]


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Given]:
    """By corpus; the recordings of each are others."""
    source = tmp_path / "data" / "source"
    source.mkdir(parents=True)
    (source / ".limits.json").write_text('{"annotators": ["loudness", "source_caption"]}')
    return {name: corpus.write(source, take) for take, (name, corpus) in enumerate(CORPORA.items())}


@pytest.fixture
def services(tmp_path: Path, given: dict[str, Given]) -> Iterator[Services]:
    running = Services(tmp_path / "data")
    started = running.uniaudio("up")
    try:
        assert started.returncode == 0, started.stderr
        yield running
    finally:
        running.uniaudio("down")


def test_its_corpora_become_one_model(services: Services, given: dict[str, Given]) -> None:
    told = services.uniaudio("ingest", str(services.data / "source"), "--dry-run")
    assert told.returncode == 0, told.stderr
    assert set(told.stdout.splitlines()) >= given.keys()
    done = services.prefect("deployment", "run", "everything/local", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(services.data / "store")
    raw, instructions = (store.head(kind) for kind in ("raw", "instructions"))
    assert raw is not None
    assert instructions is not None
    rows = list(store.rows(raw, Raw))
    for name, corpus in given.items():
        here = [row for row in rows if row.corpus == name]
        assert len(here) == corpus.num_clips, name
        assert {row.given_text for row in here} - {None} == corpus.texts, name
        assert {row.speaker for row in here} - {None} == corpus.speakers, name
        assert Counter(row.split for row in here if row.split) == corpus.splits, name
    asked = {(row.corpus, row.task) for row in store.rows(instructions, Instruction) if row.split == "train"}
    assert asked >= {(name, "text_only" if corpus.is_text else "asr") for name, corpus in given.items()}
    checkpoint = find(store, "checkpoint")
    assert checkpoint.manifest == store.head("checkpoint", "stage4")
    behind = {one["corpus"]: one["files"] for one in way_back(store, checkpoint)["sources"]}
    assert behind == {name: corpus.num_clips for name, corpus in given.items()}
    shown = services.uniaudio("lineage", "checkpoint", "--json")
    assert {one["corpus"] for one in json.loads(shown.stdout)["sources"]} == given.keys()
