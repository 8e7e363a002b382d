import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated import earlier
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Annotator, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.caption import SourceCaption
from uniaudio_pipelines.raw_to_annotated.cuts_worker import CutsWorker
from uniaudio_pipelines.raw_to_annotated.cutting import Cut
from uniaudio_pipelines.raw_to_annotated.drafts import draft_again, draft_of
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated, RawToCuts
from uniaudio_pipelines.raw_to_annotated.run import run
from uniaudio_pipelines.raw_to_annotated.segmentation import Stretch
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.worker import RawWorker
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated, Annotation, Word
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.tasks.annotations import needs_of

soundfile = pytest.importorskip("soundfile")
RATE = 4_000


class Counter:
    """Says how many samples it was given."""

    name: ClassVar[str] = "counter"
    domains: ClassVar[frozenset[str]] = frozenset({"speech"})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"transcript"})

    def __init__(self, models: Path, device: str) -> None:
        del models

    @classmethod
    def version(cls) -> str:
        return "7"

    def annotate(self, clip: Clip) -> list[Value]:
        return [Value(column="transcript", value=f"{clip.num_samples} {len(clip.analysis)}", confidence=0.5)]


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def source(
    tmp_path: Path, clips: dict[str, tuple[float, dict[str, Any]]], texts: dict[str, str] | None = None
) -> Store:
    """A store with `raw` of clips of noise, given as path -> (seconds, metadata)."""
    lines: dict[str, list[str]] = {}
    for seed, (path, (seconds, metadata)) in enumerate(sorted(clips.items())):
        target = tmp_path / "source" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, noise(seconds, seed), RATE, subtype="PCM_16")
        corpus, _, rest = path.partition("/")
        lines.setdefault(corpus, []).append(json.dumps({"path": rest, **metadata}))
    for corpus, metadata_lines in lines.items():
        (tmp_path / "source" / corpus / "metadata.jsonl").write_text("\n".join(metadata_lines))
    for path, text in (texts or {}).items():
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / path).write_text(text)
    store = Store(tmp_path / "store")
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    return store


def annotate(
    store: Store, annotators: tuple[type[Annotator], ...] = (Counter,), **changes: Any
) -> tuple[Manifest, list[Annotated]]:
    def make(root: str, job: RawToCuts, plan: Plan) -> CutsWorker:
        return CutsWorker.with_annotators(root, job, plan, [cls(Path(), "cpu") for cls in annotators])

    manifest = run(store, RawToAnnotated(annotators=(), **changes), num_workers=0, make_worker=make)
    return manifest, list(store.rows(manifest, Annotated))


def test_a_short_clip_stays_whole_and_keeps_its_given_text(tmp_path: Path) -> None:
    store = source(
        tmp_path, {"a/x.wav": (1.0, {"domain": "speech", "given_text": "hi", "speaker": "s", "language": "en"})}
    )
    (row,) = annotate(store)[1]
    assert (row.clip_id, row.num_samples, row.given_text, row.speaker) == (row.raw_clip_id, RATE, "hi", "s")
    assert row.language == "en"
    assert row.duplicate_cluster


def test_every_value_says_who_found_it(tmp_path: Path) -> None:
    store = source(tmp_path, {"a/x.wav": (1.0, {"domain": "speech", "given_text": "hi"})})
    (row,) = annotate(store)[1]
    assert row.transcript == f"{RATE} 16000"
    notes = {note.value: (note.annotator, note.version, note.confidence) for note in row.annotations}
    assert notes["transcript"] == ("counter", "7", 0.5)
    assert notes["given_text"] == ("source", "metadata", 1.0)
    assert notes["domain"] == ("source", "metadata", 1.0)


def test_long_speech_without_a_given_text_is_cut_into_all_of_it(tmp_path: Path) -> None:
    store = source(tmp_path, {"a/x.wav": (5.0, {"domain": "speech"})})
    rows = sorted(annotate(store, max_speech_clip_s=2.0)[1], key=lambda row: row.first_sample)
    assert len(rows) >= 3
    assert sum(row.num_samples for row in rows) == 5 * RATE
    assert all(row.num_samples <= 2 * RATE for row in rows)
    assert len({row.clip_id for row in rows}) == len(rows)
    assert {row.raw_clip_id for row in rows}.isdisjoint(row.clip_id for row in rows)


class Hears(Counter):
    """Hears the words of a script of one word a second, wherever a clip begins."""

    writes: ClassVar[frozenset[str]] = frozenset({"transcript", "words"})
    script: ClassVar[list[str]] = [
        "alpha",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliet",
    ]

    def annotate(self, clip: Clip) -> list[Value]:
        words = []
        for second, word in enumerate(self.script):
            first = second * RATE + RATE // 4 - clip.first_sample
            if first >= 0 and first + RATE // 2 <= clip.num_samples:
                words.append(Word(word=word, first_sample=first, num_samples=RATE // 2, confidence=0.9))
        text = " ".join(word.word for word in words)
        return [Value(column="transcript", value=text), Value(column="words", value=words)]


def test_a_given_text_survives_the_cut_word_for_word(tmp_path: Path) -> None:
    script = "Alpha, bravo; Charlie! Delta? Echo. Foxtrot: golf hotel (india) juliet."
    store = source(tmp_path, {"a/x.wav": (10.0, {"domain": "speech", "given_text": script})})
    rows = sorted(annotate(store, (Hears,), max_speech_clip_s=4.0)[1], key=lambda row: row.first_sample)
    assert len(rows) >= 3
    assert " ".join(row.given_text or "" for row in rows) == script
    for row in rows:
        assert [word.word for word in row.given_words] == (row.given_text or "").split()
        assert all(
            word.first_sample >= 0 and word.first_sample + word.num_samples <= row.num_samples
            for word in row.given_words
        )
        (note,) = [note for note in row.annotations if note.value == "given_text"]
        assert note.annotator == "alignment" and note.confidence is not None and note.confidence > 0.9


def test_a_text_that_is_not_what_is_heard_keeps_the_recording_whole_or_drops_it(tmp_path: Path) -> None:
    said = {"domain": "speech", "given_text": "quite other things were written down here by somebody"}
    store = source(tmp_path, {"a/short.wav": (5.0, said), "a/long.wav": (9.0, said)})
    manifest, rows = annotate(store, (Hears,), max_speech_clip_s=2.0, max_whole_speech_s=6.0)
    (row,) = rows
    assert (row.path, row.num_samples, row.given_text) == ("a/short.wav", 5 * RATE, said["given_text"])
    assert manifest.dropped == {"unaligned_text": 1}
    assert "fits" in store.dropped(manifest)["detail"].to_pylist()[0]


def test_a_song_whose_lyrics_have_no_times_stays_whole_and_music(tmp_path: Path) -> None:
    said = {"domain": "music", "given_text": "ring the bell, ring the bell"}
    store = source(tmp_path, {"a/song.wav": (5.0, said)})
    (row,) = annotate(store, (SourceCaption,), max_sound_clip_s=2.0, max_whole_speech_s=6.0)[1]
    assert (row.domain, row.num_samples, row.lyrics) == ("music", 5 * RATE, said["given_text"])
    assert "lyrics" in needs_of(row)


def test_a_limit_takes_clips_from_every_corpus_and_drops_the_rest(tmp_path: Path) -> None:
    clips = {f"{corpus}/{n}.wav": (1.0, {"domain": "speech"}) for corpus in "ab" for n in range(6)}
    manifest, rows = annotate(source(tmp_path, clips), max_speech_s=6.0)
    assert sorted(row.corpus for row in rows) == ["a"] * 3 + ["b"] * 3
    assert manifest.dropped == {"over_limit": 6}


def test_parts_of_a_recording_are_chosen_cut_and_split_together(tmp_path: Path) -> None:
    clips = {
        f"m/{song}-{part}.wav": (seconds, {"domain": "music", "part_of": song, "part": part})
        for song in "abcdef"
        for part, seconds in (("drums", 5.0), ("voice", 5.2))
    }
    rows = annotate(source(tmp_path, clips), max_sound_clip_s=1.0, max_pieces_per_clip=2, max_music_s=8.0)[1]
    assert len(rows) == 8
    for song in {row.part_of for row in rows}:
        drums, voice = ([row for row in rows if (row.part_of, row.part) == (song, part)] for part in ("drums", "voice"))
        assert sorted(row.first_sample for row in drums) == sorted(row.first_sample for row in voice)
        assert len({row.split for row in (*drums, *voice)}) == 1


def test_a_speaker_is_in_one_split_and_a_namesake_of_another_corpus_is_not_the_same(tmp_path: Path) -> None:
    clips = {
        f"{corpus}/{speaker}-{n}.wav": (1.0, {"domain": "speech", "speaker": speaker})
        for corpus in "ab"
        for speaker in "tuvwxyz"
        for n in range(3)
    }
    rows = annotate(source(tmp_path, clips))[1]
    splits = {
        (corpus, speaker): {row.split for row in rows if (row.corpus, row.speaker) == (corpus, speaker)}
        for corpus in "ab"
        for speaker in "tuvwxyz"
    }
    assert all(len(found) == 1 for found in splits.values())
    assert any(splits["a", speaker] != splits["b", speaker] for speaker in "tuvwxyz")


def test_silence_is_dropped(tmp_path: Path) -> None:
    store = source(tmp_path, {"a/x.wav": (1.0, {"domain": "sound"})})
    soundfile.write(tmp_path / "source/a/silent.wav", np.zeros(RATE, np.float32), RATE)
    run_edge(store, SourceToRaw(source=str(tmp_path / "source")), RawWorker, num_workers=0)
    manifest, rows = annotate(store)
    assert manifest.dropped == {"silent": 1}
    assert len(rows) == 1


def test_a_document_becomes_passages_of_one_split(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph number {number} says something." for number in range(12))
    rows = annotate(source(tmp_path, {}, {"guide/a.txt": text, "guide/b.txt": "Short."}), max_passage_characters=100)[1]
    parts = [row for row in rows if row.path == "guide/a.txt"]
    assert len(parts) == 6
    assert all(row.domain == "text" and row.text and len(row.text) <= 100 for row in parts)
    assert len({row.split for row in parts}) == 1
    (short,) = [row for row in rows if row.path == "guide/b.txt"]
    assert short.clip_id == short.raw_clip_id


def test_a_caption_holds_nothing_but_the_words_of_the_source(tmp_path: Path) -> None:
    said = {"domain": "sound", "given_title": "a door", "given_tags": ["wood", "door"]}
    store = source(tmp_path, {"a/x.wav": (1.0, said), "a/y.wav": (1.0, {"domain": "sound"})})
    rows = {row.path: row for row in annotate(store, (SourceCaption,))[1]}
    assert (rows["a/x.wav"].caption, rows["a/x.wav"].tags) == ("a door: wood", ["wood", "door"])
    assert rows["a/y.wav"].caption is None


def test_a_domain_that_voice_activity_decided_outlives_its_own_column(tmp_path: Path) -> None:
    pytest.importorskip("silero_vad")
    store = source(tmp_path, {"a/x.wav": (1.0, {"domain": "speech"}), "a/y.wav": (1.0, {})})
    job = RawToCuts(annotate=RawToAnnotated(annotators=("voice_activity",)))
    worker = CutsWorker(str(store.root), job, job.plan(store))
    (raw, *_) = store.rows(store.version_with("raw", job.plan(store).parents["raw"]), Raw)
    decided = Annotation(value="domain", annotator="voice_activity", version="old", confidence=0.9)
    stretch = Stretch(domain="speech", cut=Cut(first_sample=0, num_samples=RATE), decision=decided)
    draft = draft_of(raw, stretch, is_whole=True)
    (voice,) = worker._annotators
    draft.fill(voice, [Value(column="speech_fraction", value=0.9)])
    draft.fill(voice, [])
    assert draft.domain == "speech" and "speech_fraction" not in draft.columns
    again = draft_again(raw, draft.row(), [voice])
    assert again.domain == "speech" and not again.needs(voice)


class Later(Counter):
    """Looks at what the counter said."""

    name: ClassVar[str] = "later"
    reads: ClassVar[frozenset[str]] = frozenset({"transcript"})
    writes: ClassVar[frozenset[str]] = frozenset({"caption"})

    def annotate(self, clip: Clip) -> list[Value]:
        return [Value(column="caption", value=f"after {clip.known['transcript']}")]


class NewCounter(Counter):
    @classmethod
    def version(cls) -> str:
        return "8"

    def annotate(self, clip: Clip) -> list[Value]:
        return [Value(column="transcript", value="new")]


def cuts_of(
    store: Store, annotators: tuple[type[Annotator], ...], capsys: pytest.CaptureFixture[str], **changes: Any
) -> tuple[list[Annotated], dict[str, float]]:
    """The annotated rows, and what the first step says of its work. A version's parameters name the annotators, so they do here."""
    capsys.readouterr()
    rows = annotate(store, annotators, max_whole_speech_s=30.0 + len(annotators) / 1000, **changes)[1]
    summaries = [json.loads(line[8:]) for line in capsys.readouterr().out.splitlines() if line.startswith("SUMMARY ")]
    return rows, next(one["work"] for one in summaries if one["kind"] == "cuts")


@pytest.fixture
def reusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of stand-ins are told apart by a rule that says nothing of cutting."""
    monkeypatch.setattr(earlier, "same_cutting", lambda version, plan: True)


@pytest.mark.usefixtures("reusing")
def test_an_added_annotator_is_the_only_one_that_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = source(tmp_path, {f"a/{n}.wav": (1.0, {"domain": "speech"}) for n in range(3)})
    before, work = cuts_of(store, (Counter,), capsys)
    assert (work["computed"], work["reused"]) == (3, 0)
    after, work = cuts_of(store, (Counter, Later), capsys)
    assert (work["computed"], work["reused"]) == (3, 3)
    assert [row.transcript for row in after] == [row.transcript for row in before]
    assert all(row.caption == f"after {RATE} 16000" for row in after)


@pytest.mark.usefixtures("reusing")
@pytest.mark.slow
def test_a_new_version_of_an_annotator_also_renews_those_that_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = source(tmp_path, {f"a/{n}.wav": (1.0, {"domain": "speech"}) for n in range(3)})
    cuts_of(store, (Counter, Later), capsys)
    rows, _ = cuts_of(store, (NewCounter, Later), capsys, min_clip_s=0.21)
    assert [(row.transcript, row.caption) for row in rows] == [("new", "after new")] * 3
    assert all(len([note for note in row.annotations if note.value == "transcript"]) == 1 for row in rows)
    assert all(row.asked[:2] == ["counter 8", "later 7"] for row in rows)


@pytest.mark.slow
def test_what_is_taken_over_is_what_would_be_made(tmp_path: Path) -> None:
    clips = {f"a/{n}.wav": (1.0 + n / 10, {"domain": "speech"}) for n in range(4)}
    store = source(tmp_path / "grown", clips)
    annotate(store)
    soundfile.write(tmp_path / "grown/source/a/added.wav", noise(1.0, 99), RATE, subtype="PCM_16")
    run_edge(store, SourceToRaw(source=str(tmp_path / "grown/source")), RawWorker, num_workers=0)
    grown = annotate(store)[0]
    fresh = Store(tmp_path / "fresh")
    run_edge(fresh, SourceToRaw(source=str(tmp_path / "grown/source")), RawWorker, num_workers=0)
    assert annotate(fresh)[0] == grown


def test_the_units_are_those_of_raw_and_the_annotators_are_part_of_the_plan(tmp_path: Path) -> None:
    store = source(tmp_path, {"a/x.wav": (1.0, {}), "b/x.wav": (1.1, {})})
    plan = RawToAnnotated().plan(store)
    raw = store.head("raw")
    assert raw is not None and plan.units == sorted(shard.unit for shard in raw.shards)
    assert plan.parameters["annotators"] == table.versions(table.DEFAULT, Path("data/models"))
    assert RawToAnnotated(annotators=("loudness",)).plan(store).plan_id != plan.plan_id
    none, other = RawToAnnotated(models="nowhere"), RawToAnnotated(models="elsewhere", ref="other")
    assert none.plan(store) == other.plan(store)


def test_a_missing_parent_names_the_flow_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`raw` has no version .*`prefect deployment run ingest-corpus/local`"):
        RawToAnnotated().plan(Store(tmp_path))


@pytest.mark.parametrize("changes", [{"max_speech_clip_s": 0.0}, {"max_music_s": -1.0}, {"annotators": ("magic",)}])
def test_a_senseless_job_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    store = source(tmp_path, {"a/x.wav": (1.0, {})})
    with pytest.raises(UsageError, match=r"must be"):
        RawToAnnotated(**changes).plan(store)


@pytest.mark.parametrize("name", ["transcript", "speaker_embedding"])
def test_an_absent_model_says_what_to_install_and_how_to_do_without(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"is missing: download .* or leave its annotator out"):
        table.load((name,), tmp_path, "cpu")
