"""Short algorithms convolve as torch does, to rounding, with the same bits again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.models import convolution
from scaling.models.bilinear import strided, upsampled, upsampled_twice
from scaling.models.convolution import BATCH, Conv1d, UpsamplingConv1d

LAYERS = {
    "three taps": (3, 1, 1, 1),
    "three taps, dilated by 3": (3, 1, 3, 3),
    "three taps, dilated by 9": (3, 1, 9, 9),
    "halving": (4, 2, 1, 1),
    "one tap": (1, 1, 1, 0),
}
"""Kernel, stride, dilation and padding of the tokenizer's convolutions."""
every_layer = pytest.mark.parametrize("shape", LAYERS.values(), ids=LAYERS)


def conv(shape: tuple[int, int, int, int], channels: int = 5, out: int = 7) -> Conv1d:
    torch.manual_seed(0)
    kernel, stride, dilation, padding = shape
    return Conv1d(
        channels, out, kernel, stride=stride, dilation=dilation, padding=padding
    )


def batch(time: int, channels: int = 5, rows: int = BATCH) -> Tensor:
    generator = torch.Generator().manual_seed(time)
    return torch.randn(rows, channels, time, generator=generator)


def torchs(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """What torch itself makes of it, in double precision."""
    x = x.double()
    if isinstance(layer, UpsamplingConv1d):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    bias = layer.bias.double() if layer.bias is not None else None
    return F.conv1d(
        x,
        layer.weight.double(),
        bias,
        layer.stride,
        layer.padding,
        layer.dilation,
    )


def gradients(y: Tensor, x: Tensor, layer: nn.Conv1d) -> tuple[Tensor, ...]:
    torch.manual_seed(1)
    return torch.autograd.grad(y, (x, *layer.parameters()), torch.randn(y.shape).to(y))


def assert_torchs(layer: nn.Conv1d, x: Tensor) -> None:
    x.requires_grad_()
    found, expected = layer(x), torchs(layer, x)
    assert "_Convolution" in str(found.grad_fn) or "_Pointwise" in str(found.grad_fn)
    pairs = zip(
        (found, *gradients(found, x, layer)),
        (expected, *gradients(expected, x, layer)),
        strict=True,
    )
    for ours, theirs in pairs:
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs.float(), atol=1e-5 * scale, rtol=0)


@every_layer
@pytest.mark.parametrize("time", [16, 32, 64])
def test_agrees_with_torch_at_the_tokenizer_s_lengths(
    shape: tuple[int, int, int, int], time: int
) -> None:
    assert_torchs(conv(shape), batch(time))


@pytest.mark.parametrize("time", [1, 2, 16, 32])
def test_upsampling_agrees_with_torch(time: int) -> None:
    torch.manual_seed(0)
    assert_torchs(UpsamplingConv1d(5, 7, 3, padding=1), batch(time))


@pytest.mark.parametrize("time", [1, 2, 3, 16, 32])
def test_two_in_a_row_agree_with_torch(time: int) -> None:
    torch.manual_seed(0)
    first, second = UpsamplingConv1d(5, 7, 3, padding=1), Conv1d(7, 6, 3, padding=1)
    x = batch(time).requires_grad_()
    found, expected = first.then(second, x), torchs(second, torchs(first, x))
    weights = (x, *first.parameters(), *second.parameters())
    torch.manual_seed(1)
    weight = torch.randn(found.shape)
    ours = torch.autograd.grad(found, weights, weight)
    theirs = torch.autograd.grad(expected, weights, weight.double())
    for a, b in zip((found, *ours), (expected, *theirs), strict=True):
        scale = b.abs().max().item()
        torch.testing.assert_close(a, b.float(), atol=1e-5 * scale, rtol=0)


@settings(deadline=None, max_examples=40)
@given(
    time=st.integers(1, 70),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 9),
    padding=st.integers(0, 27),
)
def test_agrees_with_torch_at_any_shape(
    time: int, kernel: int, stride: int, dilation: int, padding: int
) -> None:
    reach = dilation * (kernel - 1)
    if reach - time < 2 * padding and padding <= reach:
        assert_algorithm(time, (kernel, stride, dilation, padding))


def assert_algorithm(time: int, shape: tuple[int, int, int, int]) -> None:
    """Follow the formula y = Q [(G w) * (P x)] for one channel, in double precision."""
    algorithm = strided(time, *shape, torch.float64)
    torch.manual_seed(0)
    kernel, stride, dilation, padding = shape
    x, w = torch.randn(time).double(), torch.randn(kernel).double()
    sizes = torch.tensor(algorithm.sizes, dtype=torch.int64)
    taps = (algorithm.G @ w).repeat_interleave(sizes)
    P, Q = algorithm.P.to_dense(), algorithm.Q.to_dense()
    expected = F.conv1d(x[None, None], w[None, None], None, stride, padding, dilation)
    torch.testing.assert_close(Q @ (taps * (P @ x)), expected[0, 0])


def test_gradients_are_those_of_finite_differences() -> None:
    layer = conv(LAYERS["halving"], 2, 2).double()
    algorithm = strided(8, *LAYERS["halving"], torch.float64)
    x = batch(8, 2, rows=2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *inputs: convolution._convolved(*inputs, algorithm),
        (x, layer.weight, layer.bias),
    )


@pytest.mark.parametrize(
    ("time", "dilation", "products"), [(64, 1, 86), (32, 3, 44), (16, 9, 30)]
)
def test_products_of_three_taps(time: int, dilation: int, products: int) -> None:
    """By hand: tiles of m have m + 2; at 16 and 9, seven pairs of 4 and two of 1."""
    found = strided(time, 3, 1, dilation, dilation, torch.float32)
    assert sum(found.sizes) == len(found.P) == products
    assert len(found.sizes) == len(found.G)


def test_products_of_upsampling() -> None:
    """Five tiles for each of two phases, m + 1 each: 2 (32 + 5), not 6 x 32."""
    assert sum(upsampled(32, torch.float32).sizes) == 74


def test_products_of_two_in_a_row() -> None:
    """Six tiles for each of two phases, m + 2 each, and the two ends."""
    assert sum(upsampled_twice(32, torch.float32).sizes) == 90


class TestPlainPath:
    """Where the short algorithms do not pay, torch's own bits."""

    def test_without_gradient(self) -> None:
        layer, x = conv(LAYERS["three taps"]), batch(16)
        with torch.no_grad():
            assert torch.equal(layer(x), nn.Conv1d.forward(layer, x))

    def test_with_few_rows(self) -> None:
        layer, x = conv(LAYERS["halving"]), batch(16, rows=BATCH - 1)
        assert torch.equal(layer(x), nn.Conv1d.forward(layer, x))

    def test_under_autocast(self) -> None:
        layer, x = conv(LAYERS["one tap"]), batch(16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16

    def test_upsampling(self) -> None:
        layer, x = UpsamplingConv1d(5, 7, 3, padding=1), batch(8, rows=2)
        twice = F.interpolate(x, scale_factor=2, mode="nearest")
        assert torch.equal(layer(x), nn.Conv1d.forward(layer, twice))


def test_weights_are_torch_s() -> None:
    layer = conv(LAYERS["halving"])
    torch.manual_seed(0)
    theirs = nn.Conv1d(5, 7, 4, stride=2, padding=1)
    for name, weight in theirs.state_dict().items():
        assert torch.equal(layer.state_dict()[name], weight)


def test_same_bits_whatever_ran_before() -> None:
    """Memory that is kept holds what another layer left there, even if not finite."""
    layer, x = conv(LAYERS["three taps"]), batch(64).requires_grad_()
    first = layer(x)
    gradient = gradients(first, x, layer)
    nothing = torch.full((BATCH, 5, 80), torch.nan, requires_grad=True)
    layer(nothing).sum().backward()
    again = layer(x)
    assert torch.equal(again, first)
    pairs = zip(gradients(again, x, layer), gradient, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_what_follows_may_change_the_result_in_place() -> None:
    layer, x = conv(LAYERS["three taps"]), batch(16).requires_grad_()
    found = gradients(layer(x).relu_(), x, layer)
    expected = gradients(layer(x).relu(), x, layer)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
