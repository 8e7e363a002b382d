"""Batches that a thread reads ahead."""

import threading
import time

import pytest
import torch
from uniaudio_schemas.errors import DataError

from uniaudio.stages.config import StageConfig
from uniaudio.training.lm.data import Batch, MixtureData
from uniaudio.training.lm.doubles import tiny_vocabulary
from uniaudio.training.lm.stream import DEPTH, Stream
from uniaudio.training.processes import Processes
from uniaudio.training.sequences.dataset import SequenceSet


@pytest.fixture
def data(sequences: SequenceSet, stage: StageConfig) -> MixtureData:
    return MixtureData(sequences, tiny_vocabulary(), stage, 0)


def same(left: Batch, right: Batch) -> bool:
    return torch.equal(left.ids_BS9, right.ids_BS9) and torch.equal(left.document_ids_BS, right.document_ids_BS)


def test_it_gives_what_reading_in_turn_gives(data: MixtureData, sequences: SequenceSet, stage: StageConfig) -> None:
    other, stream = MixtureData(sequences, tiny_vocabulary(), stage, 0), Stream(data, Processes())
    for _ in range(6):
        assert same(stream.next(), other.read(other.next_step()))
        assert stream.position == other.state()
    stream.close()


def test_it_goes_on_behind_the_last_step_given_and_not_behind_the_last_one_read(data: MixtureData) -> None:
    stream = Stream(data, Processes())
    first, second = stream.next(), stream.next()
    position = stream.position
    time.sleep(0.1)  # in which it reads ahead
    third = stream.next()
    stream.restore(position)
    assert same(stream.next(), third) and not same(first, second)
    stream.close()


def test_it_reads_no_further_ahead_than_its_depth(data: MixtureData, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read, read = [], data.read
    monkeypatch.setattr(data, "read", lambda *given, **named: num_read.append(1) or read(*given, **named))
    stream = Stream(data, Processes())
    stream.next()
    time.sleep(0.2)
    assert len(num_read) <= 1 + DEPTH + 1
    stream.close()


def test_an_error_of_reading_is_raised_where_the_batch_is_asked_for(
    data: MixtureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Batch:
        raise DataError("x.arrow: is torn.")

    monkeypatch.setattr(data, "read", fail)
    stream = Stream(data, Processes())
    for _ in range(2):
        with pytest.raises(DataError, match="is torn"):
            stream.next()
    stream.close()


def test_closing_leaves_no_thread(data: MixtureData) -> None:
    stream = Stream(data, Processes())
    stream.next()
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]
