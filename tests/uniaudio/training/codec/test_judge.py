"""Judges of phase `grpo`: a verdict is read whole or not at all, and no score but 0 to 1 becomes a reward."""

from typing import Any

import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.grpo_reward import reward
from uniaudio.training.codec.judge import read_verdict

SPEECH = ClipFacts(domain="speech", transcript="let's go", caption="a man speaks")
RIGHT = 'Audio: speech\nDetails: "let\'s go"\nMeaning: a man speaks'


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"scores": [10, 5], "unsupported": 1}', 0.65),
        ('Sure! {"scores": [10, 10]} I hope this helps.', 1.0),
        ('{"scores": [10, 10], "why": {"Audio": "right"}}', 1.0),
        ('{"scores": [10, 10], "unsupported": 99}', 0.0),
        ('{"scores": [10, 10], "unsupported": Infinity}', 0.0),
        ('{"scores": [99, 10]}', 0.0),
        ('{"scores": [10, -3]}', 0.0),
        ('{"scores": [10, 10], "unsupported": -4}', 0.0),
        ('{"scores": [10, 10], "unsupported": NaN}', 0.0),
        ('{"scores": [10, 10], "unsupported": "2"}', 0.0),
        ('{"scores": [10]}', 0.0),
        ('{"scores": [10, 10, 10]}', 0.0),
        ('{"scores": [NaN, 10]}', 0.0),
        ('{"scores": [Infinity, 10]}', 0.0),
        ('{"scores": [true, 10]}', 0.0),
        ('{"scores": [1' + "0" * 500 + ", 10]}", 0.0),
        ('{"scores": "10"}', 0.0),
        ('{"scores": {"Audio": 10, "Meaning": 10}}', 0.0),
        ('{"points": 3}', 0.0),
        ("I cannot say.", 0.0),
        ('{"scores": ' + "[" * 100_000, 0.0),
        ("", 0.0),
    ],
)
def test_a_verdict_is_read_whatever_a_model_writes_around_it_and_counts_0_where_it_is_none(
    reply: str, score: float
) -> None:
    assert read_verdict(reply, 2) == pytest.approx(score)


def test_reading_a_verdict_takes_time_in_proportion_to_its_length() -> None:
    """The square of this length would be hours."""
    assert read_verdict("{" * 10_000_000, 2) == 0.0


@pytest.mark.parametrize(
    "scores", [[float("nan"), 1.0], [1.0], [1.0] * 3, [5.0, 0.0], [-0.1, 0.0], [None, 1.0], ["a", "b"]]
)
def test_scores_of_a_judge_that_are_none_are_an_error_that_names_the_judge(scores: list[Any]) -> None:
    class OddJudge:
        def scores(self, answers: object, facts: object) -> list[float]:
            return scores

    with pytest.raises(UsageError, match="`judge` must give each of 2 answers 0 to 1, but OddJudge gives"):
        reward([RIGHT, RIGHT], [SPEECH, SPEECH], OddJudge())
