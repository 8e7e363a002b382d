"""The report of a small store whose every text is hostile to a page."""

import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_flows.demo.run import _report
from uniaudio_flows.report import write_report
from uniaudio_flows.report.choice import choose
from uniaudio_flows.settings import load_settings
from uniaudio_schemas.kinds.annotated import Annotated, Annotation, Word
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.raw import Fact, Raw
from uniaudio_schemas.pulse import Lines
from uniaudio_schemas.store import Store
from uniaudio_schemas.testing import EXAMPLE_KINDS, a_plan, example_rows

soundfile = pytest.importorskip("soundfile")
RATE = 8_000
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)><!--<b>&amp;\u2028\u202eabc {{ 7*7 }}"
CORPORA = {"queen": "speech", "zoo": "sound", "songs": "music", HOSTILE: "speech"}
PER_CORPUS = 9
VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a browser makes of it: elements with their attributes, the text of each section, the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "div" and dict(attrs).get("class") == "scroll" and dict(attrs).get("aria-label"):
            self.tables[str(dict(attrs)["aria-label"])] = []
        if tag == "tr" and self.tables:
            list(self.tables.values())[-1].append([])
        if tag == "td":
            list(self.tables.values())[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
            return
        self.texts.append(data)
        if "td" in self.open:
            list(self.tables.values())[-1][-1][-1] += data

    def charts(self) -> dict[str, dict[str, Any]]:
        return {str(attributes["id"]): json.loads(text) for attributes, text in self.scripts if "id" in attributes}


@dataclass(frozen=True)
class Made:
    store: Store
    clips: list[Annotated]
    raw: list[Raw]
    path: Path
    text: str
    page: Page


def flac(seconds: float, seed: int) -> bytes:
    file = io.BytesIO()
    samples = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), 1 + seed % 2))
    soundfile.write(file, samples, RATE, format="FLAC")
    return file.getvalue()


def raw_rows(store_blob: Any) -> Iterator[Raw]:
    """Clips of 0.5 to 1 s, nine a corpus, and one of 12 s in the zoo."""
    for index, (corpus, domain) in enumerate(one for one in CORPORA.items() for _ in range(PER_CORPUS)):
        seconds = 12.0 if index == PER_CORPUS else 0.5 + 0.05 * (index % 9)
        data = flac(seconds, index)
        yield Raw(
            clip_id=f"{index:032x}", medium="audio", corpus=corpus, path=f"{corpus}/{index}{HOSTILE}.wav", sha256=f"{index:064x}",
            domain=domain, licence=HOSTILE, sample_rate=RATE, num_samples=round(seconds * RATE), channels=1 + index % 2,
            tar=store_blob(b"junk" + data), tar_offset=4, tar_size=len(data), problems=[f"odd: {HOSTILE}"] if index == 0 else [],
            facts=[Fact(name=HOSTILE, value=HOSTILE)],
        )  # fmt: skip


def annotated_row(raw: Raw, index: int) -> Annotated:
    is_speech = raw.domain == "speech"
    return Annotated(
        clip_id=raw.clip_id, raw_clip_id=raw.clip_id, corpus=raw.corpus, path=raw.path, domain=raw.domain, licence=raw.licence,
        num_samples=raw.num_samples, sample_rate=RATE, channels=raw.channels, split="test" if index % 5 == 0 else "train",
        language=("en", HOSTILE)[index % 2] if is_speech else None, speaker=f"{HOSTILE}{index % 3}" if is_speech else None,
        speaker_cluster=f"{index % 2:032x}" if is_speech else None, transcript=HOSTILE if is_speech else None, given_text=HOSTILE,
        words=[Word(word=HOSTILE, first_sample=80 * i, num_samples=60, confidence=0.5) for i in range(9)] if is_speech else [],
        tags=[HOSTILE], caption=HOSTILE, style=HOSTILE, facts=[Fact(name=HOSTILE, value=HOSTILE)], evidence=[HOSTILE],
        speaker_embedding=[0.1] * 16, loudness_lufs=-95.0 if index == 3 else -20.0 - index, snr_db=None if index == 1 else float(index), mos=3.0,
        words_per_s=2.0,
        annotations=[Annotation(value="mos", annotator=HOSTILE, version=HOSTILE, confidence=0.25)],
        duplicate_cluster=f"{30 if index == 31 else index:032x}", rejections=["repetition", HOSTILE] if index in (2, 29) else [],
        leaks=["esc50"] if index == 12 else [],
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    store = Store(folder / "store")
    with store.writer(a_plan("raw"), owner="test") as writer:
        raw = list(raw_rows(writer.put_blob))
        lost = Dropped(row_id=HOSTILE, reason="unreadable", detail=HOSTILE)
        writer.put_shard("queen-00000", raw, dropped=[lost], blobs=[row.tar for row in raw])
        raw_version = writer.publish()
    plan = replace(a_plan("annotated"), parents={"raw": raw_version.content_id})
    silent = raw[5]
    clips = [annotated_row(row, index) for index, row in enumerate(raw) if row != silent]
    # A second piece of a recording is no copy of it.
    clips.append(replace(clips[12], clip_id=f"{900:032x}", first_sample=800, num_samples=1_600))
    with store.writer(plan, owner="test") as writer:
        writer.put_shard(
            "queen-00000", clips, dropped=[Dropped(row_id=silent.clip_id, reason="silent", detail=HOSTILE)]
        )
        writer.publish()
    with store.writer(a_plan("evalset"), owner="test", ref="esc50") as writer:
        item = EvalsetItem(clip_id=f"{99:032x}", name="esc50", path=HOSTILE, sha256=f"{99:064x}", licence=HOSTILE)
        writer.put_shard("queen-00000", [item])
        writer.publish()
    path = write_report(store, folder / "pages" / "report.html")
    text = path.read_text(encoding="utf-8")
    return Made(store, clips, raw, path, text, Page(text))


def test_no_text_of_the_store_becomes_an_element_or_an_attribute(made: Made) -> None:
    tags = Counter(tag for tag, _ in made.page.elements)
    assert tags["b"] == len(made.page.charts()) + 8, "a title a chart, a name a kind"
    assert not {name for _, attributes in made.page.elements for name in attributes if name.startswith("on")}
    assert [attributes for attributes, _ in made.page.scripts if "id" not in attributes] == [{}], (
        "one script, the page's"
    )
    assert not made.page.open, "every element is closed"
    assert "49" not in {text.strip() for text in made.page.texts}
    assert any(HOSTILE in text for text in made.page.texts), "and yet it is shown, letter for letter"


def test_data_of_charts_cannot_end_their_script(made: Made) -> None:
    charts = made.page.charts()
    assert any(one["corpus"] == HOSTILE for one in charts["histogram-1"]["data"]["values"])
    for attributes, text in made.page.scripts:
        if "id" in attributes:
            assert not set("<>&\u2028\u202e") & set(text)


def test_the_page_asks_for_nothing_outside_itself(made: Made) -> None:
    for tag, attributes in made.page.elements:
        for name in ("src", "href", "data", "srcset", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"{tag} {name}={value[:80]}"
    assert not re.findall(r"url\(|@import", made.text[made.text.index("<style>") : made.text.index("</style>")])
    assert "sourceMappingURL" not in made.text


def test_the_policy_of_the_page_admits_its_own_script_alone(made: Made) -> None:
    import base64
    import hashlib

    policy = next(a["content"] for tag, a in made.page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    [script] = [text for attributes, text in made.page.scripts if not attributes]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' 'unsafe-eval'" in policy
    assert "default-src 'none'" in policy


def test_the_overview_counts_what_the_rows_say(made: Made) -> None:
    rows = made.page.tables["Clips by corpus and domain"][1:]
    expected = Counter((clip.corpus, clip.domain) for clip in made.clips)
    assert {(row[0], row[1]): int(row[2]) for row in rows} == expected
    hours = sum(clip.num_samples / clip.sample_rate for clip in made.clips if clip.corpus == "zoo") / 3600
    [zoo] = [row for row in rows if row[0] == "zoo"]
    assert float(zoo[3]) == pytest.approx(hours, abs=1e-4)
    for column, split in ((4, "train"), (5, "val"), (6, "test")):
        of_it = [clip for clip in made.clips if (clip.corpus, clip.split) == ("zoo", split)]
        assert float(zoo[column]) == pytest.approx(sum(one.num_samples for one in of_it) / RATE / 3600, abs=1e-4)
    assert [row[-1] for row in rows if row[0] == "zoo"] == ["1"], "the clip that leaks"
    assert sum(int(row[-2]) for row in rows) == 2, "the clips whose text is rejected"


def test_a_histogram_holds_every_clip_that_was_measured(made: Made) -> None:
    charts = made.page.charts()
    for id, column in (("histogram-2", "snr_db"), ("histogram-4", "loudness_lufs")):
        values = charts[id]["data"]["values"]
        expected = Counter(clip.corpus for clip in made.clips if getattr(clip, column) is not None)
        found: Counter[str] = Counter()
        for one in values:
            found[one["corpus"]] += one["clips"]
        assert found == expected
    edges = [(one["start"], one["stop"]) for one in charts["histogram-4"]["data"]["values"]]
    assert min(edges)[0] == -70.0, "what is below stands in the first bar"
    within = [one for one in charts["histogram-2"]["data"]["values"] if one["start"] <= 20.0 < one["stop"]]
    assert sum(one["clips"] for one in within) == sum(
        within[0]["start"] <= clip.snr_db < within[0]["stop"] for clip in made.clips if clip.snr_db is not None
    )


def test_losses_are_counted_with_examples(made: Made) -> None:
    tables = made.page.tables
    assert [row[:3] for row in tables["Dropped rows of each kind"][1:]] == [
        ["raw", "unreadable", "1"], ["annotated", "silent", "1"]
    ]  # fmt: skip
    silent = tables["Dropped, with examples"][2]
    assert silent[:4] == ["annotated", "silent", "queen", "1"]
    assert silent[4] == f"{made.raw[5].path}: {HOSTILE}", "a dropped clip is named by its path"
    rejected = tables["Rejected transcripts"][1:]
    assert Counter(row[0] for row in rejected) == {"repetition": 2, HOSTILE: 2}
    assert [row[0] for row in tables["Problems of files that were kept"][1:]] == ["odd"]


def test_copies_and_leaks_are_counted_over_recordings(made: Made) -> None:
    tables = made.page.tables
    assert [row[1:4] for row in tables["Copies of one sound"][1:]] == [["1", "2", "1"]]
    assert tables["Copies of one sound"][1][5] == "1", "one copy is held out, the other trained on"
    [leak] = tables["Leaks of evaluation sets"][1:]
    assert leak[:4] == ["esc50", "zoo", "train", "1"]
    assert tables["Registered evaluation sets"][1][:2] == ["esc50", "1"]


def test_the_examples_are_24_and_each_odd_kind_is_among_them(made: Made) -> None:
    annotated, raw = made.store.head("annotated"), made.store.head("raw")
    assert annotated is not None and raw is not None
    chosen = choose(made.store, annotated, raw)
    assert len(chosen) == len({(one.annotated or one.raw).clip_id for one in chosen}) == 24
    assert chosen == choose(made.store, annotated, raw)
    kept = [one.annotated for one in chosen if one.annotated is not None]
    assert sum(bool(clip.rejections) for clip in kept) == 2
    assert sum(bool(clip.leaks) for clip in kept) == 1
    assert [one.dropped.reason for one in chosen if one.dropped] == ["silent"]
    assert {one.num_recordings for one in chosen if int(one.raw.clip_id, 16) in (30, 31)} == {2}
    assert {one.num_recordings for one in chosen if int(one.raw.clip_id, 16) not in (30, 31)} == {1}
    assert {30, 31} <= {int(clip.clip_id, 16) for clip in kept}, "two copies of one sound"
    assert min(Counter(clip.corpus for clip in kept).values()) >= 4


def test_an_example_can_be_played_and_read(made: Made) -> None:
    elements = made.page.elements
    players = [attributes for tag, attributes in elements if tag == "audio"]
    assert len(players) == 24
    assert all("controls" in one and one["aria-label"] for one in players)
    pictures = [attributes for tag, attributes in elements if tag == "img"]
    assert len(pictures) == 24
    assert all(one["alt"] and str(one["src"]).startswith("data:image/png;base64,iVBOR") for one in pictures)
    words = [a for tag, a in elements if a.get("role") == "listitem"]
    assert len(words) > 9
    assert all(re.fullmatch(r"left: [\d.]+%; --width: [\d.]+; max-width: [\d.]+%", str(one["style"])) for one in words)
    # The long clip is cut to 10 s.
    assert "10.00 of 12.00 s as FLAC" in " ".join(" ".join(made.page.texts).split())
    assert {"column", "annotator", "confidence"} <= {text.strip() for text in made.page.texts}
    assert "16 numbers" in {text.strip() for text in made.page.texts}, "an embedding is counted, not shown"


def test_the_contents_lead_to_every_section(made: Made) -> None:
    links = [attributes["href"] for tag, attributes in made.page.elements if tag == "a"]
    sections = [f"#{attributes['id']}" for tag, attributes in made.page.elements if tag == "section"]
    assert links == sections
    ids = [attributes["id"] for _, attributes in made.page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_is_small_enough_to_open(made: Made) -> None:
    assert made.path.stat().st_size < 8e6
    assert [path.name for path in made.path.parent.iterdir()] == ["report.html"]


def test_the_same_store_gives_the_same_page(made: Made, tmp_path: Path) -> None:
    assert write_report(made.store, tmp_path / "again.html").read_bytes() == made.path.read_bytes()


def test_a_clip_whose_audio_is_gone_is_said_to_be_unplayable(made: Made, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    [raw] = example_rows("raw")
    [clip] = example_rows("annotated")
    for kind, row in (("raw", raw), ("annotated", clip)):
        with store.writer(a_plan(kind), owner="test") as writer:
            writer.put_shard("queen-00000", [row])
            writer.publish()
    text = write_report(store, tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "cannot be played" in text
    assert not [tag for tag, _ in page.elements if tag == "audio"]


def test_examples_come_from_the_files_that_were_annotated_though_newer_ones_are_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    [raw] = example_rows("raw")
    [clip] = example_rows("annotated")
    with store.writer(a_plan("raw"), owner="test") as writer:
        writer.put_shard("queen-00000", [raw])
        before = writer.publish()
    with store.writer(a_plan("raw", newer=True), owner="test") as writer:
        writer.put_shard("queen-00000", example_rows("raw", first=1))
        writer.publish()
    with store.writer(replace(a_plan("annotated"), parents={"raw": before.content_id}), owner="test") as writer:
        writer.put_shard("queen-00000", [clip])
        writer.publish()
    page = Page(write_report(store, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [attributes["id"] for tag, attributes in page.elements if tag == "article"] == [f"clip-{clip.clip_id}"]


def test_a_store_with_nothing_in_it_has_a_page(tmp_path: Path) -> None:
    page = Page(write_report(Store(tmp_path / "store"), tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Nothing is annotated yet." in " ".join(page.texts)
    assert not page.open


def test_every_kind_of_the_flow_is_shown(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for kind in EXAMPLE_KINDS:
        if kind in ("dropped", "raw", "annotated", "scores", "evalset"):
            continue
        rows = example_rows(kind)
        if kind == "codec":
            lost = replace(rows[0].metrics[0], step=200, value=float("nan"))
            rows = [replace(rows[0], metrics=[*rows[0].metrics, lost])]
        with store.writer(a_plan(kind), owner="test") as writer:
            writer.put_shard("queen-00000", rows)
            writer.publish()
    [score] = example_rows("scores")
    with store.writer(a_plan("scores"), owner="test") as writer:
        medium = replace(score.media[0], mime="image/png", blob=writer.put_blob(b"a picture"), title=HOSTILE)
        writer.put_shard("queen-00000", [replace(score, media=[medium])], blobs=[medium.blob])
        writer.publish()
    page = Page(write_report(store, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tables["Scores"][1][:4] == ["asr", "speech", "wer", "1.31"]
    assert len(page.tables["Codebooks"]) == 17
    assert [a["src"] for tag, a in page.elements if tag == "img"] == ["data:image/png;base64,YSBwaWN0dXJl"]
    assert page.charts()["curve-1"]["data"]["values"] == [{"name": "loss", "x": 100, "y": 0.42}]


def test_held_out_losses_stand_beside_chance_and_what_is_no_better_is_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    store = Store(tmp_path / "store")
    [row] = example_rows("checkpoint")
    [loss] = row.held_out
    worse = replace(loss, task="tts", after=3.5)
    unknown = replace(loss, uniform=None, unigram=None)
    for stage, held_out in (("stage1", [unknown]), ("stage2", [loss, worse])):
        with store.writer(a_plan("checkpoint", stage=stage), owner="test", ref=stage) as writer:
            weights = writer.put_blob(b"weights")
            stage_row = replace(row, stage=stage, held_out=held_out, weights=weights)
            writer.put_shard("queen-00000", [stage_row], blobs=[weights])
            writer.publish()
    page = Page(write_report(store, tmp_path / "report.html").read_text(encoding="utf-8"))
    (losses,) = (rows for caption, rows in page.tables.items() if caption.startswith("Held-out loss"))
    assert losses[1:] == [
        ["stage1", "asr", "12", "5.6", "2.9", "–", "–", "–"],
        ["stage2", "asr", "12", "5.6", "2.9", "3.4", "5.6", "better"],
        ["stage2", "tts", "12", "5.6", "3.5", "3.4", "5.6", "worse †"],
    ]
    told = "Held-out loss is better than chance after stage2 in 1 of 2 tasks."
    assert told in " ".join(page.texts)
    _report(load_settings(), Lines(sys.stdout))
    assert capsys.readouterr().out.splitlines()[-1] == told
