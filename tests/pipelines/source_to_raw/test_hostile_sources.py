"""Sources made by somebody who means ill, or by a broken disk: nothing outside is read, nothing stops the rest."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store


def test_paths_in_labels_never_leave_the_source(source: Any, tmp_path: Path) -> None:
    source.wav("corp/a.wav", "other/b.wav")
    (tmp_path / "secret.wav").write_bytes((source.root / "corp/a.wav").read_bytes())
    source.text(
        "corp/list.csv",
        "path,text",
        "a.wav,fine",
        "/etc/passwd,no",
        "../../secret.wav,no",
        "../other/b.wav,beside",
        "a.wav\0b,no",
    )
    made = source.ingest()
    assert [(row.path, row.given_text) for row in made.rows] == [("corp/a.wav", "fine"), ("other/b.wav", "beside")]
    reasons = sorted((row["row_id"], row["reason"]) for row in made.dropped)
    assert ("/etc/passwd", "outside_source") in reasons and ("../../secret.wav", "outside_source") in reasons
    assert len(reasons) == 3


def test_links_are_followed_where_that_is_asked_and_loops_end(source: Any, tmp_path: Path) -> None:
    source.wav("corp/a.wav")
    for name in ("x.wav", "deep/y.wav"):
        source.wav(f"../disk/far/{name}")
    (tmp_path / "disk/far/deep/loop").symlink_to(tmp_path / "disk/far")
    (tmp_path / "disk/far/blob.wav").symlink_to(tmp_path / "disk/far/x.wav")
    (source.root / "linked").symlink_to(tmp_path / "disk/far")
    (source.root / "corp/up").symlink_to(source.root)
    (source.root / "corp/self").symlink_to("self")
    made = source.ingest()
    assert [row.path for row in made.rows] == ["corp/a.wav"]
    dropped = {row["row_id"]: row for row in made.dropped}
    assert dropped["linked"]["reason"] == "outside_source" and "`follow_links`" in dropped["linked"]["detail"]
    assert dropped["corp/up"]["reason"] == "unsupported" and dropped["corp/self"]["reason"] == "broken_link"
    followed = source.ingest(follow_links=True)
    assert [(row.path, row.also_paths) for row in followed.rows] == [
        ("corp/a.wav", []), ("linked/blob.wav", ["linked/x.wav"]), ("linked/deep/y.wav", [])
    ]  # fmt: skip
    assert followed.reasons()["linked/deep/loop"] == "unsupported"


def test_a_card_may_ask_for_the_links_of_its_corpus_alone(source: Any, tmp_path: Path) -> None:
    source.wav("../disk/one/x.wav", "../disk/two/y.wav")
    for name in ("one", "two"):
        (source.root / name).symlink_to(tmp_path / "disk" / name)
    source.text("corpora/one.toml", "follow_links = true")
    made = source.ingest()
    assert [row.path for row in made.rows] == ["one/x.wav"]
    assert made.reasons() == {"two": "outside_source"}


def test_a_hugging_face_cache_is_read_through_its_links(source: Any) -> None:
    source.wav("hub/blobs/5f1c")
    (source.root / "hub/snapshots/main").mkdir(parents=True)
    (source.root / "hub/snapshots/main/a.wav").symlink_to("../../blobs/5f1c")
    made = source.ingest()
    assert [row.path for row in made.rows] == ["hub/snapshots/main/a.wav"]
    assert made.reasons() == {"hub/blobs/5f1c": "unsupported"}


def test_pipes_odd_names_and_folders_that_cannot_be_listed_do_not_stop_the_rest(source: Any) -> None:
    source.wav("corp/good.wav", "corp/new\nline\ttab.wav", "corp/*[1]?.wav", "corp/back\\slash.wav")
    os.mkfifo(source.root / "corp/pipe.wav")
    (source.root / "corp/zero.wav").symlink_to("/dev/zero")
    source.bytes(os.fsdecode(b"corp/\xff.wav"), b"RIFF")
    made = source.ingest()
    assert len(made.rows) == 4
    reasons = {row["row_id"]: row["reason"] for row in made.dropped}
    assert reasons == {
        "corp/pipe.wav": "unsupported",
        "corp/zero.wav": "outside_source",
        "corp/\\udcff.wav": "unsupported",
    }


def test_tars_that_point_outside_of_themselves_write_and_read_nothing_there(source: Any, tmp_path: Path) -> None:
    source.wav("corp/a.wav")
    data = (source.root / "corp/a.wav").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("ok.wav", "../up.wav", "/abs.wav"):
            info = tarfile.TarInfo(name)
            info.size = len(data) - 2
            tar.addfile(info, io.BytesIO(data[:-2]))
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    source.bytes("shards/000.tar", buffer.getvalue())
    before = sorted(tmp_path.rglob("*"))
    made = source.ingest()
    assert {row.path for row in made.rows} == {"corp/a.wav"} or {row.path for row in made.rows} >= {
        "shards/000.tar/ok.wav"
    }
    assert not [path for path in set(tmp_path.rglob("*")) - set(before) if path.suffix == ".wav"]
    assert any(row["row_id"].startswith("shards/000.tar") for row in made.dropped)


def test_json_that_is_nested_without_end_is_dropped(source: Any) -> None:
    source.wav("corp/a.wav", "corp/b.wav")
    bomb = "[" * 200_000
    source.text("corp/a.json", bomb)
    source.text("corp/list.json", bomb)
    source.text("corp/metadata.jsonl", bomb, json.dumps({"path": "a.wav", "speaker": "ann"}), '{"path": ' + bomb)
    made = source.ingest()
    assert [row.speaker for row in made.rows] == ["ann", None]
    assert sorted({row["reason"] for row in made.dropped}) == ["not_json", "unsupported"]


def test_a_field_of_70_million_characters_costs_its_row(source: Any) -> None:
    source.wav("corp/a.wav", "corp/b.wav")
    source.text("corp/list.csv", "path,text", "a.wav,short", "b.wav," + "x" * 70_000_000)
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["short", None]
    assert made.reasons() == {"corp/list.csv": "line_too_long"}


def test_a_source_of_cards_alone_is_refused(source: Any) -> None:
    source.text("corpora/x.toml", 'licence = "CC0-1.0"')
    with pytest.raises(UsageError, match="has none that can be used"):
        source.job().plan(Store(source.store))
