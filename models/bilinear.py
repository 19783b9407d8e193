"""Convolutions along time as few products of channels.

A convolution is bilinear: its outputs y, of inputs x and taps w, are

    y = Q [ (G w) * (P x) ]

for constant matrices G (products x taps), P (products x inputs) and Q (outputs x
products), where each product is one of a matrix of taps with a vector of channels. By
definition there is a product per tap and output. Toom and Cook's algorithm has m + k -
1 for m outputs of k taps: two polynomials are evaluated at as many points, multiplied
there, and the coefficients of the result interpolated, which Winograd showed to be the
fewest (for networks: Lavin and Gray 2015, arXiv 1509.09308). Padding is never
multiplied. Of the 64 frames of a window, 3 taps need 86 products where 192 are usual.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.floating[Any]]

POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
"""Where polynomials are evaluated, besides infinity: near 1, so that powers are.

More would save more products, and round ever more coarsely: six outputs of three taps
are within 3e-6 of the largest."""

EDGES = ((0, 2), (2, 0))
"""Taps of a second and a first convolution that meet beyond the ends of the first."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of channels: a row of G, a row of P and a column of Q."""

    taps: tuple[float, ...]
    """Weight of each tap."""
    inputs: dict[int, float]
    """Weight of each input; those in the padding are left out."""
    outputs: dict[int, float]
    """Weight in each output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bilinear:
    """A convolution of a given length as products of channels."""

    G: Tensor
    """Combinations of taps, (forms, taps): products of one form share their row."""
    P: Tensor
    """Combinations of inputs, sparse, (products, inputs), in the order of the forms."""
    Q: Tensor
    """Outputs from products, sparse, (outputs, products)."""
    P_transposed: Tensor
    """Gradients of inputs from those of the products' factors, (inputs, products)."""
    Q_transposed: Tensor
    """Gradients of products from those of outputs, (products, outputs)."""
    sizes: tuple[int, ...]
    """Products of each form."""


@lru_cache(maxsize=256)
def strided(
    length: int, taps: int, stride: int, dilation: int, padding: int, dtype: torch.dtype
) -> Bilinear:
    """Convolve: output i is the sum of w_t x[stride i + dilation t - padding]."""
    outputs = (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    # every `apart` outputs, the inputs of a tap are those of the tap `skip` further
    apart, skip = (each // math.gcd(stride, dilation) for each in (dilation, stride))
    products = [
        product
        for phase in range(min(apart, outputs))
        for tap in range(min(skip, taps))
        for product in _convolved(
            range(phase, outputs, apart),
            range(stride * phase + dilation * tap - padding, length, dilation * skip),
            np.eye(taps)[tap::skip],
        )
    ]
    return _of(products, length, outputs, dtype)


@lru_cache(maxsize=256)
def upsampled(length: int, dtype: torch.dtype) -> Bilinear:
    """Repeat every input, and convolve with three taps and a padding of one.

    Two of the three taps meet the same input: the last two of an even output, and the
    first two of an odd one.
    """
    doubled, even, odd = 2 * length, [[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]
    products = [
        *_convolved(range(0, doubled, 2), range(-1, length), np.array(even)),
        *_convolved(range(1, doubled, 2), range(length), np.array(odd)),
    ]
    return _of(products, length, doubled, dtype)


@lru_cache(maxsize=256)
def upsampled_twice(length: int, dtype: torch.dtype) -> Bilinear:
    """Repeat every input, and convolve it with three taps a, and that with three b.

    Both are one convolution of the nine b_i a_j, of which an output of either parity
    gives three to the input before it, three to its own and three to the one behind.
    """
    doubled, pairs = 2 * length, [(i, j) for i in range(3) for j in range(3)]
    products = [
        product
        for parity in (0, 1)
        for product in _convolved(
            range(parity, doubled, 2),
            range(-1, length),
            np.array(
                [
                    [(parity + i + j - 2) // 2 == neighbour for i, j in pairs]
                    for neighbour in (-1, 0, 1)
                ]
            ),
        )
    ]
    # the second sees zeros around what the first gave, not what it would have given
    before, behind = ([float(pair == each) for pair in pairs] for each in EDGES)
    products += [
        Product(tuple(before), {0: 1.0}, {0: -1.0}),
        Product(tuple(behind), {length - 1: 1.0}, {doubled - 1: -1.0}),
    ]
    return _of(products, length, doubled, dtype)


def _convolved(outputs: range, inputs: range, taps: NDArray[Any]) -> Iterator[Product]:
    """Convolve: output i is the sum over t of (taps w)_t times input i + t.

    The inputs may begin in the padding before 0 and run out into the one behind.
    """
    most = len(POINTS) + 2 - len(taps)  # outputs, from as many points and infinity
    tiles = -(-len(outputs) // most)
    cuts = [len(outputs) * tile // tiles for tile in range(tiles + 1)]
    for start, stop in pairwise(cuts):
        for g, q, p in zip(*_matrices(stop - start, len(taps)), strict=True):
            first = inputs.start + inputs.step * start
            weights = {first + inputs.step * j: float(w) for j, w in enumerate(p) if w}
            yield Product(
                tuple((g @ taps).tolist()),
                {i: w for i, w in weights.items() if 0 <= i < inputs.stop},
                {i: float(w) for i, w in zip(outputs[start:stop], q, strict=True) if w},
            )


def _matrices(m: int, k: int) -> tuple[Matrix, ...]:
    """G, Q transposed, and P of m outputs of k taps, a row for each product."""
    if m > 2 and k > 1:  # Toom and Cook's, transposed from products of polynomials
        n = m + k - 1
        return _powers(n, k), _powers(n, m), np.linalg.inv(_powers(n, n)).T
    # the definition, of which more is padding
    G, Q, P = (np.zeros((m, k, n)) for n in (k, m, m + k - 1))
    for i, t in np.ndindex(m, k):
        G[i, t, t] = Q[i, t, i] = P[i, t, i + t] = 1
    return tuple(each.reshape(m * k, -1) for each in (G, Q, P))


def _powers(points: int, degrees: int) -> Matrix:
    """Powers of the points below a degree; at infinity, the highest one alone."""
    finite = np.vander(POINTS[: points - 1], degrees, increasing=True)
    return np.vstack([finite, np.eye(degrees)[-1]])


def _of(
    products: Sequence[Product], inputs: int, outputs: int, dtype: torch.dtype
) -> Bilinear:
    """Gather products by form; those of nothing but padding are left out."""
    kept = sorted((p for p in products if p.inputs), key=lambda p: p.taps)
    forms = {taps: len([*same]) for taps, same in groupby(kept, lambda p: p.taps)}
    P = _matrix([p.inputs for p in kept], inputs)
    Q = _matrix([p.outputs for p in kept], outputs).T
    return Bilinear(
        G=torch.tensor([*forms], dtype=dtype).view(-1, len(products[0].taps)),
        P=_sparse(P, dtype),
        Q=_sparse(Q, dtype),
        P_transposed=_sparse(P.T, dtype),
        Q_transposed=_sparse(Q.T, dtype),
        sizes=tuple(forms.values()),
    )


def _matrix(rows: Sequence[dict[int, float]], columns: int) -> Matrix:
    matrix = np.zeros((len(rows), columns))
    for row, weights in zip(matrix, rows, strict=True):
        row[list(weights)] = list(weights.values())
    return matrix


def _sparse(matrix: Matrix, dtype: torch.dtype) -> Tensor:
    with warnings.catch_warnings():  # torch calls all of CSR beta
        warnings.simplefilter("ignore")
        return torch.tensor(matrix, dtype=dtype).to_sparse_csr()
