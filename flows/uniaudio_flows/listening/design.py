"""Make a listening test of versions of scores: MUSHRA (every system beside a hidden reference and anchors) or A/B (which of two).

Reads    scores and their predictions; the FLACs of what was made and of what was recorded
Writes   <folder>/index.html    the test, which needs no server: results are a file to save
         <folder>/config.yaml   the same for webMUSHRA (Schoeffler et al. 2018), whose own server keeps the results
         <folder>/sounds/       WAV, named by their contents: a name tells nothing
         <folder>/key.json      {"sounds/3f….wav": "stage4", …}: for who reads the results

A page of a test is a sample that all systems answered. Equal stores and seeds give equal bytes.
"""

import io
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_bytes, hash_json
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store

from uniaudio_flows.comparison import Side, side_of

MUSHRA, AB = "mushra", "ab"
REFERENCE = "reference"
"""How results call the hidden reference, as webMUSHRA does."""
_SHORT = 16


def write_test(
    store: Store, names: Sequence[str], benchmark: str, kind: str, folder: Path, *, num_pages: int = 12
) -> int:
    """Returns the number of pages; UsageError where there is nothing to hear, or not two systems to choose between."""
    if kind == AB and len(names) != 2:
        raise UsageError(f"`names` must be two systems for A/B, but are {len(names)}.")
    sides = [side_of(store, name) for name in names]
    samples_by_side = [_heard(store, side, benchmark) for side in sides]
    shared = sorted(
        set.intersection(*(set(one) for one in samples_by_side)), key=lambda sample: hash_json(["page", sample])
    )
    if not shared:
        raise UsageError(
            f"`benchmark` must be one whose answers are sounds that all of {', '.join(names)} made of the same samples, but "
            f"{benchmark} has none: raise `num_made` and score again."
        )
    key: dict[str, str] = {}
    pages = []
    for sample in shared[:num_pages]:
        stimuli = [_sound(store, one[sample]["made_audio"][0], folder) for one in samples_by_side]
        key |= dict(zip(stimuli, names, strict=True))
        page = {
            "id": sample[:_SHORT],
            "text": samples_by_side[0][sample].get("reference", ""),
            "stimuli": sorted(stimuli),
        }
        recorded = samples_by_side[0][sample].get("recorded_audio", [])
        if recorded:
            page["reference"] = _sound(store, recorded[0], folder)
            key[page["reference"]] = REFERENCE
        pages.append(page)
    if kind == MUSHRA and not all("reference" in page for page in pages):
        raise UsageError(f"`kind` must be {AB} where there is nothing recorded to compare with, but is {MUSHRA}.")
    _write(folder, benchmark, kind, pages, key)
    return len(pages)


def _heard(store: Store, side: Side, benchmark: str) -> dict[str, dict[str, Any]]:
    """Sample -> its line, of those that hold a sound."""
    scores: list[Score] = [score for (name, _, _), score in sorted(side.scores.items()) if name == benchmark]
    blobs = sorted({score.predictions for score in scores if score.predictions})
    lines = [json.loads(line) for blob in blobs for line in store.open_blob(blob).read_text().splitlines()]
    return {line["sample_id"]: line for line in lines if line.get("made_audio")}


def _sound(store: Store, blob: str, folder: Path) -> str:
    """The path of a FLAC blob as WAV, below the folder: named by a hash that is not the blob's."""
    import soundfile

    samples, rate = soundfile.read(store.open_blob(blob), dtype="int16")
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate, format="WAV", subtype="PCM_16")
    name = f"sounds/{hash_bytes(wav.getvalue())[:_SHORT]}.wav"
    (folder / "sounds").mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(wav.getvalue())
    return name


def _write(folder: Path, title: str, kind: str, pages: list[dict[str, Any]], key: dict[str, str]) -> None:
    test_id = hash_json([title, kind, pages])[:_SHORT]
    test = {"title": title, "kind": kind, "id": test_id, "pages": pages}
    page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # `</` would end the script that holds it.
    test_json = json.dumps(test, ensure_ascii=False, sort_keys=True).replace("</", "<\\/")
    (folder / "index.html").write_text(page.replace("__TEST__", test_json), encoding="utf-8")
    # JSON is YAML.
    (folder / "config.yaml").write_text(
        json.dumps(webmushra(test), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    (folder / "key.json").write_text(json.dumps(key, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def webmushra(test: dict[str, Any]) -> dict[str, Any]:
    """webMUSHRA's configuration; the stimuli are called C1, C2, … in the order of their names."""
    trials: list[Any] = ["random"]
    for page in test["pages"]:
        stimuli = {f"C{number}": path for number, path in enumerate(page["stimuli"], start=1)}
        common = {
            "id": page["id"],
            "name": test["title"],
            "content": page["text"],
            "showWaveform": True,
            "enableLooping": True,
        }
        if test["kind"] == MUSHRA:
            anchors = {"createAnchor35": True, "createAnchor70": True, "strict": False, "randomize": True}
            trials.append({"type": "mushra", **common, **anchors, "reference": page["reference"], "stimuli": stimuli})
        else:
            reference = {"reference": page.get("reference", page["stimuli"][0])}
            trials.append({"type": "paired_comparison", **common, "unforced": False, **reference, "stimuli": stimuli})
    finish = {"type": "finish", "name": "Thank you", "content": "", "showResults": False, "writeResults": True}
    return {
        "testname": test["title"],
        "testId": test["id"],
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [trials, finish],
    }
