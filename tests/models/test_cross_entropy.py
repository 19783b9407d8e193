"""The head's cross-entropy in slices is the plain one, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from scaling.models import cross_entropy
from scaling.models.cross_entropy import linear_cross_entropy


def drawn(tokens: int, codes: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, width, generator=generator)
    weight = torch.randn(codes, width, generator=generator)
    targets = torch.randint(codes, (tokens,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight), targets, reduction="none")


@settings(deadline=None)
@given(
    tokens=st.integers(1, 30),
    codes=st.integers(1, 20),
    at_once=st.sampled_from([1, 7, 40, 2**23]),
)
def test_losses_and_gradients_are_those_of_the_plain_way(
    tokens: int, codes: int, at_once: int
) -> None:
    given_ones = drawn(tokens, codes, 5)
    hidden, weight, _ = given_ones
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "AT_ONCE", at_once)
        total, losses = linear_cross_entropy(*given_ones)
    expected = plain(*given_ones)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(total, expected.sum())
    found = torch.autograd.grad(total / tokens, (hidden, weight))
    known = torch.autograd.grad(expected.sum() / tokens, (hidden, weight))
    for mine, theirs in zip(found, known, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_target_of_no_probability_has_a_finite_loss() -> None:
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[-500.0], [500.0]])
    _, losses = linear_cross_entropy(hidden, weight, torch.tensor([0]))
    assert losses.tolist() == [1000.0]


def test_a_loss_that_is_not_a_number_is_seen() -> None:
    hidden, weight, targets = drawn(4, 3, 2)
    with torch.no_grad():
        hidden[1] = torch.nan
    total, losses = linear_cross_entropy(hidden, weight, targets)
    assert total.isnan()
    assert losses.isnan().tolist() == [False, True, False, False]


def test_without_gradients_none_is_computed() -> None:
    hidden, weight, targets = drawn(6, 9, 4)
    with torch.no_grad():
        total, losses = linear_cross_entropy(hidden, weight, targets)
    assert not total.requires_grad
    torch.testing.assert_close(losses, plain(hidden, weight, targets).detach())


def test_in_bfloat16_gradients_have_the_weights_type() -> None:
    hidden, weight, targets = drawn(40, 9, 16)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = linear_cross_entropy(hidden, weight, targets)
    found = torch.autograd.grad(total, (hidden, weight))
    known = torch.autograd.grad(plain(hidden, weight, targets).sum(), (hidden, weight))
    for mine, theirs in zip(found, known, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.15)


def test_a_second_backward_pass_is_refused() -> None:
    total, _ = linear_cross_entropy(*drawn(4, 3, 2))
    total.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(AttributeError, match="gradients"):
        total.backward()  # type: ignore[no-untyped-call]
