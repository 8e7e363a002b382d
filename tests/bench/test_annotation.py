"""What annotating costs, as ratios in one run: beside a plain loop of whisper-timestamped, with two workers, again, and with one file more.

    UNIAUDIO_MODELS=data/models UNIAUDIO_BENCH_SOURCE=data/source pytest -m bench -s tests/bench/test_annotation.py

The source is a folder of real speech with given text, such as the one that `make demo` fetches. Ratios are of CPU-seconds where one
process works, of seconds where two do: those want two quiet cores.
"""

import json
import os
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]
MODELS = Path(os.environ.get("UNIAUDIO_MODELS", "data/models"))
SOURCE = Path(os.environ.get("UNIAUDIO_BENCH_SOURCE", "data/source"))
NUM_CLIPS = int(os.environ.get("UNIAUDIO_BENCH_CLIPS", "80"))
NUM_FILES = int(os.environ.get("UNIAUDIO_BENCH_FILES", "10000"))
EARS = ("voice_activity", "transcript")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose raw clips are `NUM_CLIPS` of speech with a given text, of at most 15 s each."""
    if not (MODELS / "whisper-base").is_dir() or not SOURCE.is_dir():
        pytest.skip(f"{MODELS}/whisper-base and {SOURCE} must be there: `make demo` makes them")
    folder = tmp_path_factory.mktemp("speech")
    whole = Store(folder / "whole")
    ingest(whole, SOURCE)
    clips = [row for row in rows(whole, Raw) if row.given_text and row.domain == "speech" and row.language == "en"]
    clips = [row for row in clips if row.num_samples <= 15 * row.sample_rate][:NUM_CLIPS]
    source = folder / "source/speech"
    source.mkdir(parents=True)
    lines = []
    for row in clips:
        path = source / f"{row.clip_id}{Path(row.path).suffix}"
        path.write_bytes((SOURCE / row.path).read_bytes())
        labels = {"path": path.name, "given_text": row.given_text, "language": "en", "domain": "speech"}
        lines.append(json.dumps(labels) + "\n")
    (source / "metadata.jsonl").write_text("".join(lines))
    store = Store(folder / "store")
    ingest(store, folder / "source")
    return store


def ingest(store: Store, source: Path) -> None:
    run_edge(store, SourceToRaw(source=str(source), max_files_per_shard=8), RawWorker, num_workers=0)


def annotate(store: Store, **fields: Any) -> None:
    run(store, RawToAnnotated(models=str(MODELS), **fields), num_workers=0)


def rows(store: Store, row_class: type[Any]) -> list[Any]:
    kind = {Raw: "raw", Cut: "cuts"}[row_class]
    head = store.head(kind)
    assert head is not None
    return list(store.rows(head, row_class))


def cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def emptied(store: Store, folder: Path) -> Store:
    """A store with the same raw clips and nothing else."""
    import shutil

    shutil.copytree(str(store.root), folder, ignore=shutil.ignore_patterns("cuts", "annotated"))
    return Store(folder)


def test_annotating_is_cheaper_than_a_plain_loop_of_whisper_timestamped_at_equal_text(
    speech: Store, tmp_path: Path
) -> None:
    whisper = pytest.importorskip("whisper_timestamped")
    import torch

    from uniaudio.audio.render import open_raw
    from uniaudio.audio.resample import resample
    from uniaudio.metrics.wer import word_error_rate

    torch.set_num_threads(1)
    model = whisper.load_model(str(MODELS / "whisper-base/openai.pt"), device="cpu")
    plain: dict[str, str] = {}

    def loop() -> None:
        for row in rows(speech, Raw):
            with open_raw(speech, row) as reader:
                samples = reader.mono(reader.read(0, row.num_samples))
            analysis = np.asarray(resample(samples, row.sample_rate, 16_000), np.float32)
            plain[row.clip_id] = whisper.transcribe(model, analysis, language="en", verbose=None)["text"]

    ours = emptied(speech, tmp_path / "ours")
    loop_s, ours_s = cpu_seconds(loop), cpu_seconds(lambda: annotate(ours, annotators=EARS))
    cuts = {row.raw_clip_id: row for row in rows(ours, Cut)}
    heard = [(row.given_text, plain[row.clip_id], cuts[row.clip_id].transcript or "") for row in rows(speech, Raw)]
    wers = [word_error_rate((text[0] or "", text[place]) for text in heard) or 0.0 for place in (1, 2)]
    print(
        f"{len(heard)} clips: plain loop {loop_s:.1f} CPU-s, WER {wers[0]:.3f}; annotate ({', '.join(EARS)}) {ours_s:.1f} CPU-s, "
        f"WER {wers[1]:.3f}: {loop_s / ours_s:.2f} times as fast"
    )
    assert wers[1] <= wers[0] + 0.01
    assert loop_s > 1.5 * ours_s


def test_two_workers_are_nearly_twice_as_fast_as_one(speech: Store, tmp_path: Path) -> None:
    seconds = {}
    cluster.connect(2)
    try:
        for num_workers in (1, 2):
            store = emptied(speech, tmp_path / str(num_workers))
            started = time.perf_counter()
            run(store, RawToAnnotated(models=str(MODELS), annotators=EARS), num_workers=num_workers)
            seconds[num_workers] = time.perf_counter() - started
    finally:
        cluster.disconnect()
    print(f"one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s: {seconds[1] / seconds[2]:.2f} times")
    assert seconds[1] > 1.8 * seconds[2]


def test_a_second_run_and_one_file_more_cost_next_to_nothing(speech: Store, tmp_path: Path) -> None:
    few, all_of_them = emptied(speech, tmp_path / "few"), emptied(speech, tmp_path / "all")
    # Less what loading models costs, which one clip pays as well.
    loading = cpu_seconds(lambda: annotate(few, max_speech_s=5.0))
    a_clip = (cpu_seconds(lambda: annotate(all_of_them)) - loading) / (
        len(rows(all_of_them, Cut)) - len(rows(few, Cut))
    )
    source, store = tmp_path / "source", Store(tmp_path / "store")
    for number in range(NUM_FILES):
        write_wav(source / f"many/{number // 1000:03d}/{number:05d}.wav", number)
    cheap: dict[str, Any] = {"annotators": ("loudness",)}

    def bring_up_to_date() -> None:
        run_edge(store, SourceToRaw(source=str(source)), RawWorker, num_workers=0)
        annotate(store, **cheap)

    first = cpu_seconds(bring_up_to_date)
    whole = first + NUM_FILES * a_clip
    again = cpu_seconds(bring_up_to_date)
    write_wav(source / "many/000/one-more.wav", NUM_FILES)
    one_more = cpu_seconds(bring_up_to_date)
    print(
        f"{NUM_FILES} files: first run {first:.0f} CPU-s and {NUM_FILES} x {1000 * a_clip:.0f} ms of all annotators = {whole:.0f} CPU-s; "
        f"again {again:.2f} CPU-s ({again / whole:.2%}), one file more {one_more:.2f} CPU-s ({one_more / whole:.2%})"
    )
    assert one_more < 0.001 * whole


def write_wav(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (3_000 * np.random.default_rng(seed).standard_normal(4_000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(samples.tobytes())
