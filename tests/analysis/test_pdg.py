import math

import pytest

from scaling.analysis.pdg import plus_minus


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        # The examples of the Review of Particle Physics, section 5.3.
        (0.827, 0.119, "0.83 ± 0.12"),
        (0.827, 0.367, "0.8 ± 0.4"),
        # Either side of both boundaries, and of a power of ten.
        (1.0, 0.0354, "1.000 ± 0.035"),
        (1.0, 0.0355, "1.00 ± 0.04"),
        (1.0, 0.0949, "1.00 ± 0.09"),
        (1.0, 0.0950, "1.00 ± 0.10"),
        (1.0, 0.9996, "1.0 ± 1.0"),
        (-1.0621, 0.0513, "-1.06 ± 0.05"),
        (12346.0, 123.0, "12350 ± 120"),
        (0.0, 0.002, "0.0000 ± 0.0020"),
    ],
)
def test_value_and_error_are_rounded_together(value, error, text):
    assert plus_minus(value, error) == text


@pytest.mark.parametrize("error", [math.nan, 0.0, 1e-14, math.inf])
def test_without_an_error_the_value_stands_alone(error):
    assert plus_minus(0.123456, error) == "0.1235"
