"""Predictions from the laws of the envelope are those of each line by itself."""

import numpy as np
import pytest

from scaling.analysis.lines import predict_study
from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.errors import ScalingError


def test_each_quantity_is_its_own_line(scamo_study):
    found = predict_study(scamo_study, 1e18)
    for symbol in ("N_nv", "N_v", "D"):
        law = scamo_study.laws[f"{symbol}(C)"]
        interval = law.interval([1e18])
        each = found.quantities[symbol]
        assert each.value == law.predict([1e18])[0]
        assert (each.low, each.high) == (interval.mean_low[0], interval.mean_high[0])
        assert found.exponents[symbol].value == law.slope
    direct = scamo_study.laws["N_v(N_nv)"]
    assert found.gamma is not None
    assert found.gamma.value == direct.slope
    assert (found.gamma.low, found.gamma.high) == direct.slope_interval()
    assert found.loss.value == pytest.approx(-5.2786, abs=1e-3)
    assert found.new_run[0] < found.loss.low < found.loss.high < found.new_run[1]


def test_far_from_the_points_is_said(scamo_study):
    assert not any("FAR" in w for w in predict_study(scamo_study, 1e18).warnings)
    far = predict_study(scamo_study, 1e22)
    assert any(w.startswith("FAR EXTRAPOLATION: ") for w in far.warnings)


def test_a_study_of_losses_alone_predicts_the_loss_alone(tmp_path):
    C = np.geomspace(1e12, 1e16, 6)
    rows = "".join(f"r{k},{c},{5 - 0.3 * np.log10(c)}\n" for k, c in enumerate(C))
    (tmp_path / "a.csv").write_text("run,flops,loss\n" + rows)
    found = predict_study(fit(read(tmp_path / "a.csv")), 1e17)
    assert dict(found.quantities) == {}
    assert found.loss.value == pytest.approx(5 - 0.3 * 17)
    assert found.loss_symbol == "L"


def test_without_a_law_of_the_loss_there_is_no_prediction(tmp_path):
    (tmp_path / "a.csv").write_text("run,flops,loss\na,1e12,3\n")
    with pytest.raises(ScalingError, match=r"no law L_u\(C\): "):
        predict_study(fit(read(tmp_path / "a.csv")), 1e17)
