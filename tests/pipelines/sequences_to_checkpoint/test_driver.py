from dataclasses import replace

from uniaudio_pipelines.sequences_to_checkpoint.driver import _held_out_lines
from uniaudio_schemas.testing import example_rows


def test_a_stage_is_told_beside_chance() -> None:
    [row] = example_rows("checkpoint")
    [loss] = row.held_out
    assert _held_out_lines(replace(row, held_out=[loss, replace(loss, task="tts", after=3.4)])) == [
        "stage1 held-out asr: 5.600 -> 2.900 nats a token (unigram 3.400, uniform 5.600), 12 sequences",
        "stage1 held-out tts: 5.600 -> 3.400 nats a token (unigram 3.400, uniform 5.600), no better than chance, 12 sequences",
        "stage1 is better than chance in 1 of 2 tasks",
    ]
