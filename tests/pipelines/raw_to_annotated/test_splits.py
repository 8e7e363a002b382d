from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_pipelines.raw_to_annotated.splits import NOT_GIVEN, SPLITS, TEST, TRAIN, VAL, assign_splits, connect


def assign(groups: list[str], corpora: list[int] | None = None, splits: list[int] | None = None) -> list[int]:
    """One clip a group."""
    count = len(groups)
    corpus = np.array(corpora or [0] * count)
    found = assign_splits(
        groups, np.arange(count), corpus, np.zeros(count, np.int64), np.array(splits or [NOT_GIVEN] * count)
    )
    return [int(split) for split in found]


def by_name(clips: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """(corpus, group, domain) of every clip -> group -> split."""
    clips = list(clips)
    columns = [np.array([clip[side] for clip in clips], object) for side in range(3)]  # numpy would drop a last NUL
    names, group = np.unique(columns[1], return_inverse=True) if clips else ([], np.zeros(0, np.int64))
    corpus, domain = (np.unique(column, return_inverse=True)[1] for column in (columns[0], columns[2]))
    found = assign_splits([str(name) for name in names], group, corpus, domain, np.full(len(clips), NOT_GIVEN))
    return {clip[1]: SPLITS[split] for clip, split in zip(clips, found, strict=True)}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6)), max_size=25))
def test_clips_hang_together_exactly_where_a_chain_of_equal_keys_joins_them(pairs: list[tuple[int, int]]) -> None:
    keys = [np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1)]
    labels = connect(len(pairs), keys).tolist()
    expected = list(range(len(pairs)))
    for _ in pairs:
        for one in range(len(pairs)):
            for other in range(one):
                if any(key[one] == key[other] >= 0 for key in keys):
                    expected[one] = expected[other] = min(expected[one], expected[other])
    assert labels == expected


def test_every_corpus_of_three_groups_has_all_splits_and_a_smaller_one_is_trained_on() -> None:
    for names in ("abc", "def", "xyz"):
        assert sorted(assign([f"{name}-voice" for name in names])) == [TRAIN, VAL, TEST]
    # A domain is not left without anything held out, where it has a group to spare.
    assert sorted(assign(["a", "b"])) == [TRAIN, VAL]
    assert assign(["a"]) == [TRAIN]


def test_a_new_group_moves_no_other() -> None:
    names = [f"voice {number}" for number in range(60)]
    before = assign(names)
    assert set(before) == {TRAIN, VAL, TEST}
    assert assign([*names, "one more"])[:-1] == before


def test_given_splits_are_kept_and_what_hangs_together_with_a_held_out_clip_is_held_out() -> None:
    group = np.array([0, 0, 0, 1, 1])
    given = np.array([TRAIN, TEST, NOT_GIVEN, TRAIN, NOT_GIVEN])
    zeros = np.zeros(5, np.int64)
    found = assign_splits(["mixed", "trained"], group, zeros, zeros, given).tolist()
    assert found == [TRAIN, TEST, TEST, TRAIN, TRAIN]


@pytest.mark.parametrize("split", [TRAIN, VAL, TEST])
def test_a_group_with_a_given_split_is_never_moved_to_fill_another(split: int) -> None:
    names = [f"given {number}" for number in range(5)]
    assert assign(names, splits=[split] * 5) == [split] * 5


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30).map(str)), max_size=60))
def test_every_corpus_of_three_groups_has_all_three_splits(groups: list[tuple[str, str]]) -> None:
    # Groups of one corpus only: where corpora share groups, the first one may take what another needs.
    groups = [(corpus, f"{corpus}/{group}") for corpus, group in groups]
    splits = by_name((corpus, group, "speech") for corpus, group in groups)
    for corpus in {corpus for corpus, _ in groups}:
        members = {group for name, group in groups if name == corpus}
        found = {splits[group] for group in members}
        if len(members) >= 3:
            assert found == {"train", "val", "test"}


def test_splits_do_not_depend_on_the_order_or_on_other_corpora() -> None:
    groups = [("a", f"g{number}", "speech") for number in range(40)]
    alone = by_name(groups)
    together = by_name([*[("b", f"h{number}", "speech") for number in range(9)], *reversed(groups)])
    assert {name: together[name] for name in alone} == alone


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30).map(str)), max_size=12))
def test_a_corpus_of_one_or_two_groups_is_trained_on_where_another_holds_some_out(
    groups: list[tuple[str, str]],
) -> None:
    few = {(corpus, f"{corpus}/{group}", "speech") for corpus, group in groups}
    few = {one for one in few if sum(other[0] == one[0] for other in few) <= 2}
    splits = by_name([*few, *(("large", f"l{number}", "speech") for number in range(9))])
    assert {splits[group] for _, group, _ in few} <= {"train"}


@settings(deadline=None)
@given(st.sets(st.text(max_size=4), min_size=1, max_size=8))
def test_a_domain_of_small_corpora_holds_one_group_out_and_trains_on_the_rest(names: set[str]) -> None:
    music = [(f"corpus of {name}", f"song {name}", "music") for name in sorted(names)]
    splits = by_name([*music, *(("large", f"l{number}", "speech") for number in range(9))])
    found = sorted(splits[group] for _, group, _ in music)
    assert found == ["train"] * (len(music) - 1) + (["val"] if len(music) > 1 else ["train"])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_about_the_stated_share_of_groups_is_in_each_split(split: str) -> None:
    splits = by_name([("a", str(number), "speech") for number in range(2_000)])
    share = sum(value == split for value in splits.values()) / 2_000
    assert abs(share - {"train": 0.8, "val": 0.1, "test": 0.1}[split]) < 0.03
