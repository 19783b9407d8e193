"""A score of generated motion in the loss' place: what falls with compute is fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.fitting import fit_law
from scaling.analysis.records import read
from scaling.errors import ScalingError

C = np.geomspace(1e10, 1e14, 12)


def table(**columns: object) -> pd.DataFrame:
    """Runs of one evaluation each, whose loss is no help."""
    return pd.DataFrame(
        {"run": [f"r{n}" for n in range(12)], "flops": C, "loss": 1.0, **columns}
    )


def test_a_law_of_fid_is_recovered_and_carries_its_name():
    records = read([table(fid=0.3 + 4e3 * C**-0.4)], {"L": "fid"})
    law = fit_law(records, "power-floor")
    assert law.value("alpha") == pytest.approx(0.4, rel=1e-4)
    assert law.value("E") == pytest.approx(0.3, rel=1e-4)
    assert law.sample.loss_symbol == law.sample.loss_unit == "fid"
    assert records.quantities["L_u"].label == "FID of generated motion"


def test_r_precision_is_fitted_as_its_miss_rate():
    rising = 1 - 50 * C**-0.2
    records = read([table(r_precision_3=rising)], {"L_u": "r_precision_3"})
    np.testing.assert_allclose(records.points()["L_u"], 1 - rising)
    assert records.quantities["L_u"].label == "Miss rate, 1 - R-precision at 3"


def test_what_was_not_scored_is_left_out_and_said():
    fid = np.where(np.arange(12) % 3 == 2, 5.0, np.nan)
    records = read([table(fid=fid)], {"L": "fid"})
    assert len(records.frame) == 4
    said = "table: 8 of 12 evaluations hold no fid, and are left out"
    assert said in records.notes


@pytest.mark.parametrize("column", ["diversity", "multimodality"])
def test_a_score_that_neither_falls_nor_rises_is_refused(column):
    with pytest.raises(ScalingError, match=f"L={column}: no law falls with it.*fid"):
        read([table(**{column: 1.0})], {"L": column})


@pytest.mark.parametrize("column", ["FID", "nonsense", "loss"])
def test_a_slip_in_a_score_s_name_does_not_fit_the_loss(column):
    with pytest.raises(ScalingError, match=f"L={column}: .* expected one of fid, "):
        read(["scamo"], {"L": column})


def test_a_study_that_was_never_scored_is_refused():
    for source in (table(), table(fid=np.nan), "scamo"):
        with pytest.raises(ScalingError, match=r"holds no fid; .*scaling evaluate"):
            read([source], {"L": "fid"})
