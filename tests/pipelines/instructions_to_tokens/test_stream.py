"""Clips through the codec: how full its batches are, how often audio is decoded, what a killed worker leaves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.instructions_to_tokens import audio, finished
from uniaudio_pipelines.instructions_to_tokens.ahead import rendered_ahead
from uniaudio_pipelines.instructions_to_tokens.audio import Rendered
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.running.hand import Hand
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store

from tests.pipelines.instructions_to_tokens.token_corpus import (
    GIVEN_CODEC,
    RATE,
    WorkerWithDouble,
    a_corpus,
    cuts_of,
    put_codec,
    put_instructions,
    put_raw,
    sound,
    tokenize,
)
from uniaudio.audio.frames import padded_length
from uniaudio.codec import encoding
from uniaudio.codec.doubles import BatchingCodec

ONE_UNIT = InstructionsToTokens()


def a_thousand_clips(root: Path) -> Store:
    """Of 1 to 30 s, uniform: cuts of one recording that costs little to decode."""
    store, draw = Store(root), np.random.default_rng(0)
    _, (raw,) = put_raw(store, [np.full(31 * RATE, 0.1, np.float32)])
    (whole,) = cuts_of([raw], 1)
    lengths = draw.integers(RATE, 30 * RATE, 1_000).tolist()
    put_instructions(
        store, [replace(whole, clip_id=f"clip-{n}", first_sample=n, num_samples=size) for n, size in enumerate(lengths)]
    )
    put_codec(store)
    return store


@pytest.mark.slow
def test_a_device_encodes_at_most_115_percent_of_the_audio_that_the_job_gives_it_and_a_cpu_105(tmp_path: Path) -> None:
    store = a_thousand_clips(tmp_path)
    codec = BatchingCodec()
    version, work = tokenize(store, ONE_UNIT, codec)
    assert (version.num_rows, len(version.shards)) == (1_000, 1)
    assert work["encoded_samples"] == sum(rows * size * count for (rows, size), count in codec.shapes.items())
    assert 1 <= work["encoded_samples"] / work["given_samples"] <= 1.15
    assert len({size for _, size in codec.shapes}) == len(codec.shapes) == 75 - 2  # 1 s is the third bucket
    put_codec(store, "codec-b")
    one_by_one, work = tokenize(store, ONE_UNIT, BatchingCodec(fills_batches=False))
    assert 1 <= work["encoded_samples"] / work["given_samples"] <= 1.05
    assert one_by_one.content_id == version.content_id


class CodecThatWaits(BatchingCodec):
    """Its first batch of two is not done before the second one's last clip was asked for."""

    def __init__(self, asked: threading.Event) -> None:
        super().__init__(gpu_batch_samples=2 * padded_length(RATE))
        self.asked = asked

    def encode_batch(self, waveform_BN: Any) -> Any:
        assert self.asked.wait(10), "nobody filled the next batch meanwhile"
        return super().encode_batch(waveform_BN)


def test_while_a_batch_is_encoded_the_next_one_is_filled() -> None:
    asked, taken = threading.Event(), list[int]()

    def clips() -> Iterator[np.ndarray]:
        for number in range(6):
            if number == 3:
                asked.set()
            yield np.full(RATE, 0.1, np.float32)

    CodecThatWaits(asked).encode_stream(clips(), lambda index, codes: taken.append(index))
    assert sorted(taken) == list(range(6))


def test_codes_do_not_depend_on_units_threads_or_batches(tmp_path: Path) -> None:
    lengths = [RATE // 2 + 3_001 * number for number in range(12)]
    contents = set()
    for number, (job, codec) in enumerate(
        [
            (ONE_UNIT, BatchingCodec()),
            (replace(ONE_UNIT, clips_per_unit=3), BatchingCodec()),
            (replace(ONE_UNIT, decode_threads=5), BatchingCodec(fills_batches=False)),
        ]
    ):
        contents.add(
            tokenize(a_corpus(tmp_path / str(number), lengths, num_cuts=2, mixed=True), job, codec)[0].content_id
        )
    assert len(contents) == 1


def test_windows_that_wait_are_bounded_and_the_shape_of_a_bucket_is_still_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [9_600 * number for number in range(1, 20)] * 2
    codes = {}
    for name, bound in (("free", 1 << 27), ("bound", 9_600 * 25)):
        monkeypatch.setattr(encoding, "MAX_WAITING_SAMPLES", bound)
        codec = BatchingCodec()
        version, work = tokenize(a_corpus(tmp_path / name, lengths), ONE_UNIT, codec)
        codes[name] = version.content_id, work["encoded_samples"]
        assert len({size for _, size in codec.shapes}) == len(codec.shapes)
    assert codes["free"][0] == codes["bound"][0]
    assert codes["free"][1] < codes["bound"][1], "a bound is kept by computing zeros"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Raw clips in the order in which they are opened."""
    found: list[str] = []
    open_raw = audio.open_raw

    @contextmanager
    def counting(store: Any, raw: Any) -> Iterator[Any]:
        found.append(raw.clip_id)
        with open_raw(store, raw) as reader:
            yield reader

    monkeypatch.setattr(audio, "open_raw", counting)
    return found


def test_a_raw_file_is_opened_once_a_unit_and_a_cut_that_mixtures_share_is_decoded_once(
    tmp_path: Path, opened: list[str]
) -> None:
    store = a_corpus(tmp_path, [5 * RATE] * 4, num_cuts=6, mixed=True)
    version, work = tokenize(store, ONE_UNIT, BatchingCodec())
    assert version.num_rows == 24 + 12
    assert sorted(opened) == [f"raw-{number}" for number in range(4)]
    assert work["decoded_samples"] == 4 * 5 * RATE


def test_cuts_that_do_not_fit_into_what_is_kept_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "MAX_KEPT_SAMPLES", RATE)
    version, work = tokenize(
        a_corpus(tmp_path / "a", [5 * RATE] * 4, num_cuts=6, mixed=True), ONE_UNIT, BatchingCodec()
    )
    assert work["decoded_samples"] > 4 * 5 * RATE
    monkeypatch.setattr(audio, "MAX_KEPT_SAMPLES", 1 << 27)
    again, _ = tokenize(a_corpus(tmp_path / "b", [5 * RATE] * 4, num_cuts=6, mixed=True), ONE_UNIT, BatchingCodec())
    assert version.content_id == again.content_id


def test_a_clip_that_gives_no_codes_is_named_with_its_reason(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, raws = put_raw(store, [sound(RATE, 0), np.zeros(RATE, np.float32), sound(RATE, 2), sound(RATE, 3)])
    cuts = cuts_of(raws, 1)
    cuts[2] = replace(cuts[2], num_samples=4_000)
    cuts[3] = replace(cuts[3], num_samples=2 * RATE)
    put_instructions(store, cuts, lost=["nowhere"])
    put_codec(store)
    version, work = tokenize(store, ONE_UNIT, BatchingCodec())
    assert (version.num_rows, work["encoded_clips"]) == (1, 1)
    reasons = {row["row_id"]: row["reason"] for row in store.dropped(version).to_pylist()}
    names = [cut.clip_id for cut in cuts[1:]]
    assert reasons == dict(zip([*names, "nowhere"], ["silent", "too_short", "unreadable", "unknown_clip"], strict=True))


def test_codes_that_were_made_are_kept_when_the_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    class CodecThatDies(BatchingCodec):
        def encode_batch(self, waveform_BN: Any) -> Any:
            if sum(self.shapes.values()) == 5:
                raise Killed
            return super().encode_batch(waveform_BN)

    monkeypatch.setattr(finished, "KEPT_EVERY_S", 0.0)
    store = a_corpus(tmp_path, [RATE // 2] * 12)
    with pytest.raises(Killed):
        tokenize(store, ONE_UNIT, CodecThatDies(fills_batches=False))
    (folder,) = tmp_path.glob("cache/instructions_to_tokens/*/finished/clips-0-of-1")
    assert len(list(folder.glob("*.arrow"))) == 5
    (folder / "broken.arrow").write_bytes(b"ARROW1")
    version, work = tokenize(store, ONE_UNIT, BatchingCodec(fills_batches=False))
    assert (work["encoded_clips"], work["continued_clips"], version.num_rows) == (7, 5, 12)
    assert not folder.exists()
    undisturbed, _ = tokenize(a_corpus(tmp_path / "other", [RATE // 2] * 12), ONE_UNIT, BatchingCodec())
    assert [shard.sha256 for shard in version.shards] == [shard.sha256 for shard in undisturbed.shards]


def test_a_clip_that_kills_its_workers_is_dropped_and_a_careful_worker_says_what_it_has_in_hand(tmp_path: Path) -> None:
    names: list[str] = []
    marked_at_each_encode: list[int] = []

    class WatchedCodec(BatchingCodec):
        def encode_batch(self, waveform_BN: Any) -> Any:
            marked_at_each_encode.append(len(names))
            return super().encode_batch(waveform_BN)

    store = a_corpus(tmp_path, [RATE // 2] * 6)
    plan = ONE_UNIT.plan(store)
    GIVEN_CODEC.append(WatchedCodec(fills_batches=False))
    worker = WorkerWithDouble(str(tmp_path), ONE_UNIT, plan)
    worker.hand = Hand(careful=True, mark=names.append)
    whole = worker.process(plan.units[0])
    assert sorted(names) == sorted(whole.rows["clip_id"].to_pylist())
    assert marked_at_each_encode == [1, 2, 3, 4, 5, 6], "one clip after the other"
    for careful in (False, True):
        worker.hand = Hand(careful=careful, refused=frozenset(names[:1]))
        result = worker.process(plan.units[0])
        assert result.rows.num_rows == 5
        assert [(row.row_id, row.reason) for row in result.dropped] == [(names[0], "kills_its_worker")]


def rendered(name: str, size: int = 100) -> Rendered:
    return Rendered(clip_id=name, samples=np.zeros(size, np.float32))


def test_threads_render_ahead_no_more_than_is_allowed() -> None:
    made: list[str] = []

    def render(group: list[str]) -> Iterator[Rendered]:
        made.extend(group)
        yield rendered(group[0])

    stream = rendered_ahead([[f"{number}"] for number in range(50)], render, num_threads=2, max_samples=500)
    first = next(stream)
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) <= 1 + 5 + 2, "five wait, and one in the hand of each thread"
    assert sorted(one.clip_id for one in [first, *stream]) == sorted(made) and len(made) == 50


def test_a_clip_larger_than_all_that_may_wait_goes_in_alone() -> None:
    found = rendered_ahead(
        [["a"], ["b"]], lambda group: iter([rendered(group[0], 1_000)]), num_threads=2, max_samples=10
    )
    assert sorted(one.clip_id for one in found) == ["a", "b"]


def test_an_error_in_a_thread_is_raised_and_no_thread_is_left() -> None:
    def render(group: list[str]) -> Iterator[Rendered]:
        if group == ["3"]:
            raise UsageError("it is broken")
        yield rendered(group[0])

    before = threading.active_count()
    with pytest.raises(UsageError, match="it is broken"):
        list(rendered_ahead([[str(number)] for number in range(9)], render, num_threads=3))
    stream = rendered_ahead([[str(number)] for number in range(50)], render, num_threads=3, max_samples=1)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_plan_names_what_its_units_are_and_refuses_what_no_worker_can_do(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE // 2] * 20)
    assert ONE_UNIT.plan(store).units == ["clips-0-of-1"]
    assert len(replace(ONE_UNIT, clips_per_unit=5).plan(store).units) == 4
    for fields, said in (
        ({"dtype": "float16"}, "one of float32, bfloat16"),
        ({"decode_threads": 0}, "1 or more"),
        ({"clips_per_unit": -1}, "0 or more"),
    ):
        with pytest.raises(UsageError, match=said):
            replace(ONE_UNIT, **fields).plan(store)  # type: ignore[arg-type]


def test_a_unit_is_smaller_where_its_clips_are_long_and_where_the_codec_is_of_debug_size(tmp_path: Path) -> None:
    store = a_corpus(tmp_path, [RATE // 2] * 8)
    annotated = store.head("annotated")
    assert annotated is not None

    def num_units(**changes: Any) -> int:
        shards = [replace(shard, **changes) for shard in annotated.shards]
        path = tmp_path / f"annotated/versions/{annotated.plan_id}.json"
        path.write_text(replace(annotated, shards=shards).to_json())
        return len(ONE_UNIT.plan(Store(tmp_path)).units)

    assert num_units() == 1
    assert num_units(statistics={"audio_s": 250_000.0}) == 2, "70 MB of codes"
    assert (num_units(num_rows=8_192), num_units(num_rows=8_193)) == (1, 2)
    put_codec(store, "codec-b", config={"size": "debug"})
    assert (num_units(num_rows=64), num_units(num_rows=65)) == (1, 2)


def test_kept_rows_are_rows_of_tokens() -> None:
    assert [field.name for field in finished.TOKENS] == list(Tokens.__dataclass_fields__)
