"""What corpora say of their recordings, through the edges: nothing is lost, and no label file is taught as a text."""

import json
from typing import Any

from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction


def test_a_line_of_json_ends_at_a_line_feed_alone(source: Any) -> None:
    for mark in ("\u2028", "\u2029", "\u0085"):
        name = f"{ord(mark):x}.wav"
        source.wav(f"{ord(mark):x}/{name}")
        said = json.dumps({"path": name, "given_text": f"has left{mark}the conference"}, ensure_ascii=False)
        source.bytes(f"{ord(mark):x}/metadata.jsonl", b"\xef\xbb\xbf" + said.encode() + b"\r\n")
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["has left the conference"] * 3
    assert {len(row.original_text or "") for row in made.rows} == {23}
    assert made.dropped == []


def test_transcripts_of_a_held_out_set_are_no_training_text(source: Any) -> None:
    chapter = "LibriSpeech/dev-clean/8000/1200/8000-1200"
    source.wav(*(f"{chapter}-000{number}.flac" for number in range(4)), seconds=1.0)
    source.text(f"{chapter}.trans.txt", *(f"8000-1200-000{number} SENTENCE NUMBER {number}" for number in range(4)))
    source.text("LibriSpeech/SPEAKERS.TXT", "; ID |SEX| SUBSET |MINUTES| NAME", "8000 | F | dev-clean | 8.0 | Ann")
    source.text("LibriSpeech/README.TXT", "About these recordings. " * 40)
    made = source.ingest()
    assert {(row.medium, row.speaker, row.recording, row.split) for row in made.rows} == {
        ("audio", "8000", "8000-1200", "val")
    }
    annotated = run(made.store, RawToAnnotated(annotators=("loudness",)), num_workers=0)
    assert {row.split for row in made.store.rows(annotated, Annotated)} == {"val"}
    manifest = run_edge(made.store, AnnotatedToInstructions(), InstructionWorker, num_workers=0)
    rows = list(made.store.rows(manifest, Instruction))
    assert {row.split for row in rows} == {"val"} and "text_only" not in {row.task for row in rows}


def test_given_splits_are_kept_to_the_end(source: Any) -> None:
    source.wav(*(f"c/{split}/{name}.wav" for split in ("train", "dev", "test") for name in "ab"), seconds=1.0)
    source.wav("f/1.wav", "f/2.wav", seconds=1.0)
    source.text("f/metadata.jsonl", '{"path": "1.wav", "split": "test"}', '{"path": "2.wav", "split": "train"}')
    made = source.ingest()
    annotated = run(made.store, RawToAnnotated(annotators=("loudness",)), num_workers=0)
    rows = made.store.rows(annotated, Annotated)
    assert {row.path.split("/")[1]: row.split for row in rows} == {
        "train": "train", "dev": "val", "test": "test", "1.wav": "test", "2.wav": "train"
    }  # fmt: skip


def test_a_commands_output_is_refused_and_files_beside_it_are_used(source: Any) -> None:
    source.wav("k/audio/rec1.wav", seconds=2.0)
    source.text("k/data/train/wav.scp", "rec0 sox audio/rec0.wav -t wav - |", "rec1 audio/rec1.wav")
    source.text("k/data/train/segments", "a rec0 0.1 1.2", "b rec1 0.1 1.2")
    source.text("k/data/train/text", "a ONE", "b HAS JOINED")
    source.text("k/data/train/utt2spk", "a spk1", "b spk1")
    made = source.ingest()
    assert (made.row.given_text, made.row.speaker, made.row.num_samples) == ("HAS JOINED", "spk1", 8_800)
    assert made.reasons() == {"k/data/train/wav.scp": "pipe_refused"}


def test_somebody_elses_metadata_stops_nothing(source: Any) -> None:
    source.wav("corp/a.wav", "corp/train/b.wav", "nemo/c.wav", "nemo/d.wav", "odd/e.wav", seconds=1.0)
    source.text(
        "corp/metadata.jsonl", '{"file_name": "a.wav", "transcription": "one two", "gender": "f", "speaker": 7}'
    )
    source.text("corp/train/metadata.jsonl", '{"file_name": "b.wav", "transcription": "three"}')
    source.text(
        "nemo/train_manifest.json",
        '{"audio_filepath": "c.wav", "duration": 1.0, "text": "four"}',
        '{"audio_filepath": "d.wav", "text": "five"}',
    )
    source.text("odd/metadata.jsonl", '{"nothing": "of ours"}')
    made = source.ingest()
    assert {row.path: (row.given_text, row.speaker) for row in made.rows} == {
        "corp/a.wav": ("one two", "7"), "corp/train/b.wav": ("three", None), "nemo/c.wav": ("four", None), "nemo/d.wav": ("five", None),
        "odd/e.wav": (None, None),
    }  # fmt: skip
    assert made.reasons() == {"odd/metadata.jsonl": "unsupported"}
