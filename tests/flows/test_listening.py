"""A listening test made of versions of scores, and its results read back."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from uniaudio_flows.listening.design import write_test
from uniaudio_flows.listening.results import read_results
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.read import write_flac_bytes
from uniaudio.cli import main
from uniaudio.testing import a_waveform

soundfile = pytest.importorskip("soundfile")
SAMPLES = ("s0", "s1", "s2")


def write(store: Store, ref: str, frequency: float) -> None:
    plan = Plan(
        kind="scores", schema_version=1, parents={"checkpoint": ref}, parameters={}, code_version="test", units=["tts"]
    )
    with store.writer(plan, owner="test", ref=ref) as writer:
        blobs, lines = [], []
        for number, sample in enumerate(SAMPLES):
            sounds = [a_waveform(0.1, frequency=one + number) for one in (frequency, 300.0)]
            made, recorded = [writer.put_blob(write_flac_bytes(one, 24_000)) for one in sounds]
            blobs += [made, recorded]
            line = {"sample_id": sample, "recording": sample, "reference": f"</script> {number}", "metrics": {}}
            lines.append(line | {"made_audio": [made], "recorded_audio": [recorded]})
        predictions = writer.put_blob("".join(json.dumps(line) + "\n" for line in lines).encode())
        row = Score(
            score_id=ref, checkpoint_id=ref, benchmark="tts", metric="dnsmos", domain="speech", value=1.0, low=None, high=None,
            num_samples=3, baseline="noise", baseline_value=1.0, higher_is_better=True, predictions=predictions,
        )  # fmt: skip
        writer.put_shard("tts", [row], blobs=[*blobs, predictions])
        writer.publish()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("UNIAUDIO_DATA", str(tmp_path))
    store = Store(tmp_path / "store")
    write(store, "old", 500.0)
    write(store, "new", 700.0)
    return store


def test_a_test_names_no_system_and_its_key_does(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    assert main(["listen", str(folder), "old", "new"]) == 0
    page, config = (folder / "index.html").read_text(), json.loads((folder / "config.yaml").read_text())
    key = json.loads((folder / "key.json").read_text())
    assert sorted(key.values()) == ["new"] * 3 + ["old"] * 3 + ["reference"] * 3
    shown = page[page.index("const test = ") : page.index(";\nconst listener")]
    assert '"old"' not in shown
    assert "</script>" not in shown  # a reference may hold anything
    assert {path.relative_to(folder).as_posix() for path in (folder / "sounds").iterdir()} == set(key)
    trials = config["pages"][0][1:]
    assert config["pages"][0][0] == "random"
    assert {trial["type"] for trial in trials} == {"mushra"}
    assert all(key[trial["reference"]] == "reference" and len(trial["stimuli"]) == 2 for trial in trials)
    samples, rate = soundfile.read(folder / trials[0]["reference"])
    assert (rate, len(samples)) == (24_000, 2_400)


def test_the_same_test_twice_has_equal_bytes(store: Store, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_test(store, ["old", "new"], "tts", "ab", tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 3 + 9
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def rate(folder: Path, listener: str, values: dict[str, float]) -> Path:
    """Results of one listener, who rates each system everywhere alike."""
    key, config = json.loads((folder / "key.json").read_text()), json.loads((folder / "config.yaml").read_text())
    lines = ["session_test_id,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,rating_comment"]
    for trial in config["pages"][0][1:]:
        names = {name: key[sound] for name, sound in trial["stimuli"].items()} | {"reference": "reference"}
        lines += [f"t,{listener},{trial['id']},{name},{values[system]},1," for name, system in names.items()]
    path = folder / f"{listener}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ratings_come_back_by_system_with_intervals_over_listeners(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    write_test(store, ["old", "new"], "tts", "mushra", folder)
    paths = [
        rate(folder, "anna", {"old": 20, "new": 60, "reference": 100}),
        rate(folder, "ben", {"old": 30, "new": 80, "reference": 95}),
        rate(folder, "deaf", {"old": 90, "new": 10, "reference": 40}),
    ]
    rows, left_out = read_results(folder, paths)
    assert left_out == ["deaf"]
    assert [(row["system"], row["mean"], row["low"], row["high"], row["listeners"]) for row in rows] == [
        ("reference", 97.5, 95, 100, 2),
        ("new", 70, 60, 80, 2),
        ("old", 25, 20, 30, 2),
    ]


BROWSER = """
const made = [];
const element = tag => ({ tag, children: [], append(...more) { this.children.push(...more); },
  replaceChildren() { this.children = []; }, click() { if (this.onclick) this.onclick(); }, focus() {} });
const known = {};
globalThis.document = { getElementById: id => known[id] ??= element(id), querySelectorAll: () => [],
  createElement: tag => { const one = element(tag); made.push(one); return one; } };
globalThis.Blob = class { constructor(parts) { this.text = parts.join(""); } };
URL.createObjectURL = blob => { process.stdout.write(blob.text); return ""; };
if (!globalThis.crypto) globalThis.crypto = require("crypto").webcrypto;
SCRIPT
const inputs = () => { const found = []; const walk = one => { if (one.tag === "input") found.push(one); (one.children || []).forEach(walk); };
  walk(known.page); return found; };
for (let number = 0; number < test.pages.length; number += 1) {
  inputs().forEach((input, place) => {
    if (test.kind === "mushra") input.oninput({ target: { value: String(100 - 10 * place) } });
    else if (place === 0) input.onchange();
  });
  if (known.next.disabled) throw new Error("a page that is answered cannot be left");
  known.next.click();
}
"""


@pytest.mark.parametrize("kind", ["mushra", "ab"])
def test_the_page_writes_what_is_read_back(store: Store, tmp_path: Path, kind: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    folder = tmp_path / "test"
    write_test(store, ["old", "new"], "tts", kind, folder)
    page = (folder / "index.html").read_text()
    script = page[page.index("<script>") + 8 : page.rindex("</script>")].replace('"use strict";', "")
    (tmp_path / "page.js").write_text(BROWSER.replace("SCRIPT", script))
    done = subprocess.run([node, str(tmp_path / "page.js")], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    (folder / "mine.csv").write_text(done.stdout)
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 3 * (3 if kind == "mushra" else 1)
    if kind == "mushra":
        scores = sorted(int(line.split(",")[4]) for line in lines[1:])
        assert scores == [80, 80, 80, 90, 90, 90, 100, 100, 100]
        assert {line.split(",")[3] for line in lines[1:]} == {"C1", "C2", "reference"}
    else:
        rows, _ = read_results(folder, [folder / "mine.csv"])
        assert {row["system"] for row in rows} == {"old", "new"}
        assert sum(row["mean"] for row in rows) == pytest.approx(100)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1400, "light")])
def test_a_listener_rates_by_keyboard_alone(store: Store, tmp_path: Path, width: int, scheme: str) -> None:
    driver = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    folder = tmp_path / "test"
    num_pages = write_test(store, ["old", "new"], "tts", "mushra", folder)
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((folder / "index.html").as_uri())
        assert [one["id"] for one in axe.run(page).response["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for number in range(num_pages):
            assert page.inner_text("#place") == f"Sound {number + 1} of {num_pages}"
            assert page.inner_text("#missing") == "Not rated yet: A, B, C."
            durations = page.locator("audio").evaluate_all(
                "all => Promise.all(all.map(one => new Promise(done => { const say = () => done(one.duration); "
                "one.readyState ? say() : one.onloadedmetadata = say; })))"
            )
            assert durations == [0.1] * 4
            while page.locator("#next").is_disabled():
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.type") == "range":
                    page.keyboard.press("End")
            while page.evaluate("document.activeElement.id") != "next":
                page.keyboard.press("Tab")
            if number < num_pages - 1:
                page.keyboard.press("Enter")
        with page.expect_download() as saved:
            page.keyboard.press("Enter")
        assert "Thank you" in page.inner_text("#missing")
        saved.value.save_as(folder / "mine.csv")
        browser.close()
    assert not problems
    rows, left_out = read_results(folder, [folder / "mine.csv"])
    assert not left_out
    assert [(row["mean"], row["ratings"]) for row in rows] == [(100, num_pages)] * 3


def test_a_choice_counts_for_one_and_against_the_other(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "test"
    write_test(store, ["old", "new"], "tts", "ab", folder)
    key, config = json.loads((folder / "key.json").read_text()), json.loads((folder / "config.yaml").read_text())
    lines = ["session_test_id,session_uuid,trial_id,choice_answer,choice_time,choice_comment"]
    for number, trial in enumerate(config["pages"][0][1:]):
        chosen = next(
            name for name, sound in trial["stimuli"].items() if key[sound] == ("old" if number == 0 else "new")
        )
        lines.append(f"t,anna,{trial['id']},{chosen},1,")
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    assert main(["listen", str(folder), "--results", str(folder / "a.csv")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split()[:2] == ["new", "66.7"]


def test_what_cannot_be_heard_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="asr has none"):
        write_test(store, ["old", "new"], "asr", "ab", tmp_path / "test")
    with pytest.raises(UsageError, match="must be two systems"):
        write_test(store, ["old"], "tts", "ab", tmp_path / "test")
    write_test(store, ["old", "new"], "tts", "ab", tmp_path / "test")
    (tmp_path / "test" / "b.csv").write_text("session_uuid,trial_id,choice_answer\na,none,C1\n")
    with pytest.raises(DataError, match=r"b.csv: line 2 must be a result"):
        read_results(tmp_path / "test", [tmp_path / "test" / "b.csv"])
