"""Level sets: Table 6's nine, their real sizes, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models.levels import (
    LEVELS,
    check_levels,
    codebook_size,
    levels_of,
    nominal_codebook_size,
)

TABLE_6 = [
    (4, (5, 3), 15),
    (6, (8, 8), 64),
    (8, (8, 6, 5), 240),
    (9, (8, 8, 8), 512),
    (10, (8, 5, 5, 5), 1000),
    (11, (8, 8, 6, 5), 1920),
    (12, (7, 5, 5, 5, 5), 4375),
    (14, (8, 8, 8, 6, 5), 15360),
    (16, (8, 8, 8, 5, 5, 5), 64000),
]


@pytest.mark.parametrize(("power", "levels", "real"), TABLE_6)
def test_level_set_and_real_size_are_table_6_s(
    power: int, levels: tuple[int, ...], real: int
) -> None:
    assert levels_of(2**power) == levels
    assert codebook_size(levels) == real
    assert nominal_codebook_size(levels) == 2**power


def test_there_are_nine_and_no_other() -> None:
    assert list(LEVELS) == [2**power for power, _, _ in TABLE_6]


@given(st.lists(st.integers(2, 12), min_size=1, max_size=6))
def test_nominal_size_of_any_levels_is_the_nearest_power_of_two(
    levels: list[int],
) -> None:
    nominal, real = nominal_codebook_size(levels), math.prod(levels)
    assert nominal.bit_count() == 1
    if tuple(levels) not in LEVELS.values():
        assert real**2 <= 2 * nominal**2  # real / nominal <= sqrt 2
        assert nominal**2 <= 2 * real**2


@pytest.mark.parametrize("nominal", [2**5, 2**13, 2**15, 1000, 0, -256])
def test_size_without_levels_is_refused_with_the_known_ones(nominal: int) -> None:
    with pytest.raises(ScalingError) as error:
        levels_of(nominal)
    assert str(error.value) == (
        f"codebook {nominal} is given by no level set; "
        "known: 16, 64, 256, 512, 1024, 2048, 4096, 16384, 65536; "
        "choose one, or write its levels as a list"
    )


@pytest.mark.parametrize("levels", [[], [1], [8, 1, 5], [8, 0], [-3, 5]])
def test_levels_below_two_are_refused(levels: list[int]) -> None:
    with pytest.raises(ScalingError) as error:
        check_levels(levels)
    assert str(error.value) == (
        f"levels {levels} must each be at least 2; "
        "a channel of one level carries no information: drop it"
    )
