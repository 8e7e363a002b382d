"""What codec training and evaluation hold out is never trained on under another name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from uniaudio_pipelines.annotated_to_codec.clips import TrainingAudio, load_training_audio, text_of
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import example_rows

from uniaudio.audio.render import render_clip
from uniaudio.codec.evaluation.held_out import held_out_clips
from uniaudio.training.codec.audio import SAMPLE_BYTES, AudioCache

soundfile = pytest.importorskip("soundfile")
NUM_SOUNDS, RATE = 80, 16_000


def white_noise(seed: int, num_samples: int) -> np.ndarray:
    """`[num_samples]` int16: the same bytes, so the same clip ids and splits, on every processor."""
    return np.random.default_rng(seed).integers(-20_000, 20_001, num_samples, dtype=np.int16)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of sounds, every second of them twice, as files of another container and loudness, for which the source gives splits that
    keep the two apart."""
    root = tmp_path_factory.mktemp("twice")
    corpus = root / "source" / "sounds"
    corpus.mkdir(parents=True)
    lines = []
    for number in range(NUM_SOUNDS):
        sound = white_noise(number, RATE // 2 + 1_600 * (number % 40))
        for name, quieter in ((f"{number}.wav", 1), (f"{number}.flac", 2))[: 1 + number % 2]:
            soundfile.write(corpus / name, sound // quieter, RATE)
            given = {"path": name, "domain": "sound", "given_title": name}
            if number % 2:
                given["split"] = "train" if quieter == 1 else "val" if number % 4 == 1 else "test"
            lines.append(json.dumps(given))
    (corpus / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(root / "store")
    run_edge(store, SourceToRaw(source=str(root / "source")), RawWorker, num_workers=0)
    run(store, RawToAnnotated(annotators=("source_caption",)), num_workers=0)
    return store


def rows(store: Store) -> list[Annotated]:
    manifest = store.head("annotated")
    assert manifest is not None
    return list(store.rows(manifest, Annotated))


def load(store: Store) -> TrainingAudio:
    annotated, raw = store.head("annotated"), store.head("raw")
    assert annotated is not None and raw is not None
    return load_training_audio(store, annotated, raw, max_clip_s=8.0, max_hours=1.0)


def test_training_holds_out_no_clip_that_it_trains_on_under_another_name(twice: Store) -> None:
    audio = load(twice)
    clips = {row.clip_id: row for row in rows(twice)}
    trained = {row.duplicate_cluster for row in clips.values() if row.split == "train"}
    validated = [row for row in clips.values() if row.split == "val"]
    copies = {row.clip_id for row in validated if row.duplicate_cluster in trained}
    assert copies and len(copies) < len(validated), "this corpus shows nothing"
    assert {clip_id for clip_id, reason, _ in audio.dropped if reason == "copy"} == copies
    assert len(audio.held_out) == len(validated) - len(copies)
    assert len(audio.train) == sum(row.split == "train" for row in clips.values())


@pytest.fixture(scope="module")
def halved(twice: Store) -> Manifest:
    """A version of the annotations in which every second clip is held out and none is a copy."""
    annotated = twice.head("annotated")
    assert annotated is not None
    plan = Plan(
        kind="annotated", schema_version=3, parents=annotated.parents, parameters={"splits": 1}, code_version="t", units=["all"]
    )  # fmt: skip
    with twice.writer(plan, owner="test", ref="split") as writer:
        splits = ("train", "val")
        halves = [replace(row, split=splits[at % 2], duplicate_cluster=None) for at, row in enumerate(rows(twice))]
        writer.put_shard("all", halves)
        return writer.publish()


def test_a_limit_keeps_the_same_first_clips_however_many_there_are(twice: Store, halved: Manifest) -> None:
    raw = twice.head("raw")
    assert raw is not None
    whole = load_training_audio(twice, halved, raw, max_clip_s=2.0, max_hours=1.0)
    some = load_training_audio(twice, halved, raw, max_clip_s=2.0, max_hours=60 / 3600)
    assert 60 <= sum(len(clip.samples) for clip in [*some.train, *some.held_out]) / 24_000 < 62
    for chosen, all_of_them in ((some.train, whole.train), (some.held_out, whole.held_out)):
        assert 10 < len(chosen) < len(all_of_them)
        assert [clip.clip_id for clip in chosen] == [clip.clip_id for clip in all_of_them[: len(chosen)]]


def test_clips_are_the_audio_of_their_rows_within_the_bytes_of_the_cache(twice: Store) -> None:
    annotated, raw = twice.head("annotated"), twice.head("raw")
    assert annotated is not None and raw is not None
    few = AudioCache(1_000_000)
    audio = load_training_audio(twice, annotated, raw, max_clip_s=1.0, max_hours=1.0, cache=few)
    raws = {row.clip_id: row for row in twice.rows(raw, Raw)}
    by_id = {row.clip_id: row for row in rows(twice)}
    for clip in [*audio.train, *audio.held_out]:
        row = by_id[clip.clip_id]
        expected = render_clip(twice, row, raws[row.raw_clip_id])
        assert np.array_equal(np.asarray(clip.samples), expected[:24_000])
        assert clip.text == (text_of(row) if len(expected) <= 24_000 else "")
        assert 0 < few.num_bytes <= few.max_bytes
    assert sum(len(clip.samples) for clip in audio.train) * SAMPLE_BYTES > few.max_bytes, "this corpus shows nothing"


def test_evaluation_hears_no_clip_that_was_trained_on_under_another_name(twice: Store) -> None:
    annotated = rows(twice)
    trained = {row.duplicate_cluster for row in annotated if row.split == "train"}
    tested = {row.clip_id for row in annotated if row.split == "test"}
    copies = {row.clip_id for row in annotated if row.split == "test" and row.duplicate_cluster in trained}
    assert copies and copies < tested, "this corpus shows nothing"
    assert {clip.clip_id for clip in held_out_clips(twice, 100)} == tested - copies


@pytest.mark.slow
def test_evaluation_hears_one_audible_clip_of_each_recording(tmp_path) -> None:
    corpus = tmp_path / "source" / "sounds"
    corpus.mkdir(parents=True)
    lines = []
    for number in range(NUM_SOUNDS):
        sound = white_noise(number, RATE * 6)
        sound[RATE * 2 :] //= 1 if number % 2 else 10_000  # every second one is as good as silent after two seconds
        soundfile.write(corpus / f"{number}.wav", sound, RATE)
        lines.append(f'{{"path": "{number}.wav", "domain": "sound", "given_title": "{number}"}}')
    (corpus / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(tmp_path / "store")
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    job = RawToAnnotated(annotators=("source_caption",), max_sound_clip_s=2)
    run(store, job, num_workers=0)
    recordings = {row.clip_id: row.raw_clip_id for row in rows(store) if row.split == "test"}
    heard = held_out_clips(store, 100)
    assert len(set(recordings.values())) < len(recordings), "this corpus shows nothing"
    assert sorted(recordings[clip.clip_id] for clip in heard) == sorted(set(recordings.values()))
    assert all(np.abs(clip.samples).max() > 1e-3 for clip in heard)


def test_a_clip_that_an_evaluation_set_shares_trains_no_codec(twice: Store) -> None:
    annotated, raw = twice.head("annotated"), twice.head("raw")
    assert annotated is not None and raw is not None
    before = rows(twice)
    leaking = {row.clip_id for row in before if row.split == "train"} - {
        row.clip_id for row in sorted(before, key=lambda row: row.clip_id)[:40]
    }
    plan = Plan(
        kind="annotated", schema_version=3, parents=annotated.parents, parameters={"leaks": 1}, code_version="t", units=["all"]
    )  # fmt: skip
    with twice.writer(plan, owner="test", ref="leaking") as writer:
        writer.put_shard("all", [replace(row, leaks=["esc50"] if row.clip_id in leaking else []) for row in before])
        manifest = writer.publish()
    audio = load_training_audio(twice, manifest, raw, max_clip_s=8.0, max_hours=1.0)
    assert leaking and {clip_id for clip_id, reason, _ in audio.dropped if reason == "leak"} == leaking
    assert len(audio.train) == len(load(twice).train) - len(leaking)


def test_a_rejected_transcript_is_not_what_a_clip_says() -> None:
    (row,) = example_rows("annotated")
    heard = replace(row, given_text=None, transcript="heard", lyrics=None, caption=None)
    assert text_of(heard) == "heard"
    assert text_of(replace(heard, rejections=["repetition"])) == ""
