"""A folder of each format that people have: all that it says is there, and it becomes a trained model.

The edges run in this process, with a codec and a stage of the debug size that hardly learn anything, so that every format has a model of its
own in seconds. `tests/flows/test_each_format.py` types the README's commands, on one source with a corpus of each.
"""

from collections import Counter
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.instructions_to_tokens.worker import TokenWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint import driver
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of
from uniaudio_pipelines.sequences_to_checkpoint.training import worker_config, write_final
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.survey import survey
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.history.find import find
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store

from tests.cases.corpora import CORPORA, Given
from tests.smoke.test_whole_arc import publish_codec
from uniaudio.training.lm.train import train_stage


def check_raw(rows: list[Raw], given: Given) -> None:
    assert len(rows) == given.num_clips
    assert {row.given_text for row in rows} - {None} == given.texts
    assert {row.speaker for row in rows} - {None} == given.speakers
    assert Counter(row.split for row in rows if row.split) == given.splits
    assert {row.medium for row in rows} == {"text" if given.is_text else "audio"}


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_keeps_all_that_it_says(name: str, tmp_path: Path) -> None:
    given = CORPORA[name].write(tmp_path / "source")
    (found,) = survey(str(tmp_path / "source"))
    store = Store(tmp_path / "store")
    manifest = run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    check_raw(list(store.rows(manifest, Raw)), given)
    assert {row["reason"] for row in store.dropped(manifest).to_pylist()} <= {"beside_audio"}
    assert found.num_documents if given.is_text else found.num_clips == given.num_clips
    assert found.splits == given.splits
    assert found.num_with_text == len(given.texts)
    assert bool(found.num_with_speaker) == bool(given.speakers)


def train_here(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """As a worker of Ray Train does, in this process."""
    start = start_of(store, worker_config(store, job, due), due.stage)
    result = train_stage(start.model, due.stage, start.data)
    write_final(RunFolder(store, due.plan.plan_id), start, result)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_becomes_a_trained_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "train_due_stage", train_here)
    given = CORPORA[name].write(tmp_path / "source")
    store = Store(tmp_path / "store")
    raw = run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    annotated = run(store, RawToAnnotated(annotators=("loudness", "source_caption")), num_workers=0)
    publish_codec(store)
    instructions = run_edge(store, AnnotatedToInstructions(), InstructionWorker, num_workers=0)
    run_edge(store, InstructionsToTokens(), TokenWorker, num_workers=0)
    run_edge(store, TokensToSequences(), SequenceWorker, num_workers=0)
    stages = ("text_warmup",) if given.is_text else ("text_warmup", "stage1")
    driver.run_stages(store, SequencesToCheckpoint(stages=stages, num_steps=2), owner="test")
    answer = way_back(store, find(store, "checkpoint"))
    assert {one["content_id"] for one in answer["versions"]} >= {raw.content_id, annotated.content_id}
    (behind,) = answer["sources"]
    assert (behind["corpus"], behind["files"]) == (name, given.num_clips)
    rows = list(store.rows(instructions, Instruction))
    assert {row.task for row in rows} >= ({"text_only"} if given.is_text else {"asr", "tts"})
    answers = {segment.text for row in rows if row.task == "asr" for segment in row.segments if segment.wrapper}
    assert answers == given.texts
