import random

import pytest

from uniaudio.text import overlap
from uniaudio.text.overlap import MAX_TEXTS_OF_A_RUN, REFERENCE_BREAK, RUN_WORDS, TextIndex, shared_text

WORDS = [f"word{number}" for number in range(500)]
LINE = "He hoped there would be stew for dinner, turnips and carrots and bruised potatoes!"
CHINESE = "今天天气非常好我们一起去公园里面散步吧好不好呢朋友"


def words(seed: int, count: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def found(references: list[str], texts: list[str | None]) -> list[tuple[int, str]]:
    """(number of the text, item) of each match; items are named by the references' numbers."""
    index = TextIndex.build(("set", str(number), text) for number, text in enumerate(references))
    table = shared_text(index, texts)
    return list(zip(table["row"].to_pylist(), table["item"].to_pylist(), strict=True))


def test_a_long_run_is_found_whatever_its_case_and_punctuation_and_what_stands_around_it() -> None:
    inside = "At noon — he hoped there would be STEW for dinner; turnips and carrots and bruised potatoes, or not"
    assert found([LINE], ["nothing of it", inside, None, ""]) == [(1, "0")]


def test_thirteen_words_are_a_long_run_and_twelve_are_not() -> None:
    reference = words(0, 40)
    run = reference.split()[7 : 7 + 13]
    assert found([reference], [f"some {' '.join(run)} words"]) == [(0, "0")]
    assert found([reference], [f"some {' '.join(run[:-1])} words"]) == []


def test_a_run_does_not_go_from_one_text_into_the_next() -> None:
    reference = words(0, 20).split()
    halves = [" ".join(reference[:10]), " ".join(reference[10:])]
    assert found([" ".join(reference)], halves) == []
    assert found([f"a {halves[0]}", f"{halves[1]} b"], [f"c {halves[0]}", f"{halves[1]} d"]) == []


def test_the_score_is_the_share_of_the_references_runs() -> None:
    reference = words(0, RUN_WORDS + 9)
    part = " ".join(reference.split()[:RUN_WORDS])
    index = TextIndex.build([("set", "a", reference)])
    # Said twice, it is no more of the reference.
    assert shared_text(index, [reference, part, f"{part} and {part}"])["score"].to_pylist() == [1.0, 0.1, 0.1]
    assert shared_text(index, [f"so {part}"])["detail"].to_pylist() == [part]


@pytest.mark.parametrize("line", ["yes", "please hold", "I am so ok to do it", "对不起请稍等"])
def test_a_stock_line_is_no_leak(line: str) -> None:
    assert found([line], [line]) == []


@pytest.mark.parametrize(
    "line", ["Please enter your conference number.", "今天天气非常好我们走吧", "กรุณารอสักครู่นะครับผม"]
)
def test_a_shorter_reference_is_shared_where_the_whole_text_is_the_same(line: str) -> None:
    assert found([line], [f"  {line.upper()} …", f"{line} now", line[:-3]]) == [(0, "0")]


def test_without_spaces_characters_count_and_spaces_say_nothing() -> None:
    spaced = " ".join(CHINESE[2:22])
    assert found([CHINESE], [f"我说{spaced}", CHINESE[2:21]]) == [(0, "0")]
    # Thirteen characters are a long run of words only where words have spaces.
    assert found([CHINESE], [CHINESE[:15]]) == []


def test_a_set_of_two_scripts_is_compared_in_both() -> None:
    assert found([CHINESE, LINE], [f"x {LINE}", f"我{CHINESE}", CHINESE[:15]]) == [(0, "1"), (1, "0")]


def test_what_stands_in_many_items_of_a_set_is_its_boilerplate() -> None:
    start = words(1, RUN_WORDS)
    few = [f"{start} {words(10 + number, 20)}" for number in range(MAX_TEXTS_OF_A_RUN)]
    assert found(few, [start]) == [(0, str(number)) for number in range(MAX_TEXTS_OF_A_RUN)]
    many = [*few, f"{start} {words(99, 20)}"]
    assert found(many, [start]) == []
    assert found(many, [many[4]]) == [(0, "4")], "what is an item's own is still found"


def test_boilerplate_is_counted_in_each_set_alone() -> None:
    start = words(1, RUN_WORDS)
    texts = [f"{start} {words(10 + number, 20)}" for number in range(2 * MAX_TEXTS_OF_A_RUN)]
    index = TextIndex.build(("ab"[number % 2], str(number), text) for number, text in enumerate(texts))
    assert len(shared_text(index, [start])) == 2 * MAX_TEXTS_OF_A_RUN


def test_a_sentence_that_many_items_of_a_set_are_is_no_boilerplate() -> None:
    assert found([LINE] * 50, [LINE]) == [(0, "0")]


def test_items_of_several_sets_are_each_found() -> None:
    index = TextIndex.build([("a", "1", LINE), ("b", "2", LINE)])
    assert shared_text(index, [LINE]).select(["name", "item"]).to_pylist() == [
        {"name": "a", "item": "1"}, {"name": "b", "item": "2"}
    ]  # fmt: skip


def test_each_of_an_items_references_counts_and_no_run_goes_across() -> None:
    first, second = words(0, 8), words(1, 8)
    assert found([f"{first}{REFERENCE_BREAK}{second}"], [first, second, f"{first} {second}"]) == [(0, "0"), (1, "0")]


def test_a_run_is_found_in_a_long_document_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small, so that slices and blocks end inside the document: at no place of the run is it lost.
    monkeypatch.setattr(overlap, "_SLICE", 700)
    monkeypatch.setattr(overlap, "_SLICE_OVERLAP", 200)
    monkeypatch.setattr(overlap, "_BLOCK_BYTES", 2_000)
    run = words(0, RUN_WORDS)
    for place in range(0, 300, 7):
        document = f"{words(1, place)} {run} {words(2, 300 - place)}"
        assert found([run], [words(3, 5), document]) == [(1, "0")]
        assert found([document], [words(3, 5), run]) == [(1, "0")]


def test_without_a_reference_nothing_is_shared() -> None:
    assert found([], [LINE]) == []
    assert found(["", "ok"], [LINE, "ok"]) == []


def test_a_lone_surrogate_is_no_obstacle() -> None:
    assert found([f"{LINE}\ud800"], [f"\udfff{LINE}"]) == [(0, "0")]
