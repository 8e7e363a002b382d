"""The same six utterances as a corpus of each format: what a person's folder looks like, written without the project's own readers.

CORPORA["kaldi"].write(folder)  ->  Given(num_clips=6, texts={"good morning ann", …}, speakers={"ann", …}, splits={"train": 4, …})
"""

import csv
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

from tests.cases import corpora_in_containers as corpora_in_containers
from tests.cases.spoken import (
    ALL,
    DOCUMENTS,
    SPEAKERS,
    TEXT_ALONE,
    TEXTS,
    Spoken,
    Utterance,
    corpus,
    documents,
    write_json_lines,
    write_lines,
)
from tests.cases.spoken import CORPORA as CORPORA
from tests.cases.spoken import Given as Given


def _beside(folder: Path, spoken: Spoken, end: str, say: Callable[[Utterance], str]) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.wav")
        (folder / f"{one.name}.{end}").write_text(say(one), encoding="utf-8")
    return TEXT_ALONE


@corpus
def _beside_txt(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "txt", lambda one: one.text)


@corpus
def _beside_lab(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "lab", lambda one: one.text)


@corpus
def _beside_json(folder: Path, spoken: Spoken) -> Given:
    _beside(
        folder, spoken, "json", lambda one: json.dumps({"text": one.text, "speaker": one.speaker, "split": one.split})
    )
    return ALL


@corpus
def _beside_srt(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "srt", lambda one: f"1\n00:00:00,100 --> 00:00:01,100\n{one.text}\n")


@corpus
def _beside_vtt(folder: Path, spoken: Spoken) -> Given:
    _beside(folder, spoken, "vtt", lambda one: f"WEBVTT\n\n00:00.100 --> 00:01.100\n<v {one.speaker}>{one.text}\n")
    return Given(speakers=SPEAKERS)


@corpus
def _beside_textgrid(folder: Path, spoken: Spoken) -> Given:
    def grid(one: Utterance) -> str:
        return textwrap.dedent(f"""\
            File type = "ooTextFile"
            Object class = "TextGrid"

            xmin = 0
            xmax = {one.seconds}
            tiers? <exists>
            size = 1
            item []:
                item [1]:
                    class = "IntervalTier"
                    name = "{one.speaker}"
                    xmin = 0
                    xmax = {one.seconds}
                    intervals: size = 1
                    intervals [1]:
                        xmin = 0.1
                        xmax = 1.1
                        text = "{one.text}"
            """)

    # The name of an only tier may say anything.
    return _beside(folder, spoken, "TextGrid", grid)


@corpus
def _beside_ctm(folder: Path, spoken: Spoken) -> Given:
    def words(one: Utterance) -> str:
        said = one.text.split()
        return "".join(f"{one.name} 1 {0.1 + 0.15 * at:.2f} 0.15 {word}\n" for at, word in enumerate(said))

    return _beside(folder, spoken, "ctm", words)


@corpus
def _librispeech(folder: Path, spoken: Spoken) -> Given:
    numbers = {speaker: 100 + index for index, speaker in enumerate(TEXTS)}
    subsets = {"train": "train-clean-100", "val": "dev-clean", "test": "test-clean"}
    texts: dict[Path, list[str]] = {}
    for one in spoken:
        speaker = numbers[one.speaker]
        chapter = folder / subsets[one.split] / str(speaker) / "7"
        name = f"{speaker}-7-000{one.name[-1]}"
        one.write(chapter / f"{name}.flac")
        texts.setdefault(chapter / f"{speaker}-7.trans.txt", []).append(f"{name} {one.text.upper()}")
    for path, lines in texts.items():
        write_lines(path, lines)
    (folder / "README.TXT").write_text("About these recordings.")
    return Given(
        texts=frozenset(one.text.upper() for one in spoken),
        speakers=frozenset(map(str, numbers.values())),
        splits=ALL.splits,
    )


@corpus
def _ljspeech(folder: Path, spoken: Spoken) -> Given:
    for index, one in enumerate(spoken):
        one.write(folder / "wavs" / f"LJ00{index}-0001.wav")
    write_lines(
        folder / "metadata.csv",
        (f"LJ00{index}-0001|{one.text.title()}|{one.text}" for index, one in enumerate(spoken)),
    )
    return TEXT_ALONE


@corpus
def _vctk(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        speaker, name = one.speaker, f"{one.speaker}_00{one.name[-1]}"
        one.write(folder / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac")
        write_lines(folder / "txt" / speaker / f"{name}.txt", [one.text])
    write_lines(
        folder / "speaker-info.txt", ["ID  AGE  GENDER  ACCENTS", *(f"{name}  23  F  English" for name in TEXTS)]
    )
    return Given(speakers=SPEAKERS)


@corpus
def _common_voice(folder: Path, spoken: Spoken) -> Given:
    columns = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale")
    for split, file in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [
            (one.speaker, f"{one.name}.mp3", one.text, "2", "0", "", "", "", "en")
            for one in spoken
            if one.split == split
        ]
        write_lines(folder / "en" / f"{file}.tsv", ("\t".join(row) for row in (columns, *rows)))
    for one in spoken:
        one.write(folder / "en" / "clips" / f"{one.name}.mp3")
    return ALL


def _table(folder: Path, spoken: Spoken, name: str, delimiter: str) -> Given:
    rows = [(f"audio/{one.name}.wav", one.text, one.speaker, one.split, "yes") for one in spoken]
    for one in spoken:
        one.write(folder / "audio" / f"{one.name}.wav")
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(
            [("Datei", "Sentence", "Speaker_ID", "split", "checked"), *rows]
        )
    return ALL


@corpus
def _csv(folder: Path, spoken: Spoken) -> Given:
    return _table(folder, spoken, "list.csv", ",")


@corpus
def _tsv(folder: Path, spoken: Spoken) -> Given:
    return _table(folder, spoken, "list.tsv", "\t")


@corpus
def _jsonl(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.ogg")
    rows = (
        {"sound": f"{one.name}.ogg", "what": {"text": one.text, "speaker": one.speaker}, "subset": one.split}
        for one in spoken
    )
    write_json_lines(folder / "all.jsonl", rows)
    return ALL


@corpus
def _nemo(folder: Path, spoken: Spoken) -> Given:
    for split, file in (("train", "train_manifest"), ("val", "dev_manifest"), ("test", "test_manifest")):
        rows = [
            {"audio_filepath": f"wav/{one.name}.wav", "duration": one.seconds, "text": one.text, "speaker": list(TEXTS).index(one.speaker)}
            for one in spoken
            if one.split == split
        ]  # fmt: skip
        write_json_lines(folder / f"{file}.json", rows)
    for one in spoken:
        one.write(folder / "wav" / f"{one.name}.wav")
    return Given(speakers=frozenset("0123"), splits=ALL.splits)


@corpus
def _audiofolder(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        for one in rows:
            one.write(folder / name / f"{one.name}.mp3")
        write_json_lines(
            folder / name / "metadata.jsonl",
            ({"file_name": f"{one.name}.mp3", "transcription": one.text, "speaker_id": one.speaker} for one in rows),
        )
    return ALL


@corpus
def _kaldi(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        data = folder / "data" / name
        for one in rows:
            one.write(folder / "audio" / f"{one.name}.wav")
        write_lines(data / "wav.scp", (f"{one.name} {folder}/audio/{one.name}.wav" for one in rows))
        write_lines(data / "segments", (f"{one.name}-a {one.name} 0.10 1.10" for one in rows))
        write_lines(data / "text", (f"{one.name}-a {one.text}" for one in rows))
        write_lines(data / "utt2spk", (f"{one.name}-a {one.speaker}" for one in rows))
    return ALL


@corpus
def _metadata(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.wav")
    write_json_lines(
        folder / "metadata.jsonl",
        ({"path": f"{one.name}.wav", "given_text": one.text, "speaker": one.speaker, "split": one.split} for one in spoken),
    )  # fmt: skip
    return ALL


@corpus
def _texts_txt(folder: Path, spoken: Spoken) -> Given:
    for index, text in enumerate(documents(spoken)):
        write_lines(folder / f"{index}.txt", [text])
    return DOCUMENTS


@corpus
def _texts_jsonl(folder: Path, spoken: Spoken) -> Given:
    write_json_lines(
        folder / "all.jsonl", ({"text": text, "url": f"u{index}"} for index, text in enumerate(documents(spoken)))
    )
    return DOCUMENTS


@corpus
def _texts_parquet(folder: Path, spoken: Spoken) -> Given:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    pq.write_table(pa.table({"text": list(documents(spoken)), "id": list(range(len(spoken)))}), folder / "all.parquet")
    return DOCUMENTS
