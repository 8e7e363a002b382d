"""What is left to encode, and what that costs, before anything is encoded."""

from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_pipelines.instructions_to_tokens.estimate import estimate
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store.runs import RunRow, log_run, read_runs

from tests.pipelines.instructions_to_tokens.token_corpus import (
    RATE,
    a_corpus,
    cuts_of,
    mixtures_of,
    put_codec,
    put_instructions,
    tokenize,
)
from uniaudio.codec.doubles import BatchingCodec

JOB = InstructionsToTokens(clips_per_unit=4)


def a_run(given_samples: int, **changes: float) -> RunRow:
    cost = {"seconds": 100.0, "cpu_seconds": 150.0, "gpu_seconds": 0.0, "started": 1.0, "hours": 1.0}
    fixed = {"run_id": "r", "edge": JOB.EDGE, "kind": "tokens", "plan_id": "p", "host": "h"}
    counts = {"peak_memory_bytes": 1, "rows": 1, "attempts": 1}
    return RunRow(**fixed, **counts, **{**cost, **changes}, work=f'{{"given_samples": {given_samples}}}')  # type: ignore[arg-type]


def test_it_counts_the_clips_without_codes_and_their_audio_and_prices_them_by_earlier_runs(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE] * 10)
    tokenize(store, JOB, BatchingCodec())
    raw = store.head("raw")
    assert raw is not None
    raws = list(store.rows(raw, Raw))
    more = cuts_of(raws[:3], 2)
    put_instructions(store, [*cuts_of(raws, 1), *more], mixtures_of(more[:2]), lost=["nowhere"])
    for path in tmp_path.glob("runs/*"):
        path.unlink()
    assert estimate(store, JOB).hours is None
    log_run(store, a_run(3_600 * RATE))
    log_run(store, a_run(0))
    log_run(store, a_run(3_600 * RATE, gpu_seconds=5.0, seconds=1.0))
    found = estimate(store, JOB)
    assert (found.clips, found.clips_to_encode) == (18, 8)
    audio_s = 6 * 0.5 + 0.5
    assert found.audio_hours == pytest.approx(audio_s / 3600)
    assert found.hours == pytest.approx(audio_s / 3600 * 100 / 3600)
    assert (found.cpu_hours, found.gpu_hours) == (pytest.approx(audio_s / 3600 * 150 / 3600), 0.0)


def test_where_all_is_done_nothing_is_left_and_before_a_new_codec_all_is(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE, RATE, RATE // 10])
    assert estimate(store, JOB).clips_to_encode == 3
    made, _ = tokenize(store, JOB, BatchingCodec())
    assert tokenize(store, JOB, BatchingCodec()) == (made, {})
    done = estimate(store, JOB)
    assert (done.clips_to_encode, done.audio_hours, done.hours) == (0, 0.0, 0.0)
    assert estimate(store, replace(JOB, clips_per_unit=1)).clips_to_encode == 1, "the clip that is too short for codes"
    put_codec(store, "codec-b")
    assert estimate(store, JOB).clips_to_encode == 3
    assert len(read_runs(store)) == 2
