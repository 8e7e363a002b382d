"""Preference tuning on several ranks: margins and losses of one, with the reference as sharded as the model."""

from pathlib import Path

import pytest

from tests.uniaudio.training.lm import test_ranks

STAGE = {
    "name": "stage6",
    "beta": 0.1,
    "chosen_weight": 0.1,
    "condition_dropout": 0.0,
    "context": 192,
    "mixture": [{"first_step": 0, "weights": [["preference", 1.0]]}],
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_ranks, "RANK", Path(__file__).with_name("rank_of_pairs.py"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ranks_have_the_margins_of_one_and_go_on_alone(tmp_path: Path, precision: str) -> None:
    stage = {**STAGE, "precision": precision, "recompute": "blocks"}
    alone = test_ranks.run(tmp_path / "alone", stage=stage)
    together = test_ranks.run(tmp_path / "together", 2, stage=stage)
    after = test_ranks.run(tmp_path / "after", 1, stage=stage, resume_from=str(tmp_path / "together" / "2"))
    margins = [name for name in alone if name.startswith(("margin@", "held_out_margin/"))]
    assert len(margins) > 6
    assert max(alone[name] for name in margins) > 1.0
    for points in (together, after):
        worst = max(test_ranks.differences(alone, points).values())
        far = max(abs(alone[name] - points[name]) for name in margins if name in points)
        # Sums of many nats: rounding grows with them.
        assert (worst, far) < ((1e-6, 1e-4) if precision == "float32" else (0.02, 1.0))


def test_two_copies_have_the_margins_of_one(tmp_path: Path) -> None:
    alone, copies = (test_ranks.run(tmp_path / str(n), n, stage=STAGE, shard_over=1) for n in (1, 2))
    assert max(test_ranks.differences(alone, copies).values()) < 1e-6
