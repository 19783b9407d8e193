"""The norm and its gradients are torch's, and less is kept for them."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.models.norm import RMSNorm


@settings(deadline=None)
@given(
    shape=st.sampled_from([(1,), (9,), (2, 3), (1, 4, 2)]),
    width=st.integers(1, 20),
    scale=st.floats(1e-3, 1e3),
)
def test_is_torch_s_with_its_gradients(
    shape: tuple[int, ...], width: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(width)
    x = (scale * torch.randn(*shape, width, generator=generator)).requires_grad_()
    upstream = torch.randn(*shape, width, generator=generator)
    ours, plain = RMSNorm(width), torch.nn.RMSNorm(width, eps=1e-5)
    for norm in (ours, plain):
        torch.nn.init.normal_(norm.weight, generator=generator.manual_seed(1))
    found, known = ours(x), plain(x)
    torch.testing.assert_close(found, known)
    mine = torch.autograd.grad(found, (x, ours.weight), upstream)
    theirs = torch.autograd.grad(known, (x, plain.weight), upstream)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 / scale)


def test_gradients_in_float64() -> None:
    norm = RMSNorm(5).double()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_a_row_of_zeros_stays_one() -> None:
    assert torch.equal(RMSNorm(3)(torch.zeros(2, 3)), torch.zeros(2, 3))
