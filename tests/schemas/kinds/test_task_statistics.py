"""Statistics of tasks: what is written is what is read, and what the rows say."""

from uniaudio_schemas.kinds.task_statistics import Example, example_of, example_statistics, read_statistics

ASR = Example(task="asr", split="train", corpus="a/b", seconds=2.5, positions=50)


def test_what_is_written_is_read_back_per_task_split_and_corpus() -> None:
    val = Example(task="asr", split="val", corpus="c", seconds=1.0, positions=20)
    statistics = {
        **example_statistics([ASR, ASR, val]),
        "not_built/tts/low_mos": 3.0,
        "rows/words": 7.0,
        "audio_s": 9.0,
    }
    tasks, needs = read_statistics(statistics)
    assert [tasks["asr"].total(measure) for measure in ("examples", "seconds", "positions")] == [3, 6.0, 120]
    assert tasks["asr"].total("examples", split="train") == tasks["asr"].total("examples", corpus="a/b") == 2
    assert (tasks["asr"].splits, tasks["asr"].corpora) == (["train", "val"], ["a/b", "c"])
    assert dict(tasks["tts"].not_built) == {"low_mos": 3}
    assert needs == {"words": 7}


def test_an_example_is_counted_by_the_clips_that_its_segments_name() -> None:
    segments = [
        {"kind": "prompt", "text": "Say it.", "clip_id": ""},
        {"kind": "reasoning", "text": "", "clip_id": "x"},
        {"kind": "reconstruction", "text": "", "clip_id": "x"},
    ]
    row = {"task": "asr", "split": "train", "corpus": "c", "segments": segments}
    counted = example_of(row, {"x": 24_001})
    assert counted.seconds == 24_001 / 24_000
    assert counted.positions == (7 + 4) + (6 + 2) + (13 + 2)
