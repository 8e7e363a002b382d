"""What ingesting a folder would find, corpus by corpus, without making anything: for `uniaudio ingest PATH --dry-run`.

Reads    labels, and the headers of at most 200 audio files a corpus
Row out  CorpusSurvey(name="LibriSpeech", formats=("LibriSpeech: 4 chapters of *.trans.txt, SPEAKERS.TXT",), num_clips=4, seconds=6.9,
                      num_probed=4, num_with_text=4, num_with_speaker=4, splits={"val": 4}, problems={"missing": (2, ("a.flac", …))}, …)
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniaudio_pipelines.source_to_raw.entries import Policy, entries_of
from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.format import Claim
from uniaudio_pipelines.source_to_raw.formats.table import BROKEN, CONTAINERS
from uniaudio_pipelines.source_to_raw.listing import look
from uniaudio_pipelines.source_to_raw.recognize import Corpus

MAX_PROBED = 200
"""Files of a corpus whose lengths are read."""
_NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusSurvey:
    """One corpus, before anything is made of it."""

    name: str
    formats: tuple[str, ...]
    """A line for each format that knows some of its files, and one for folders that name speakers."""
    num_clips: int
    """Clips, which are whole files and stretches of files; byte-equal ones are counted apart."""
    num_documents: int
    seconds: float
    num_probed: int
    """Files whose lengths were read."""
    num_files: int
    """Audio files; where they are more than were probed, `seconds` is an estimate from those."""
    num_with_text: int
    num_with_speaker: int
    splits: dict[str, int] = field(default_factory=dict)
    problems: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    """Reason -> how many, and some of them."""
    card: str = ""
    """TOML that says the same."""


def survey(source: str, policy: Policy | None = None) -> list[CorpusSurvey]:
    """Survey of each corpus, by name."""
    import polars as pl

    from uniaudio.audio.read import audio_suffixes

    policy = policy or Policy()
    root, files, corpora = look(source, policy)
    table = entries_of(root, files, corpora, audio_suffixes(), policy, None)
    entries: Any = pl.from_arrow(table)
    by_name = {corpus.name: corpus for corpus in corpora}
    return [
        _of_corpus(root, by_name.get(name), name, entries.filter(pl.col("corpus") == name))
        for name in sorted(entries["corpus"].unique().to_list())
    ]


def _of_corpus(root: Path, corpus: Corpus | None, name: str, entries: Any) -> CorpusSurvey:
    import polars as pl

    problems: dict[str, list[str]] = {}
    for row in entries.filter(pl.col("problem") != "").iter_rows(named=True):
        shown = f"{row['path']}: {row['detail']}" if row["detail"] else row["path"]
        problems.setdefault(row["problem"], []).append(shown)
    good = entries.filter(pl.col("problem") == "")
    audio = good.filter(pl.col("medium") == "audio")
    clips = _clips(audio)
    seconds, num_probed, broken = _seconds(root, audio, clips)
    for path, why in broken.items():
        problems.setdefault("unreadable", []).append(f"{path}: {why}")
    return CorpusSurvey(
        name=name,
        formats=_found(corpus) if corpus else (),
        num_clips=len(clips),
        num_documents=good.filter(pl.col("medium") == "text")["path"].n_unique(),
        seconds=seconds,
        num_probed=num_probed,
        num_files=audio["path"].n_unique(),
        num_with_text=int(clips["text"].sum()),
        num_with_speaker=int(clips["speaker"].sum()),
        splits=dict(sorted(Counter(clips["split"].drop_nulls().to_list()).items())),
        problems={reason: (len(paths), tuple(paths[:_NUM_EXAMPLES])) for reason, paths in sorted(problems.items())},
        card=_card(corpus),
    )


def _found(corpus: Corpus) -> tuple[str, ...]:
    speakers = sorted(set(corpus.speakers.values()))
    shown = ", ".join(speakers[:5]) + (", …" if len(speakers) > 5 else "")
    by_folder = (f"folders of {len(speakers)} speakers ({shown})",) if speakers else ()
    classes = () if corpus.claims or speakers or corpus.card.folders else _classes(corpus)
    return (*(claim.summary or claim.format for claim in corpus.claims), *by_folder, *classes)


def _classes(corpus: Corpus) -> tuple[str, ...]:
    """That folders may say what is in them, where nothing else does."""
    names = sorted({parts[-2] for path in corpus.folder.paths if is_audio(path) and len(parts := path.split("/")) > 1})
    if len(names) < 2:
        return ()
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return (f"no labels, but {len(names)} folders ({shown}): `folders` of the corpus card says what their names are",)


def _clips(audio: Any) -> Any:
    """A row a clip: path, start, end, whether it has a text and a speaker, split. As in `clips`, a recording that is cut is none."""
    import polars as pl

    def said(name: str, kind: Any = pl.String) -> Any:
        return pl.col("label").str.json_path_match(f"$.{name}").cast(kind, strict=False)

    ignores = pl.col("corpus_says").str.contains('"splits": "ignore"', literal=True)
    clips = audio.with_columns(
        start_s=said("start_s", pl.Float64).fill_null(0.0),
        end_s=said("end_s", pl.Float64),
        channel=said("channel"),
        text=said("given_text").is_not_null() | pl.col("corpus_says").str.json_path_match("$.given_text").is_not_null(),
        speaker=said("speaker").is_not_null() | pl.col("corpus_says").str.json_path_match("$.speaker").is_not_null(),
        split=pl.when(ignores)
        .then(None)
        .otherwise(pl.coalesce(said("split"), pl.col("corpus_says").str.json_path_match("$.split"))),
    )
    clips = clips.group_by("path", "start_s", "end_s", "channel", maintain_order=True).agg(
        pl.col("text", "speaker").any(), pl.col("split").drop_nulls().first()
    )
    is_whole = (pl.col("start_s") == 0) & pl.col("end_s").is_null() & pl.col("channel").is_null()
    is_cut = (~is_whole).any().over("path")
    inherited = pl.col("speaker").any().over("path")
    return clips.with_columns(speaker=pl.when(is_cut).then(inherited).otherwise("speaker")).filter(~(is_whole & is_cut))


def _seconds(root: Path, audio: Any, clips: Any) -> tuple[float, int, dict[str, str]]:
    """Seconds of all clips, estimated from the lengths of some files; how many files that were, and what could not be read."""
    import polars as pl

    files = audio.unique("path", keep="first", maintain_order=True)
    sample = files.gather_every(max(1, -(-len(files) // MAX_PROBED)))
    lengths: dict[str, float] = {}
    broken: dict[str, str] = {}
    for row in sample.iter_rows(named=True):
        try:
            lengths[row["path"]] = _length(root, row)
        except BROKEN as error:
            broken[row["path"]] = " ".join(str(error).replace(f"{root}/", "").split())[:200]
    mean = sum(lengths.values()) / len(lengths) if lengths else 0.0
    readable = len(lengths) / len(sample) if len(sample) else 1.0
    known = pl.DataFrame(
        {"path": list(lengths), "length": list(lengths.values())}, schema={"path": pl.String, "length": pl.Float64}
    )
    is_estimate = len(sample) < len(files)
    spans = clips.filter(~pl.col("path").is_in(list(broken))).join(known, on="path", how="left")
    spans = spans.select(pl.coalesce("end_s", "length", pl.lit(mean)) - pl.col("start_s")).to_series().clip(0.0)
    return float(spans.sum()) * (readable if is_estimate else 1.0), len(lengths), broken


def _length(root: Path, row: dict[str, Any]) -> float:
    """Seconds, as the header says, or, of a raw stream, as are decoded; `BROKEN` where it cannot be read."""
    from uniaudio.audio.read import probe, read_blocks

    source: Path | bytes = root / (row["container"] or row["path"])
    if row["container"] and isinstance(source, Path):
        source = CONTAINERS[row["format"]].open_audio(source, row["path"].removeprefix(f"{row['container']}/"))
    named = {"suffix": Path(row["path"]).suffix, "name": row["path"]}
    info = probe(source, **named)
    num_samples = info.num_samples
    if num_samples is None:
        num_samples = sum(block_CN.shape[1] for block_CN in read_blocks(source, **named))
    return num_samples / info.sample_rate


def _card(corpus: Corpus | None) -> str:
    """What a card would say that changes nothing; what nobody says stands in comments."""
    if corpus is None:
        return ""
    card = corpus.card
    lines = [f"format = {_quoted(corpus.claims[0].format)}"] if len(corpus.claims) == 1 else []
    for name in ("licence", "language", "domain"):
        value = getattr(card, name)
        lines.append(f"{name} = {_quoted(value)}" if value else f'# {name} = "…"')
    lines.append(f"cleaning = {_quoted(card.cleaning)}")
    lines.append(f"channels = {_quoted(card.channels or 'mean')}")
    named: dict[str, list[str]] = {}
    for claim in corpus.claims:
        for column, field_name in _columns(claim):
            named.setdefault(field_name, []).append(column)
    # A card names one column a field; captions in five columns are found by their names.
    columns = {
        field_name: columns_of_field[0] for field_name, columns_of_field in named.items() if len(columns_of_field) == 1
    }
    if columns:
        lines += ["[columns]", *(f"{field_name} = {_quoted(column)}" for field_name, column in columns.items())]
    return "\n".join(lines)


def _columns(claim: Claim) -> tuple[tuple[str, str], ...]:
    manifests = claim.details.get("manifests", ())
    return tuple(manifests[0].meaning) if manifests else ()


def _quoted(text: str) -> str:
    """Text as a basic string of TOML, which strings of JSON are."""
    return json.dumps(text, ensure_ascii=False)
