"""The same six utterances as a corpus of each format: what a person's folder looks like, written without the project's own readers.

corpus("kaldi").write(folder)  ->  Given(num_clips=6, texts={"good morning ann", …}, speakers={"ann", …}, splits={"train": 4, …})

Two speakers are in training, one each is held out for validation and for test. What a format cannot say (a text alone names no speaker)
is absent from `Given`; a card says that such a folder is of speech.
"""

import csv
import gzip
import io
import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000
_TONE = 2_400
"""Samples of a tone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    name: str
    speaker: str
    text: str
    split: str
    seconds: float
    take: int

    @property
    def samples(self) -> np.ndarray:
        """`[N]` float32: five tones that change together every 150 ms, others in every take."""
        random = np.random.default_rng([self.take, *self.name.encode()])
        num_samples = round(self.seconds * RATE)
        hertz_KN = np.repeat(random.uniform(150, 3_500, (5, num_samples // _TONE + 1)), _TONE, axis=1)[:, :num_samples]
        tones_KN = np.sin(2 * np.pi * np.cumsum(hertz_KN / RATE, axis=1))
        return (0.08 * tones_KN.sum(axis=0) + 0.003 * random.standard_normal(num_samples)).astype(np.float32)

    def write(self, path: Path, **how: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, self.samples, RATE, **how)

    def encoded(self, kind: str) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, self.samples, RATE, format=kind)
        return file.getvalue()


_TEXTS = {
    "ann": ("good morning to all of you", "the train leaves at nine"),
    "bob": ("we went down to the river", "nobody knew the answer"),
    "cleo": ("she sells bread and butter",),
    "dan": ("winter came early that year",),
}
_SPLITS = {"ann": "train", "bob": "train", "cleo": "val", "dan": "test"}
Spoken = tuple[Utterance, ...]


def utterances(take: int) -> Spoken:
    """The utterances; each take of them sounds different."""
    return tuple(
        Utterance(
            name=f"{speaker}-{number}", speaker=speaker, text=text, split=_SPLITS[speaker],
            seconds=1.2 + 0.1 * index + 0.3 * number, take=take,
        )
        for index, (speaker, texts) in enumerate(_TEXTS.items())
        for number, text in enumerate(texts)
    )  # fmt: skip


def documents(said: Spoken) -> list[str]:
    return [f"{one.text.capitalize()}, says {one.speaker} in number {one.take}. " * 12 for one in said]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the folder says."""

    num_clips: int = 6
    texts: frozenset[str] = frozenset(text for texts in _TEXTS.values() for text in texts)
    speakers: frozenset[str] = frozenset()
    splits: dict[str, int] = field(default_factory=dict)
    is_text: bool = False


_SPEAKERS = frozenset(_TEXTS)
_ALL = Given(speakers=_SPEAKERS, splits={"train": 4, "val": 1, "test": 1})
_TEXT_ALONE = Given()
_DOCUMENTS = Given(texts=frozenset(), is_text=True)


LayOut = Callable[[Path, Spoken], Given]


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    name: str
    lay_out: LayOut
    """Writes the folder."""

    def write(self, source: Path, take: int = 0) -> Given:
        """Into `source/<name>`, with a card beside it."""
        (source / "corpora").mkdir(parents=True, exist_ok=True)
        given = self.lay_out(source / self.name, utterances(take))
        if not given.is_text:
            (source / "corpora" / f"{self.name}.toml").write_text('domain = "speech"\nlanguage = "en"\n')
        return given


CORPORA: dict[str, Corpus] = {}


def _corpus(lay_out: LayOut) -> LayOut:
    name = lay_out.__name__.strip("_")
    CORPORA[name] = Corpus(name=name, lay_out=lay_out)
    return lay_out


def _lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _lines(path, (json.dumps(row) for row in rows))


def _beside(folder: Path, spoken: Spoken, end: str, say: Callable[[Utterance], str]) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.wav")
        (folder / f"{one.name}.{end}").write_text(say(one), encoding="utf-8")
    return _TEXT_ALONE


@_corpus
def _beside_txt(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "txt", lambda one: one.text)


@_corpus
def _beside_lab(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "lab", lambda one: one.text)


@_corpus
def _beside_json(folder: Path, spoken: Spoken) -> Given:
    _beside(
        folder, spoken, "json", lambda one: json.dumps({"text": one.text, "speaker": one.speaker, "split": one.split})
    )
    return _ALL


@_corpus
def _beside_srt(folder: Path, spoken: Spoken) -> Given:
    return _beside(folder, spoken, "srt", lambda one: f"1\n00:00:00,100 --> 00:00:01,100\n{one.text}\n")


@_corpus
def _beside_vtt(folder: Path, spoken: Spoken) -> Given:
    _beside(folder, spoken, "vtt", lambda one: f"WEBVTT\n\n00:00.100 --> 00:01.100\n<v {one.speaker}>{one.text}\n")
    return Given(speakers=_SPEAKERS)


@_corpus
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


@_corpus
def _beside_ctm(folder: Path, spoken: Spoken) -> Given:
    def words(one: Utterance) -> str:
        said = one.text.split()
        return "".join(f"{one.name} 1 {0.1 + 0.15 * at:.2f} 0.15 {word}\n" for at, word in enumerate(said))

    return _beside(folder, spoken, "ctm", words)


@_corpus
def _librispeech(folder: Path, spoken: Spoken) -> Given:
    numbers = {speaker: 100 + index for index, speaker in enumerate(_TEXTS)}
    subsets = {"train": "train-clean-100", "val": "dev-clean", "test": "test-clean"}
    texts: dict[Path, list[str]] = {}
    for one in spoken:
        speaker = numbers[one.speaker]
        chapter = folder / subsets[one.split] / str(speaker) / "7"
        name = f"{speaker}-7-000{one.name[-1]}"
        one.write(chapter / f"{name}.flac")
        texts.setdefault(chapter / f"{speaker}-7.trans.txt", []).append(f"{name} {one.text.upper()}")
    for path, lines in texts.items():
        _lines(path, lines)
    (folder / "README.TXT").write_text("About these recordings.")
    return Given(
        texts=frozenset(one.text.upper() for one in spoken),
        speakers=frozenset(map(str, numbers.values())),
        splits=_ALL.splits,
    )


@_corpus
def _ljspeech(folder: Path, spoken: Spoken) -> Given:
    for index, one in enumerate(spoken):
        one.write(folder / "wavs" / f"LJ00{index}-0001.wav")
    _lines(
        folder / "metadata.csv",
        (f"LJ00{index}-0001|{one.text.title()}|{one.text}" for index, one in enumerate(spoken)),
    )
    return _TEXT_ALONE


@_corpus
def _vctk(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        speaker, name = one.speaker, f"{one.speaker}_00{one.name[-1]}"
        one.write(folder / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac")
        _lines(folder / "txt" / speaker / f"{name}.txt", [one.text])
    _lines(folder / "speaker-info.txt", ["ID  AGE  GENDER  ACCENTS", *(f"{name}  23  F  English" for name in _TEXTS)])
    return Given(speakers=_SPEAKERS)


@_corpus
def _common_voice(folder: Path, spoken: Spoken) -> Given:
    columns = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale")
    for split, file in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [
            (one.speaker, f"{one.name}.mp3", one.text, "2", "0", "", "", "", "en")
            for one in spoken
            if one.split == split
        ]
        _lines(folder / "en" / f"{file}.tsv", ("\t".join(row) for row in (columns, *rows)))
    for one in spoken:
        one.write(folder / "en" / "clips" / f"{one.name}.mp3")
    return _ALL


def _table(folder: Path, spoken: Spoken, name: str, delimiter: str) -> Given:
    rows = [(f"audio/{one.name}.wav", one.text, one.speaker, one.split, "yes") for one in spoken]
    for one in spoken:
        one.write(folder / "audio" / f"{one.name}.wav")
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(
            [("Datei", "Sentence", "Speaker_ID", "split", "checked"), *rows]
        )
    return _ALL


@_corpus
def _csv(folder: Path, spoken: Spoken) -> Given:
    return _table(folder, spoken, "list.csv", ",")


@_corpus
def _tsv(folder: Path, spoken: Spoken) -> Given:
    return _table(folder, spoken, "list.tsv", "\t")


@_corpus
def _jsonl(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.ogg")
    rows = (
        {"sound": f"{one.name}.ogg", "what": {"text": one.text, "speaker": one.speaker}, "subset": one.split}
        for one in spoken
    )
    _json_lines(folder / "all.jsonl", rows)
    return _ALL


@_corpus
def _nemo(folder: Path, spoken: Spoken) -> Given:
    for split, file in (("train", "train_manifest"), ("val", "dev_manifest"), ("test", "test_manifest")):
        rows = [
            {"audio_filepath": f"wav/{one.name}.wav", "duration": one.seconds, "text": one.text, "speaker": list(_TEXTS).index(one.speaker)}
            for one in spoken
            if one.split == split
        ]  # fmt: skip
        _json_lines(folder / f"{file}.json", rows)
    for one in spoken:
        one.write(folder / "wav" / f"{one.name}.wav")
    return Given(speakers=frozenset("0123"), splits=_ALL.splits)


@_corpus
def _audiofolder(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        for one in rows:
            one.write(folder / name / f"{one.name}.mp3")
        _json_lines(
            folder / name / "metadata.jsonl",
            ({"file_name": f"{one.name}.mp3", "transcription": one.text, "speaker_id": one.speaker} for one in rows),
        )
    return _ALL


@_corpus
def _kaldi(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        data = folder / "data" / name
        for one in rows:
            one.write(folder / "audio" / f"{one.name}.wav")
        _lines(data / "wav.scp", (f"{one.name} {folder}/audio/{one.name}.wav" for one in rows))
        _lines(data / "segments", (f"{one.name}-a {one.name} 0.10 1.10" for one in rows))
        _lines(data / "text", (f"{one.name}-a {one.text}" for one in rows))
        _lines(data / "utt2spk", (f"{one.name}-a {one.speaker}" for one in rows))
    return _ALL


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


@_corpus
def _lhotse_supervisions(folder: Path, spoken: Spoken) -> Given:
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        rows = [one for one in spoken if one.split == split]
        for one in rows:
            one.write(folder / "audio" / f"{one.name}.flac")
        recordings = (_recording(one, "file", f"audio/{one.name}.flac") for one in rows)
        _json_lines(folder / f"my_recordings_{name}.jsonl", recordings)
        _json_lines(folder / f"my_supervisions_{name}.jsonl", map(_supervision, rows))
    return _ALL


@_corpus
def _lhotse_cuts(folder: Path, spoken: Spoken) -> Given:
    folder.mkdir()
    for one in spoken:
        one.write(folder / "audio" / f"{one.name}.flac")
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        with gzip.open(folder / f"cuts_{name}.jsonl.gz", "wt") as file:
            for one in spoken:
                if one.split == split:
                    file.write(json.dumps(_cut(one, "file", f"audio/{one.name}.flac")) + "\n")
    return _ALL


@_corpus
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
    return Given(speakers=_SPEAKERS)


def _columns(spoken: Spoken, split: str) -> dict[str, Any]:
    rows = [one for one in spoken if one.split == split]
    return {
        "audio": [{"bytes": one.encoded("WAV"), "path": f"{one.name}.wav"} for one in rows],
        "sentence": [one.text for one in rows],
        "speaker_id": [one.speaker for one in rows],
    }


@_corpus
def _hugging_face_parquet(folder: Path, spoken: Spoken) -> Given:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        pq.write_table(pa.table(_columns(spoken, split)), folder / "data" / f"{name}-00000-of-00001.parquet")
    return _ALL


@_corpus
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
    return _ALL


@_corpus
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
    return _ALL


@_corpus
def _metadata(folder: Path, spoken: Spoken) -> Given:
    for one in spoken:
        one.write(folder / f"{one.name}.wav")
    _json_lines(
        folder / "metadata.jsonl",
        ({"path": f"{one.name}.wav", "given_text": one.text, "speaker": one.speaker, "split": one.split} for one in spoken),
    )  # fmt: skip
    return _ALL


@_corpus
def _texts_txt(folder: Path, spoken: Spoken) -> Given:
    for index, text in enumerate(documents(spoken)):
        _lines(folder / f"{index}.txt", [text])
    return _DOCUMENTS


@_corpus
def _texts_jsonl(folder: Path, spoken: Spoken) -> Given:
    _json_lines(
        folder / "all.jsonl", ({"text": text, "url": f"u{index}"} for index, text in enumerate(documents(spoken)))
    )
    return _DOCUMENTS


@_corpus
def _texts_parquet(folder: Path, spoken: Spoken) -> Given:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    pq.write_table(pa.table({"text": list(documents(spoken)), "id": list(range(len(spoken)))}), folder / "all.parquet")
    return _DOCUMENTS
