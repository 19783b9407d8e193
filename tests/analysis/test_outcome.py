"""What came of a prediction: inside or outside, by how much, how often by chance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from scaling.analysis.freezing import freeze
from scaling.analysis.outcome import Measured, compare, measure, percentile
from scaling.analysis.records import read
from scaling.analysis.study import Study, fit
from scaling.analysis.verification import Frozen
from scaling.errors import ScalingError
from tests.analysis.store_kit import wsd_store

ISOFLOPS = Path(__file__).resolve().parents[2] / "examples" / "isoflops.csv"


@pytest.fixture(scope="module")
def study() -> Study:
    return fit(read(ISOFLOPS, {"N": "params", "D": "tokens", "L": "loss"}))


@pytest.fixture(scope="module")
def frozen(study: Study) -> Frozen:
    made = freeze(study.to_dict(), 1e23, 1e22, code_version="0.1.0")
    return replace(
        made, frozen="2026-01-02T03:04:05+00:00", sources=("i.csv",)
    ).sealed()


def test_inside_and_outside(frozen: Frozen) -> None:
    within = frozen.new_run
    for loss, inside in (
        (within.value, (True, True)),
        ((within.fifty.high + within.ninety.high) / 2, (False, True)),
        (within.ninety.low - 1e-6, (False, False)),
        (within.ninety.high + 1e-6, (False, False)),
    ):
        found = compare(frozen, Measured(loss))
        assert (found.inside_50, found.inside_90) == inside
        assert found.predicted + found.error == pytest.approx(loss)
        assert found.relative_error == found.error / abs(found.predicted)
        assert found.run is None
        assert ("holds" in found.verdict) is inside[1]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8, 0.99])
def test_the_percentile_is_that_of_student_s_t(
    frozen: Frozen, study: Study, share: float
) -> None:
    """The new run's loss about a line through n points: t of n - 2 degrees."""
    law = study.laws["L_u(C)"]
    found = law.interval([frozen.compute], 0.5)
    degrees = law.n - 2
    half = float(found.new_high[0] - found.predicted[0])
    scale = half / stats.t.ppf(0.75, degrees)
    loss = frozen.loss.value + scale * stats.t.ppf(share, degrees)
    assert percentile(frozen, loss) == pytest.approx(100 * share, abs=0.06)


def test_a_loss_beyond_all_doubt(frozen: Frozen) -> None:
    assert percentile(frozen, -1e6) == 0
    assert percentile(frozen, 1e6) == 100


def test_what_a_store_s_run_ended_with(tmp_path: Path, frozen: Frozen) -> None:
    """A branch's last evaluation, its trunks' time counted in."""
    store = wsd_store(tmp_path / "store")
    rows = (store / "1x1x16-2500" / "metrics.jsonl").read_text().splitlines()
    asked = replace(frozen, run="1x1x16-2500", loss_symbol="L_u")
    found = measure(store, asked)
    assert found.loss == json.loads(rows[-1])["normalised_loss"]
    assert found.device == "cpu"
    with pytest.raises(ScalingError, match="diverged and has no loss"):
        measure(store, replace(asked, run="1x2x32-2500"))
    with pytest.raises(ScalingError, match="is not finished"):
        measure(store, replace(asked, run="none"))
    with pytest.raises(ScalingError, match="holds no fid, which the laws are of"):
        measure(store, replace(asked, loss_symbol="fid"))
