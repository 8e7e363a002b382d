"""The CTC head: what it spells, what its loss is, and that what is behind the end plays no part."""

import itertools
import math

import pytest
import torch

from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.ctc import BLANK, CtcHead
from uniaudio.codec.reasoning import ReasoningBranch

DIM = 16


@pytest.fixture
def head() -> CtcHead:
    torch.manual_seed(0)
    return CtcHead(DIM, 2).eval()


def frames(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(1))


def every_frame(reasoning: torch.Tensor) -> torch.Tensor:
    return torch.ones(reasoning.shape[:2], dtype=torch.bool)


def test_the_loss_is_that_of_all_ways_to_spell_a_text(head: CtcHead) -> None:
    reasoning, text = frames(1, 2), b"ab"
    log_p = head(reasoning)[0].double().log_softmax(dim=-1)
    used = [*text, BLANK]
    ways = [
        sum(log_p[slot, one] for slot, one in enumerate(path))
        for path in itertools.product(used, repeat=len(log_p))
        if bytes(one for one, _ in itertools.groupby(path) if one != BLANK) == text
    ]
    nats = -torch.stack(ways).logsumexp(0) / len(text)
    assert math.isclose(head.loss(reasoning, every_frame(reasoning), ["ab"]).item(), nats.item(), rel_tol=1e-5)


def test_a_text_that_has_no_room_is_left_out(head: CtcHead) -> None:
    reasoning = frames(2, 2)
    valid = every_frame(reasoning)
    alone = head.loss(reasoning[:1], valid[:1], ["ab"])
    assert torch.allclose(head.loss(reasoning, valid, ["ab", "12345"]), alone)
    # Four slots hold four letters, but not three of which two are the same twice over.
    assert torch.allclose(head.loss(reasoning, valid, ["ab", "ccc"]), alone)
    assert [head.fits(text, 2) for text in ("ab", "12345", "ccc", "abc")] == [True, False, False, True]
    nothing = head.loss(reasoning, valid, ["", "12345"])
    nothing.backward()  # type: ignore[no-untyped-call]
    assert nothing.item() == 0


def test_what_is_behind_the_end_plays_no_part(head: CtcHead) -> None:
    short, valid = frames(1, 3), torch.tensor([[True, True, True, False, False]])
    padded = torch.cat([short, 100 * frames(1, 2)], dim=1)
    assert torch.allclose(head(padded, valid)[:, : 3 * 2], head(short), atol=1e-5)
    assert head.texts(padded, valid) == head.texts(short)
    assert torch.allclose(head.loss(padded, valid, ["ab"]), head.loss(short, valid[:, :3], ["ab"]), atol=1e-5)


def test_repetitions_and_blanks_are_no_letters(head: CtcHead, monkeypatch: pytest.MonkeyPatch) -> None:
    path = [*b"aab", BLANK, BLANK, *b"bb", *"č".encode()]
    logits = torch.nn.functional.one_hot(torch.tensor([path]), BLANK + 1).float()
    monkeypatch.setattr(CtcHead, "forward", lambda self, reasoning, valid: logits)
    assert head.texts(torch.zeros(1, 5, DIM)) == ["abbč"]


def test_it_learns_to_spell(head: CtcHead) -> None:
    reasoning, texts = frames(3, 6), ["one", "čtyři", "no, two"]
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(reasoning, every_frame(reasoning), texts).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert head.texts(reasoning) == texts


def test_released_and_debug_codecs_have_none() -> None:
    assert ReasoningBranch(CodecConfig.preset("debug")).ctc is None
    assert "num_ctc_slots" not in CodecConfig.preset("released").to_dict()
    assert CodecConfig.preset("starter").to_dict()["num_ctc_slots"] == 8
