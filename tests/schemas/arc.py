"""A small store with every kind: two corpora, tars of pretended audio, a mixture, an example of two clips, scores with predictions.

Whatever comes from clip 3 holds the word `SECRET`. `python arc.py ROOT SOURCE` forgets a source; the crash tests kill it.
"""

import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniaudio_schemas.fingerprint import hash_bytes, short
from uniaudio_schemas.history.forget import Forgotten, finish, forget, survey
from uniaudio_schemas.kinds.instructions import Instruction, Recipe
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.kinds.sequences import train_statistics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import clip_id, example_rows

SECRET = b"SECRET"
CORPORA = {"bells": (0, 1), "queen": (2, 3, 4)}
"""Clip numbers; clip 3 is mixed with clip 4, and clip 1 stands in an example with clip 0."""


def word(number: int) -> str:
    return f"{'SECRET' if number == 3 else 'plain'} {number}"


def audio(number: int) -> bytes:
    return word(number).encode() * 200


def publish(
    store: Store, kind: str, parents: dict[str, str], units: dict[str, dict[str, Any]], **more: Any
) -> Manifest:
    plan = Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents=parents,
        parameters=more,
        code_version="arc-1",
        units=sorted(units),
    )
    with store.writer(plan, owner="test") as writer:
        for unit in sorted(units):
            blobs = [writer.put_blob(blob) for blob in units[unit].pop("data", [])]
            writer.put_shard(unit, **units[unit], blobs=blobs)
        return writer.publish()


def make_arc(root: Path, **more: Any) -> Store:
    """`more`: parameters of the version of raw, to make another one of the same files."""
    store = Store(root)
    raw = publish(store, "raw", {}, {f"{corpus}-00000": _raw_unit(corpus) for corpus in CORPORA}, **more)
    publish(store, "evalset", {"raw": raw.content_id}, {f"{name}-00000": _evalset_unit(name) for name in CORPORA})
    publish(store, "cuts", {"raw": raw.content_id}, {f"{name}-00000": _cuts_unit(name) for name in CORPORA})
    annotated = publish(
        store, "annotated", {"raw": raw.content_id}, {f"{name}-00000": _annotated_unit(name) for name in CORPORA}
    )
    instructions = publish(
        store, "instructions", {"annotated": annotated.content_id},
        {f"{name}-00000": {"rows": _instructions(name), "statistics": {"audio_s": 0.0}} for name in CORPORA},
    )  # fmt: skip
    codec = publish(
        store, "codec", {"annotated": annotated.content_id, "raw": raw.content_id}, {"codec": _model("codec")}
    )
    parents = {"instructions": instructions.content_id, "codec": codec.content_id, "annotated": annotated.content_id}
    clips = [row for number in range(5) for row in example_rows("tokens", first=number)]
    clips += [replace(row, clip_id=mixture().clip_id) for row in example_rows("tokens", first=9)]
    units = {f"clips-{part}": {"rows": clips[part::2], "metadata": {"codec_fingerprint": "c"}} for part in range(2)}
    tokens = publish(store, "tokens", {**parents, "raw": raw.content_id}, units)
    sequences = publish(
        store,
        "sequences",
        {**parents, "tokens": tokens.content_id},
        {f"{name}-00000": _sequences(name) for name in CORPORA},
    )
    checkpoint = publish(store, "checkpoint", {"sequences": sequences.content_id}, {"stage1": _model("checkpoint")})
    parents = {**parents, "sequences": sequences.content_id, "checkpoint": checkpoint.content_id}
    publish(store, "scores", parents, {name: _scores(name) for name in CORPORA})
    parents = {"codec": codec.content_id, "annotated": annotated.content_id, "raw": raw.content_id}
    publish(store, "codec_scores", parents, {name: _codec_scores(name) for name in CORPORA})
    return store


def _raw_unit(corpus: str) -> dict[str, Any]:
    file, rows = io.BytesIO(), []
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in CORPORA[corpus]:
            offset = int(tar.offset) + tarfile.BLOCKSIZE
            for suffix, data in (("flac", audio(number)), ("json", word(number).encode())):
                info = tarfile.TarInfo(f"{clip_id(number)}.{suffix}")
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
            (row,) = example_rows("raw", first=number)
            named = {"corpus": corpus, "path": f"{corpus}/{number}.wav", "given_text": word(number)}
            rows.append(replace(row, **named, tar_offset=offset, tar_size=len(audio(number))))
    data = file.getvalue()
    rows = [replace(row, tar=hash_bytes(data)) for row in rows]
    return {"rows": rows, "data": [data], "statistics": {"audio_s": 0.8 * len(rows), "source_bytes": 9.0}}


def _evalset_unit(corpus: str) -> dict[str, Any]:
    rows = [replace(example_rows("evalset", first=number)[0], text=word(number)) for number in CORPORA[corpus]]
    return {"rows": rows}


def _cuts_unit(corpus: str) -> dict[str, Any]:
    rows = [
        replace(example_rows("cuts", first=number)[0], corpus=corpus, transcript=word(number))
        for number in CORPORA[corpus]
    ]
    return {"rows": rows, "statistics": {"audio_s": 0.8 * len(rows), "speech_s": 0.8 * len(rows)}}


def _annotated_unit(corpus: str) -> dict[str, Any]:
    rows = [
        replace(example_rows("annotated", first=number)[0], corpus=corpus, transcript=word(number))
        for number in CORPORA[corpus]
    ]
    return {"rows": rows, "statistics": {"audio_s": 0.8 * len(rows), "speech_s": 0.8 * len(rows)}}


def mixture() -> Recipe:
    parents = [clip_id(3), clip_id(4)]
    return Recipe(
        clip_id=short(hash_bytes(b"mix")), operation="mix", parents=parents, parameters="{}", seed=0, num_samples=19_200
    )


def _instructions(corpus: str) -> list[Instruction]:
    rows = []
    for number in CORPORA[corpus]:
        (row,) = example_rows("instructions", first=number)
        segments = [
            replace(segment, text=word(number), clip_id=segment.clip_id and clip_id(number)) for segment in row.segments
        ]
        rows.append(replace(row, corpus=corpus, segments=segments, recipes=[], clip_ids=[clip_id(number)]))
    if corpus == "queen":
        recipe = mixture()
        clips = [recipe.clip_id, *recipe.parents]
        rows.append(replace(rows[-1], instruction_id=short(hash_bytes(b"both")), recipes=[recipe], clip_ids=clips))
    return rows


def _sequences(corpus: str) -> dict[str, Any]:
    (row,) = example_rows("sequences")
    rows = [
        replace(row, sequence_id=one.instruction_id, corpus=corpus, clip_ids=one.clip_ids)
        for one in _instructions(corpus)
    ]
    return {"rows": rows, "statistics": {"num_positions": 35.0 * len(rows), **train_statistics(rows)}}


def _model(kind: str) -> dict[str, Any]:
    (row,) = example_rows(kind)
    return {"rows": [replace(row, weights=hash_bytes(b"weights"))], "data": [b"weights"]}


def _scores(corpus: str) -> dict[str, Any]:
    lines = [{"sequence_id": one.instruction_id, "answer": one.segments[0].text} for one in _instructions(corpus)]
    predictions = "\n".join(json.dumps(line) for line in lines).encode()
    (row,) = example_rows("scores")
    score: Score = replace(
        row,
        score_id=short(hash_bytes(corpus.encode())),
        benchmark=corpus,
        predictions=hash_bytes(predictions),
        media=[],
    )
    return {"rows": [score], "data": [predictions]}


def _codec_scores(corpus: str) -> dict[str, Any]:
    lines = [{"clip_ids": [clip_id(number)], "heard": word(number)} for number in CORPORA[corpus]]
    predictions = "\n".join(json.dumps(line) for line in lines).encode()
    (row,) = example_rows("codec_scores")
    score = replace(row, score_id=short(hash_bytes(corpus.encode())), predictions=hash_bytes(predictions))
    return {"rows": [score], "data": [predictions]}


def run_forget(root: Path, source: str) -> Forgotten | None:
    """As the command does: end what was begun, then the source, unless nothing is left of it."""
    store = Store(root)
    if finish(store):
        return None
    return forget(store, survey(store, source))


if __name__ == "__main__":
    run_forget(Path(sys.argv[1]), sys.argv[2])
