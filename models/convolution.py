"""Convolutions for the tokenizer, which train faster on a CPU.

torch's take the definition's multiplications at the speed of a matrix product, so that
what is left to save are multiplications. Trained with wide batches on a CPU, these take
the short algorithms of `scaling.models.bilinear`; the results are the same to rounding.
Otherwise they are torch's own, and so are their weights always.

Tensors keep their shape (batch, channels, time) and lie in memory by time, batch and
channel: then mixing positions of time is a sparse matrix product over rows as long as
the batch, multiplying channels is a dense one, and neither has to move anything.

Measured at the paper's shape (width 512, 256 windows of 64 frames, one thread): 51 % of
the definition's multiplications; a sparse product takes 4 to 6 % of the dense ones it
serves; rows in blocks make those 6 % faster. `benchmarks/motion_tokenizers.py` times
the whole.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from scaling.models.bilinear import Bilinear, strided, upsampled, upsampled_twice

BATCH = 32
"""Rows of a batch from which on the short algorithms are faster, at any width."""

LONGEST = 512
"""Frames up to which an algorithm is quickly made."""

BLOCK = 512
"""Rows that a matrix product takes at a time."""


class Conv1d(nn.Conv1d):
    """Convolution over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, (batch, channels, time)."""
        if not _is_faster(x):
            return super().forward(x)
        if self.kernel_size == (1,):
            y: Tensor = _Pointwise.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return y
        shape = (*self.kernel_size, *self.stride, *self.dilation, *self.padding)
        algorithm = strided(x.shape[2], *shape, x.dtype)
        return _convolved(x, self.weight, self.bias, algorithm)


class UpsamplingConv1d(nn.Conv1d):
    """Nearest upsampling by two, and a convolution of three taps over it."""

    def forward(self, x: Tensor) -> Tensor:
        """Upsample and convolve, (batch, channels, time) to (batch, out, 2 time)."""
        if not _is_faster(x):
            return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
        algorithm = upsampled(x.shape[2], x.dtype)
        return _convolved(x, self.weight, self.bias, algorithm)

    def then(self, second: nn.Conv1d, x: Tensor) -> Tensor:
        """Upsample and convolve, and convolve again with three taps and a padding of 1.

        With nothing in between both are one convolution, whose taps are worth their
        computation in a wide batch: half the products of the two.
        """
        width = self.out_channels
        if not _is_faster(x) or 4 * len(x) < width:
            out: Tensor = second(self(x))
            return out
        assert self.bias is not None
        assert second.bias is not None
        algorithm = upsampled_twice(x.shape[2], x.dtype)
        taps = torch.tensordot(second.weight, self.weight, ([1], [0]))
        # of the first's bias, the second's outer taps see nothing at the ends
        seen = x.new_ones(2 * x.shape[2], 3)
        seen[0, 0] = seen[-1, 2] = 0
        bias = seen @ (second.weight.transpose(1, 2) @ self.bias).T + second.bias
        return _convolved(x, taps.transpose(1, 2).flatten(2), bias, algorithm)


def _is_faster(x: Tensor) -> bool:
    return (
        torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and len(x) >= BATCH
        and x.shape[2] <= LONGEST
    )


def _convolved(x: Tensor, weight: Tensor, bias: Any, algorithm: Bilinear) -> Tensor:
    bias = bias.expand(algorithm.Q.shape[0], -1)
    y: Tensor = _Convolution.apply(x, weight, bias, algorithm)  # type: ignore[no-untyped-call]
    return y


class _Convolution(torch.autograd.Function):
    """y = Q [(G w) * (P x)] + bias, of each output; P x is computed twice, not kept."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, algorithm: Bilinear
    ) -> Tensor:
        x = _by_time(x)
        ctx.save_for_backward(x, weight)
        ctx.algorithm = algorithm
        factor = _mixed("factor", algorithm.P, x)
        product = _scratch("product", x, len(factor), x.shape[1], len(weight))
        for y, v, u in _each(algorithm, product, factor, _forms(weight, algorithm)):
            _multiply(v, u.T, y)
        out = _filled(bias, x)
        _mix(algorithm.Q, product, _by_time(out), 1)
        return out

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (x, weight), algorithm = ctx.saved_tensors, ctx.algorithm
        gradient = _by_time(gradient)
        factor = _mixed("factor", algorithm.P, x)
        product = _mixed("product", algorithm.Q_transposed, gradient)
        forms = _forms(weight, algorithm)
        of_forms, of_x = torch.empty_like(forms), None
        for y, v, u, of_u in _each(algorithm, product, factor, forms, of_forms):
            torch.mm(y.T, v, out=of_u)
            if ctx.needs_input_grad[0]:
                _multiply(y, u, v)  # the factor is no more needed
        if ctx.needs_input_grad[0]:
            of_x = torch.empty_like(x)
            _mix(algorithm.P_transposed, factor, of_x, 0)
            of_x = of_x.permute(1, 2, 0)
        of_weight = (algorithm.G.T @ of_forms.flatten(1)).view(-1, *weight.shape[:2])
        return of_x, of_weight.permute(1, 2, 0), gradient.sum(1), None


class _Pointwise(torch.autograd.Function):
    """A convolution of one tap: y = w x + bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = _by_time(x)
        ctx.save_for_backward(x, weight)
        out = _filled(bias.expand(len(x), -1), x)
        _multiply(x.flatten(0, 1), weight[:, :, 0].T, _by_time(out).flatten(0, 1), 1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rows, of_x = _by_time(gradient).flatten(0, 1), torch.empty_like(x)
        _multiply(rows, weight[:, :, 0], of_x.flatten(0, 1))
        of_weight = rows.T @ x.flatten(0, 1)
        return of_x.permute(1, 2, 0), of_weight[:, :, None], rows.sum(0)


def _by_time(x: Tensor) -> Tensor:
    """View (batch, channels, time) as (time, batch, channels), as it lies in memory."""
    return x.permute(2, 0, 1).contiguous()


def _filled(bias: Tensor, x: Tensor) -> Tensor:
    """Begin outputs with their bias: (batch, channels, time), in memory by time."""
    batch, (time, channels) = x.shape[1], bias.shape
    strides = (channels, 1, batch * channels)
    # not a view, which could not be changed in place by what comes after
    out = x.new_empty_strided((batch, channels, time), strides)
    return out.copy_(bias.T)


def _forms(weight: Tensor, algorithm: Bilinear) -> Tensor:
    """Combine taps, (out, in, taps) to (forms, out, in)."""
    taps = weight.permute(2, 0, 1).reshape(weight.shape[2], -1)
    return (algorithm.G @ taps).view(-1, *weight.shape[:2])


def _each(
    algorithm: Bilinear, product: Tensor, factor: Tensor, *forms: Tensor
) -> Iterator[tuple[Tensor, ...]]:
    """Go through the forms, with the rows of their products and factors."""
    rows = (
        [some.flatten(0, 1) for some in torch.split(x, [*algorithm.sizes])]
        for x in (product, factor)
    )
    return zip(*rows, *forms, strict=True)


def _multiply(a: Tensor, b: Tensor, out: Tensor, beta: int = 0) -> None:
    """Do out <- a b + beta out, a block of rows at a time."""
    for some, to in zip(torch.split(a, BLOCK), torch.split(out, BLOCK), strict=True):
        torch.addmm(to, some, b, beta=beta, out=to)


def _mix(matrix: Tensor, x: Tensor, out: Tensor, beta: int) -> None:
    """Do out <- matrix x + beta out, of (time, batch, channels)."""
    flat = out.flatten(1)
    torch.addmm(flat, matrix, x.flatten(1), beta=beta, out=flat)


def _mixed(name: str, matrix: Tensor, x: Tensor) -> Tensor:
    out = _scratch(name, x, len(matrix), *x.shape[1:])
    _mix(matrix, x, out, 0)
    return out


_kept = threading.local()


def _scratch(name: str, like: Tensor, *shape: int) -> Tensor:
    """Give memory that is kept: fresh pages fill at a ninth of the speed (measured)."""
    buffer: Tensor | None = getattr(_kept, name, None)
    size = math.prod(shape)
    if buffer is None or buffer.numel() < size or buffer.dtype != like.dtype:
        buffer = like.new_empty(size)
        setattr(_kept, name, buffer)
    return buffer[:size].view(shape)
