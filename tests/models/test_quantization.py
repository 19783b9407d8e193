"""A quantization is named without doubt, and refused where it quantises nothing."""

from __future__ import annotations

from typing import Any

import pytest

from scaling.errors import ScalingError
from scaling.models.quantization import Quantization


@pytest.mark.parametrize(
    ("given", "codebook_size", "nominal", "label"),
    [
        ({"levels": (8, 6, 5)}, 240, 256, "v256"),
        ({"levels": (7, 5, 5, 5, 5)}, 4375, 4096, "v4096"),
        ({"method": "vq", "codes": 256}, 256, 256, "vq256"),
        ({"method": "vq", "codes": 300}, 300, 300, "vq300"),
        (
            {"method": "rfsq", "levels": (8, 6, 5), "stages": 2},
            *(240, 256, "rfsq2x256"),
        ),
    ],
)
def test_codebook_and_label(
    given: dict[str, Any], codebook_size: int, nominal: int, label: str
) -> None:
    found = Quantization(**given)
    assert (found.codebook_size, found.nominal) == (codebook_size, nominal)
    assert found.label == label


def test_equal_ones_are_one() -> None:
    assert len({Quantization(levels=(8, 6, 5)), Quantization(levels=(8, 6, 5))}) == 1
    assert Quantization(levels=(8, 6, 5)) != Quantization(levels=(8, 5, 6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "vq", "codes": 1}, "codes 1 of a vq codebook; .* at least 2"),
        ({"method": "vq", "levels": (8, 6, 5)}, "codes 0 of a vq codebook"),
        ({"method": "vq", "codes": 9, "levels": (3, 3)}, "levels .* of a vq codebook"),
        ({"levels": (3, 3), "codes": 9}, "codes 9 of a fsq codebook; expected 0"),
        ({"levels": (3, 3), "stages": 2}, "stages 2 of a fsq codebook; expected 1"),
        ({"method": "rfsq", "levels": (8, 2), "stages": 2}, "expected at least 3 each"),
        ({"levels": (8, 1)}, r"levels \[8, 1\] must each be at least 2"),
        ({"levels": ()}, r"levels \[\] must each be at least 2"),
        ({"method": "rfsq", "levels": (8, 5), "stages": 0}, "stages 0 of"),
    ],
)
def test_what_quantises_nothing_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        Quantization(**given)
