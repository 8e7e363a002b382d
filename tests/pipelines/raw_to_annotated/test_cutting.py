import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_pipelines.raw_to_annotated.cutting import cut_at_pauses, cut_evenly, cut_text, spread


def test_speech_is_cut_in_the_middle_of_a_pause() -> None:
    activity = np.ones(100, np.float32)
    activity[70:75] = 0.0
    cuts = cut_at_pauses(1000, activity, 10.0, 900)
    assert [(cut.first_sample, cut.num_samples) for cut in cuts] == [(0, 725), (725, 275)]


@given(
    num_samples=st.integers(1, 5_000),
    max_samples=st.integers(20, 1_000),
    frame=st.floats(1.0, 40.0),
    seed=st.integers(0, 5),
)
def test_cuts_at_pauses_cover_a_recording_once_and_are_short_enough(
    num_samples: int, max_samples: int, frame: float, seed: int
) -> None:
    activity = np.random.default_rng(seed).random(int(np.ceil(num_samples / frame)), np.float32)
    cuts = cut_at_pauses(num_samples, activity, frame, max_samples)
    ends = [0, *(cut.first_sample + cut.num_samples for cut in cuts)]
    assert [cut.first_sample for cut in cuts] == ends[:-1]
    assert ends[-1] == num_samples
    assert all(0 < cut.num_samples <= max_samples for cut in cuts)


def test_parts_of_one_recording_are_cut_at_the_same_places() -> None:
    shorter, longer = (cut_evenly(length, 10, 2, group_samples=95) for length in (95, 99))
    assert [cut.first_sample for cut in shorter] == [cut.first_sample for cut in longer] == [20, 70]


def test_all_pieces_are_taken_where_no_limit_is_set() -> None:
    assert [cut.num_samples for cut in cut_evenly(28, 10, 0, 28)] == [10, 10, 8]
    assert [cut.num_samples for cut in cut_evenly(7, 10, 3, 7)] == [7]


def test_chosen_items_are_spread_and_never_twice() -> None:
    assert spread(10, 2) == [2, 7]
    assert spread(3, 9) == [0, 1, 2]


@given(text=st.text(alphabet="ab .\n", max_size=400), size=st.integers(5, 60))
def test_passages_are_parts_of_the_text_in_order_and_short_enough(text: str, size: int) -> None:
    passages = cut_text(text, size)
    assert all(0 < len(passage) <= size for _, passage in passages)
    assert "".join("".join(passage.split()) for _, passage in passages) == "".join(text.split())


def test_short_paragraphs_share_a_passage_and_long_ones_end_with_a_sentence() -> None:
    assert [text for _, text in cut_text("a\n\nb\n\n" + "c" * 9, 10)] == ["a\n\nb", "c" * 9]
    assert [text for _, text in cut_text("One two three. Four five six.", 20)] == ["One two three.", "Four five six."]
