"""Whatever several labels say of one recording is in its row, or in a problem of it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from uniaudio_pipelines.source_to_raw.clips import Copy, wanted
from uniaudio_pipelines.source_to_raw.formats.format import Label
from uniaudio_schemas.kinds.raw import Fact

WORDS = st.sampled_from(["ann", "bob", "one two", "one  two", "Gru\u0308\u00dfe", "Gr\u00fc\u00dfe"])
ONE = ("speaker", "given_text", "given_title", "language", "licence", "split_group", "part_of", "part")
TAGS = st.lists(st.sampled_from(["dog", "cat", "rain"]), max_size=2).map(tuple)
LABELS = st.builds(
    Label, path=st.just("x.wav"), **{name: st.none() | WORDS for name in ONE}, given_captions=TAGS, given_tags=TAGS,
    split=st.none() | st.sampled_from(["train", "val", "test"]),
    facts=st.lists(st.builds(Fact, name=WORDS, value=WORDS), max_size=2).map(tuple),
)  # fmt: skip
COPIES = st.lists(st.lists(LABELS, max_size=2), min_size=1, max_size=2)


def copies(said: list[list[Label]], **says: Any) -> list[Copy]:
    return [
        Copy(path=f"{index}/x.wav", corpus=str(index), labels=tuple(labels), says=says) for index, labels in enumerate(said)
    ]  # fmt: skip


def plain(text: str) -> str:
    return " ".join(text.replace("u\u0308", "\u00fc").split())


@given(COPIES)
def test_every_value_is_believed_or_named(said: list[list[Label]]) -> None:
    (clip,) = wanted(copies(said), 8_000, 1, 1.0)
    labels = [label for labels in said for label in labels]
    for name in (*ONE, "split"):
        values = [value for label in labels if (value := getattr(label, name))]
        found = {plain(value) for value in values}
        conflicts = [one for one in clip.problems if one.startswith(f"conflicting_metadata: {name}: ")]
        assert len(conflicts) == 0 if len(found) <= 1 else conflicts
        named = {plain(part) for one in conflicts for part in one.partition(f"{name}: ")[2].split(" / ")}
        assert found <= named | {plain(clip.said.get(name, ""))}
        if name == "split":
            assert clip.said.get(name) == next((one for one in ("test", "val", "train") if one in values), None)
        else:
            assert clip.said.get(name) == (values[0] if values else None)
    for name in ("given_captions", "given_tags", "facts"):
        assert set(clip.said.get(name, ())) == {one for label in labels for one in getattr(label, name)}


@given(COPIES)
def test_the_order_of_copies_changes_which_is_believed_and_not_what_is_told(said: list[list[Label]]) -> None:
    (first,), (second,) = (wanted(copies(order), 8_000, 1, 1.0) for order in (said, said[::-1]))
    assert first.said.keys() == second.said.keys()
    assert {one.split(": ")[1] for one in first.problems} == {one.split(": ")[1] for one in second.problems}


@given(COPIES, WORDS)
def test_what_a_card_says_fills_gaps_and_contradicts_nobody(said: list[list[Label]], licence: str) -> None:
    (clip,) = wanted(copies(said, licence=licence), 8_000, 1, 1.0)
    (bare,) = wanted(copies(said), 8_000, 1, 1.0)
    given_by_labels = {label.licence for labels in said for label in labels} - {None}
    if not given_by_labels:
        assert clip.said["licence"] == licence
        assert clip.problems == bare.problems


def test_two_alignments_of_other_words_are_told(source: Any) -> None:
    source.wav("a/x.wav", seconds=1.0)
    source.text("a/x.ctm", "x 1 0.1 0.2 good", "x 1 0.4 0.2 day")
    source.text("a/x.lab", "0 2000000 hello")
    row = source.ingest().row
    assert row.problems == [
        "conflicting_metadata: given_text: good day / hello",
        "conflicting_metadata: given_words: 2 words / 1 words",
    ]
    assert [one.word for one in row.given_words] == ["good", "day"]


def test_the_text_of_a_recording_that_is_cut_is_told_where_its_cuts_do_not_say_it(source: Any) -> None:
    source.wav("a/x.wav", "b/x.wav", seconds=2.0)
    for corpus, text in (("a", "Good day. Bye"), ("b", "another text")):
        source.text(
            f"{corpus}/x.srt",
            "1",
            "00:00:00,100 --> 00:00:01,000",
            "Good day.",
            "",
            "2",
            "00:00:01,100 --> 00:00:01,900",
            "Bye",
        )
        source.text(f"{corpus}/list.csv", "file,text", f'x.wav,"{text}"')
    made = source.ingest()
    assert [row.given_text for row in made.rows] == ["Good day.", "Bye"] * 2
    (lost,) = made.dropped
    assert (lost["row_id"], lost["reason"]) == ("b/x.wav", "text_of_the_whole") and lost["detail"].endswith(
        "another text"
    )
