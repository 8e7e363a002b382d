"""The six utterances in containers: Lhotse's manifests and archives, tables of Hugging Face, tars of WebDataset."""

import gzip
import json
from pathlib import Path
from typing import Any

from tests.cases.spoken import ALL, RATE, SPEAKERS, Given, Spoken, Utterance, corpus, write_json_lines


def _recording(one: Utterance, kind: str, source: str) -> dict[str, Any]:
    return {
        "id": one.name, "sources": [{"type": kind, "channels": [0], "source": source}], "sampling_rate": RATE,
        "num_samples": len(one.samples), "duration": one.seconds, "channel_ids": [0],
    }  # fmt: skip


def _supervision(one: Utterance) -> dict[str, Any]:
    return {
        "id": f"{one.name}-s", "recording_id": one.name, "start": 0.0, "duration": one.seconds, "channel": 0, "text": one.text,
        "language": "English", "speaker": one.speaker,
    }  # fmt: skip


def _cut(one: Utterance, kind: str, source: str) -> dict[str, Any]:
    return {
        "id": f"{one.name}-cut", "start": 0.0, "duration": one.seconds, "channel": 0, "type": "MonoCut",
        "supervisions": [_supervision(one)], "recording": _recording(one, kind, source),
    }  # fmt: skip


@corpus
def _lhotse_supervisions(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        for one in rows:
            one.write(folder / "audio" / f"{one.name}.flac")
        recordings = (_recording(one, "file", f"audio/{one.name}.flac") for one in rows)
        write_json_lines(folder / f"my_recordings_{name}.jsonl", recordings)
        write_json_lines(folder / f"my_supervisions_{name}.jsonl", map(_supervision, rows))
    return ALL


@corpus
def _lhotse_cuts(folder: Path, spoken: Spoken) -> Given:
    folder.mkdir()
    for one in spoken:
        one.write(folder / "audio" / f"{one.name}.flac")
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        with gzip.open(folder / f"cuts_{name}.jsonl.gz", "wt") as file:
            for one in spoken:
                if one.split == split:
                    file.write(json.dumps(_cut(one, "file", f"audio/{one.name}.flac")) + "\n")
    return ALL


@corpus
def _lhotse_shar(folder: Path, spoken: Spoken) -> Given:
    from webdataset import TarWriter

    folder.mkdir()
    with (
        gzip.open(folder / "cuts.000000.jsonl.gz", "wt") as cuts,
        TarWriter(str(folder / "recording.000000.tar"), encoder=False) as tar,
    ):
        for one in spoken:
            cut = _cut(one, "shar", "")
            cuts.write(json.dumps(cut) + "\n")
            tar.write(
                {"__key__": cut["id"], "flac": one.encoded("FLAC"), "json": json.dumps(cut["recording"]).encode()}
            )
    return Given(speakers=SPEAKERS)


def _columns(spoken: Spoken, split: str) -> dict[str, Any]:
    rows = [one for one in spoken if one.split == split]
    return {
        "audio": [{"bytes": one.encoded("WAV"), "path": f"{one.name}.wav"} for one in rows],
        "sentence": [one.text for one in rows],
        "speaker_id": [one.speaker for one in rows],
    }


@corpus
def _hugging_face_parquet(folder: Path, spoken: Spoken) -> Given:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        pq.write_table(pa.table(_columns(spoken, split)), folder / "data" / f"{name}-00000-of-00001.parquet")
    return ALL


@corpus
def _hugging_face_arrow(folder: Path, spoken: Spoken) -> Given:
    import pyarrow as pa

    folder.mkdir()
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        (folder / name).mkdir()
        table = pa.table(_columns(spoken, split))
        with pa.ipc.new_stream(str(folder / name / "data-00000-of-00001.arrow"), table.schema) as file:
            file.write_table(table)
        (folder / name / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        (folder / name / "dataset_info.json").write_text("{}")
    return ALL


@corpus
def _webdataset(folder: Path, spoken: Spoken) -> Given:
    from webdataset import TarWriter

    folder.mkdir()
    for split, name in (("train", "train"), ("val", "val"), ("test", "test")):
        with TarWriter(str(folder / f"{name}-000000.tar"), encoder=False) as tar:
            for one in spoken:
                if one.split == split:
                    said = json.dumps({"speaker": one.speaker}).encode()
                    tar.write(
                        {"__key__": one.name, "flac": one.encoded("FLAC"), "txt": one.text.encode(), "json": said}
                    )
    return ALL
