"""The sweep of learning rates: a known rule comes back, edges are told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.analysis.rates import HIGH, LOW, UNSTABLE, best_rate, best_rates
from scaling.analysis.render_rates import rates_text
from scaling.cli import main
from scaling.errors import ScalingError
from scaling.runs.sections import LearningRate, Transformers

RATES = np.geomspace(2.5e-4, 6.4e-2, 9)
WIDTHS = (32, 64, 128, 256)
TRUTH = LearningRate(base=4e-3, width=64, exponent=0.8)


def sweep(
    noise: float = 0.0, seeds: int = 1, tokens: tuple[int, ...] = (10_000,)
) -> pd.DataFrame:
    """Lay out runs whose loss is a parabola about the best rate of their width."""
    chance = np.random.default_rng(0)
    rows = []
    for d in WIDTHS:
        for D in tokens:
            for rate in RATES:
                for seed in range(seeds):
                    off = math.log(rate / TRUTH.at(d))
                    loss = 2 + 0.02 * off**2 + chance.normal(0, noise)
                    rows.append((d, 12 * d**2, D + 7 * seed, rate, seed, loss))
    names = ["d_model", "N", "D", "learning_rate", "seed", "L"]
    return pd.DataFrame(rows, columns=names).assign(status="finished")


def test_an_exact_rule_comes_back_exactly() -> None:
    found = best_rates(sweep())
    assert [cell.width for cell in found.cells] == list(WIDTHS)
    for cell in found.cells:
        assert cell.rate is not None
        assert cell.rate.value == pytest.approx(TRUTH.at(cell.width), rel=1e-9)
    assert found.rule is not None
    assert found.rule.base.value == pytest.approx(4e-3, rel=1e-9)
    assert found.rule.exponent.value == pytest.approx(0.8, rel=1e-9)
    assert found.setting == {"base": 4e-3, "width": 64, "exponent": 0.8}


def test_the_intervals_hold_the_truth_under_noise() -> None:
    found = best_rates(sweep(noise=0.003, seeds=3, tokens=(10_000, 40_000)))
    assert len(found.cells) == 2 * len(WIDTHS)
    held = [c.rate.low < TRUTH.at(c.width) < c.rate.high for c in found.cells if c.rate]
    assert sum(held) >= len(held) - 1
    assert found.rule is not None
    assert found.rule.exponent.low < 0.8 < found.rule.exponent.high
    assert found.rule.base.low < 4e-3 < found.rule.base.high
    assert found.rule.cells == 8


def test_the_interval_is_students() -> None:
    """Against numpy's own covariance of a parabola."""
    x = np.log([1.0, 2.0, 4.0])
    x = np.concatenate([-x[:0:-1], x])
    y = 3 + 0.1 * (x - 0.2) ** 2 + np.array([1, -2, 3, -1, -1]) * 1e-3
    estimate, _ = best_rate(np.exp(x), y, level=0.9)
    (a, b, _), covariance = np.polyfit(x, y, 2, cov="unscaled")
    residual = y - np.polyval(np.polyfit(x, y, 2), x)
    s2 = residual @ residual / 2
    slope = np.array([b / (2 * a**2), -1 / (2 * a), 0])
    half = 2.9199855803537256 * math.sqrt(s2 * slope @ covariance @ slope)
    assert estimate is not None
    assert math.log(estimate.value) == pytest.approx(-b / (2 * a), rel=1e-9)
    assert math.log(estimate.high) == pytest.approx(-b / (2 * a) + half, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    unit=st.floats(1e-4, 1e4),
    scale=st.floats(0.01, 100),
    shift=st.floats(-10, 10),
    at=st.floats(0.6, 1.7),
)
def test_units_of_rate_and_loss_do_not_matter(
    unit: float, scale: float, shift: float, at: float
) -> None:
    rates = 1e-3 * 2.0 ** np.arange(-3, 4)
    loss = np.log(rates / (1e-3 * at)) ** 2
    one, _ = best_rate(rates, loss)
    other, _ = best_rate(unit * rates, scale * loss + shift)
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(1e-3 * at, rel=1e-6)
    assert other.value == pytest.approx(unit * one.value, rel=1e-4)


def test_far_rates_do_not_bend_the_parabola() -> None:
    losses = np.array([2.1, 2.0, 2.1, 2.3, 9.0])
    far = best_rate(1e-3 * 2.0 ** np.arange(5), losses)[0]
    assert far == best_rate(1e-3 * 2.0 ** np.arange(4), losses[:4])[0]


@pytest.mark.parametrize(
    ("kept", "reason"), [(RATES > 5e-3, LOW), (RATES < 3e-3, HIGH)]
)
def test_the_edge_is_told(kept: Any, reason: str) -> None:
    table = sweep().query("d_model == 64")
    (cell,) = best_rates(table[table["learning_rate"].isin(RATES[kept])]).cells
    assert (cell.rate, cell.reason) == (None, reason)
    assert cell.tried == (min(RATES[kept]) if reason == LOW else max(RATES[kept]))


@pytest.mark.parametrize("with_rows", [True, False])
def test_diverged_runs_count_as_such(tmp_path: Path, with_rows: bool) -> None:
    """Whether they were evaluated before, or never."""
    table = sweep().query("d_model == 64")
    wild = table["learning_rate"] > 3e-3
    table.loc[wild, "status"] = "diverged"
    table.loc[wild, ["L", "D"]] = [1.0 if with_rows else math.nan, 500]
    path = tmp_path / "sweep.csv"
    table.to_csv(path, index=False)
    (cell,) = best_rates(path).cells
    assert cell.reason == UNSTABLE
    lost = [rate for rate, loss in cell.losses.items() if math.isnan(loss)]
    assert lost == pytest.approx(RATES[RATES > 3e-3])
    assert "diverged" in rates_text(best_rates(path))


def test_one_width_gives_a_number_and_a_rising_rate_too() -> None:
    one = best_rates(sweep().query("d_model == 64"))
    assert (one.rule, one.setting) == (None, 4e-3)
    rising = best_rates(
        sweep().assign(d_model=[64**2 // d for d in sweep()["d_model"]])
    )
    assert rising.rule is not None
    assert rising.rule.exponent.value == pytest.approx(-0.8)
    assert isinstance(rising.setting, float)
    assert "one rate serves all" in rates_text(rising)


def test_the_lines_are_those_of_a_grid() -> None:
    import yaml

    for found in (best_rates(sweep()), best_rates(sweep().query("d_model == 64"))):
        (section,) = yaml.safe_load(found.yaml()).values()
        read = Transformers(sizes=("1x1x16",), tokens=(9,), **section)
        assert read.learning_rate_for(64) == pytest.approx(4e-3)


def test_only_cooled_rows_count() -> None:
    table = sweep().assign(run=[f"r{k}" for k in range(len(sweep()))], cooled=True)
    trunk = table.assign(
        run="trunk-" + table["run"], cooled=False, L=1.0, D=0.8 * table["D"]
    )
    assert best_rates(pd.concat([trunk, table])).cells == best_rates(table).cells


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"learning_rate": 1e-3}, "has no two learning rates for any size"),
        ({"learning_rate": math.nan}, "does not say the learning_rate of every run"),
    ],
)
def test_no_sweep_is_told(change: dict[str, float], text: str) -> None:
    with pytest.raises(ScalingError, match=text):
        best_rates(sweep().assign(**change))


def test_the_command_prints_the_lines(scaling: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "sweep.csv", tmp_path / "rates.json"
    sweep().rename(columns={"learning_rate": "lr"}).to_csv(path, index=False)
    columns = ("--columns", "learning_rate=lr")
    done = scaling.run("rates", path, *columns, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = "  learning_rate: {base: 0.004, width: 64, exponent: 0.8}"
    assert lines in done.stdout.splitlines()
    printed = CliRunner().invoke(main, ["rates", str(path), *columns, "--json"])
    assert json.loads(printed.stdout) == json.loads(out.read_text())
    again = CliRunner().invoke(main, ["rates", str(path), "--out", str(path)])
    assert again.exit_code == 1
    assert "one of the sources" in again.stderr


def test_a_store_is_read_with_the_runs_that_diverged(
    scaling: Any, tiny: Path, tmp_path: Path
) -> None:
    """At the last rate a run diverges before its first evaluation: it has no rows."""
    settings = (
        "tokenizers.codebooks=[16]",
        "transformers.sizes=[1x1x16]",
        "transformers.tokens=[600]",
        "transformers.learning_rate=[0.002, 0.004, 1.0e+30]",
    )
    given = [word for setting in settings for word in ("--set", setting)]
    out = tmp_path / "out"
    done = scaling.run("run", tiny, *given, "--out", out, "--jobs", 1)
    assert "diverged" in done.stdout + done.stderr
    (cell,) = best_rates(out).cells
    assert list(cell.losses) == [0.002, 0.004, 1e30]
    assert math.isnan(cell.losses[1e30])
    assert cell.reason == (UNSTABLE if cell.tried == 0.004 else LOW)


@pytest.mark.parametrize(
    ("column", "value"),
    [("learning_rate", "high"), ("learning_rate", math.inf), ("d_model", 0)],
)
def test_a_rate_or_width_that_is_none_is_named(column: str, value: Any) -> None:
    table = pd.DataFrame(
        {"d_model": 64, "learning_rate": [1e-3, 2e-3], "flops": 1e9, "loss": [2.0, 3.0]}
    ).astype({column: object})
    table.loc[1, column] = value
    with pytest.raises(ScalingError, match=f"{column} is {value} in run row 2 of"):
        best_rates(table)
