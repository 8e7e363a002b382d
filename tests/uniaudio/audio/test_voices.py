import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError

from uniaudio.audio import voices
from uniaudio.audio.voices import Stretch, cluster_voices, follow_voices


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def speakers(num_speakers: int, num_each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings around as many directions, and whose they are."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((num_speakers, 32)))
    whose = np.tile(np.arange(num_speakers), num_each)
    noise = spread * rng.standard_normal((len(whose), 32)) / np.sqrt(32)
    return unit(centres[whose] + noise), whose


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two labellings are the same clusters."""
    return bool(np.array_equal(first[:, None] == first, second[:, None] == second))


def by_hand(vectors: np.ndarray, min_similarity: float) -> np.ndarray:
    """Average linkage, one pair at a time, over all pairs."""
    members = [[row] for row in range(len(vectors))]
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    while len(members) > 1:
        best, first, second = max(
            (similar[np.ix_(members[a], members[b])].mean(), a, b) for a in range(len(members)) for b in range(a)
        )
        if best < min_similarity:
            break
        members[second] += members.pop(first)
    labels = np.empty(len(vectors), np.int64)
    for label, rows in enumerate(members):
        labels[rows] = label
    return labels


def test_clusters_are_the_speakers() -> None:
    vectors, whose = speakers(12, 9, 0.35)
    assert same(cluster_voices(vectors), whose)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), num_rows=st.integers(1, 14), min_similarity=st.floats(0.1, 0.95))
def test_joining_in_rounds_gives_the_clusters_of_joining_one_by_one(
    seed: int, num_rows: int, min_similarity: float
) -> None:
    vectors = unit(np.abs(np.random.default_rng(seed).standard_normal((num_rows, 6))))
    assert same(cluster_voices(vectors, min_similarity=min_similarity), by_hand(vectors, min_similarity))


@given(seed=st.integers(0, 10_000))
def test_clusters_and_their_numbers_follow_the_ids_whatever_the_order_of_rows(seed: int) -> None:
    vectors, _ = speakers(5, 4, 0.9)
    ids = [f"clip{row:02d}" for row in range(20)]
    order = np.random.default_rng(seed).permutation(20)
    shuffled = cluster_voices(vectors[order], [ids[row] for row in order])
    assert np.array_equal(shuffled, cluster_voices(vectors, ids)[order])


def test_a_cluster_is_numbered_by_its_first_row() -> None:
    vectors = np.eye(3, dtype=np.float32)[[2, 0, 2, 1, 0]]
    assert cluster_voices(vectors).tolist() == [0, 1, 0, 2, 1]


def test_copies_are_one_cluster() -> None:
    vectors = np.repeat(speakers(3, 1, 0.0)[0], 50, axis=0)
    assert cluster_voices(vectors).tolist() == [0] * 50 + [1] * 50 + [2] * 50


def test_rows_that_are_no_anchors_join_the_nearest_or_stay_alone_and_join_nothing() -> None:
    along = np.array([[1, 0, 0], [0, 1, 0], [0.95, 0.3, 0], [0.6, 0.6, 0.5], [0.6, 0.6, 0.5], [0.72, 0.69, 0]])
    anchors = np.array([True, True, False, False, False, False])
    assert cluster_voices(unit(along), anchors=anchors).tolist() == [0, 1, 0, 2, 3, 0]
    assert cluster_voices(unit(along), anchors=np.zeros(6, bool)).tolist() == [0, 1, 2, 3, 4, 5]
    # The last is an anchor, and what comes first is numbered first all the same.
    assert cluster_voices(np.eye(3)[[2, 0]], anchors=np.array([False, True])).tolist() == [0, 1]


def test_many_rows_are_clustered_in_parts_to_the_same_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "_EXACT_ROWS", 40)
    monkeypatch.setattr(voices, "_ROWS_A_BLOCK", 16)
    vectors, whose = speakers(7, 30, 0.35)
    assert same(cluster_voices(vectors), whose)


def test_nothing_has_no_clusters_and_wrong_shapes_are_refused() -> None:
    assert cluster_voices(np.zeros((0, 256), np.float32)).shape == (0,)
    assert cluster_voices(np.ones((1, 4), np.float32)).tolist() == [0]
    with pytest.raises(UsageError, match=r"must be \[N, D\], but is \(4,\)"):
        cluster_voices(np.zeros(4, np.float32))
    with pytest.raises(UsageError, match="`ids` must be 2, one a row, but are 1"):
        cluster_voices(np.eye(2, dtype=np.float32), ["a"])


def windows(whose: list[int], noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Embeddings of windows of 16 frames, one each 2 frames, over frames of these speakers: mixed where a window has two."""
    rng = np.random.default_rng(seed)
    centres = np.eye(8)[whose]
    starts = range(0, len(whose) - 15, 2)
    means = np.array([centres[first : first + 16].mean(axis=0) for first in starts])
    return unit(means + noise * rng.standard_normal(means.shape) / np.sqrt(8))


def test_two_voices_that_take_turns_are_followed_to_within_a_quarter_of_a_window() -> None:
    found = follow_voices(windows([0] * 60 + [1] * 50 + [0] * 40), 2, 16, 150)
    assert [stretch.voice for stretch in found] == [0, 1, 0]
    assert sum(stretch.num_frames for stretch in found) == 150
    assert abs(found[1].first_frame - 60) <= 4
    assert abs(found[2].first_frame - 110) <= 4


def test_one_voice_is_one_stretch() -> None:
    assert follow_voices(windows([3] * 90), 2, 16, 90) == [Stretch(voice=0, first_frame=0, num_frames=90)]


def test_windows_over_a_change_are_no_third_voice() -> None:
    found = follow_voices(windows([0] * 60 + [1] * 60 + [2] * 60), 2, 16, 180)
    assert [stretch.voice for stretch in found] == [0, 1, 2]


def test_a_voice_of_a_moment_is_none() -> None:
    found = follow_voices(windows([0] * 60 + [1] * 6 + [0] * 60), 2, 16, 126)
    assert [stretch.voice for stretch in found] == [0]


def test_frames_behind_the_last_window_are_its_voice() -> None:
    found = follow_voices(windows([0] * 60 + [1] * 60), 2, 16, 131)
    assert [stretch.voice for stretch in found] == [0, 1]
    assert found[-1].first_frame + found[-1].num_frames == 131


@pytest.mark.parametrize(("num_windows", "voices_found"), [(3, [0]), (9, [0, 1, 0])])
def test_a_voice_must_have_several_windows(num_windows: int, voices_found: list[int]) -> None:
    embeddings = np.eye(2)[[0] * 20 + [1] * num_windows + [0] * 20]
    found = follow_voices(embeddings, 2, 8, 2 * len(embeddings) + 6)
    assert [stretch.voice for stretch in found] == voices_found
