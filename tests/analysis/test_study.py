import dataclasses
import json
import math
import os

import pytest
from pandas.testing import assert_frame_equal

from scaling.analysis.records import read
from scaling.analysis.render import summary
from scaling.analysis.study import Study, fit
from scaling.errors import ScalingError


def rows(table, tmp_path, name="t.csv"):
    table.to_csv(tmp_path / name, index=False)
    return read([tmp_path / name])


def test_a_study_runs_from_records_to_all_five_laws(small):
    study = fit(small)
    assert list(study.laws) == ["L_u(C)", "N_nv(C)", "N_v(C)", "D(C)", "N_v(N_nv)"]
    assert not study.skipped
    assert study.evaluations == 96
    assert len(study.minima) == 12
    assert len(study.best_codebooks) == 4
    assert study.laws["L_u(C)"].n == len(study.frontier)


def test_the_order_of_rows_changes_nothing(table, tmp_path):
    shuffled = table.sample(frac=1, random_state=3)
    first = fit(rows(table, tmp_path, "a.csv")).to_dict()
    second = fit(rows(shuffled, tmp_path, "b.csv")).to_dict()
    assert first.pop("sources") != second.pop("sources")
    assert first == second


def test_units_of_compute_move_only_the_intercept(table, tmp_path):
    law = fit(rows(table, tmp_path)).laws["L_u(C)"]
    scaled = table.assign(flops=table["flops"] / 1e9)
    other = fit(rows(scaled, tmp_path)).laws["L_u(C)"]
    assert other.slope == pytest.approx(law.slope, rel=1e-10)
    assert other.intercept == pytest.approx(law.intercept + 9 * law.slope, rel=1e-10)


def test_laws_whose_columns_are_missing_are_skipped_with_the_reason(table, tmp_path):
    study = fit(rows(table.drop(columns=["vocab_params", "tokens"]), tmp_path))
    assert list(study.laws) == ["L_u(C)", "N_nv(C)"]
    assert study.skipped["D(C)"] == (
        "needs D, which the records do not hold: "
        "name the column with --columns D=COLUMN"
    )
    assert study.skipped["N_v(N_nv)"].startswith("needs N_v,")


def test_one_run_is_too_few_for_a_law_but_not_for_a_study(table, tmp_path, small_study):
    study = fit(rows(table[table["run"] == "w16-v64"], tmp_path))
    assert study.laws == {}
    assert list(study.skipped) == ["L_u(C)", "N_nv(C)", "N_v(C)", "D(C)", "N_v(N_nv)"]
    assert len(study.minima) == len(study.frontier) == 1
    with pytest.raises(ScalingError, match=r"no law can be fitted: L_u\(C\) has 1 poi"):
        study.require_laws()
    small_study.require_laws()
    study.save(tmp_path / "laws.json")
    assert Study.load(tmp_path / "laws.json").skipped == study.skipped


# --- Compute ------------------------------------------------------------------------


def test_every_law_says_the_compute_that_it_stands_on(small_study):
    for name in ("L_u(C)", "N_nv(C)", "N_v(C)", "D(C)"):
        assert small_study.compute_range(name) == small_study.laws[name].x_range
    best = small_study.best_codebooks
    fitted = best[best["C"] < small_study.holdout.compute]
    assert len(fitted) == len(best) - 1
    expected = (fitted["C"].min(), fitted["C"].max())
    assert small_study.compute_range("N_v(N_nv)") == expected
    laws = small_study.to_dict()["laws"]
    assert laws["N_v(N_nv)"]["compute_range"] == pytest.approx(expected)


def test_points_of_unknown_compute_do_not_hide_the_others(scamo_study):
    best = scamo_study.best_codebooks
    best = best.assign(C=best["C"].mask(best.index == 0))
    study = dataclasses.replace(scamo_study, best_codebooks=best)
    assert study.compute_range("N_v(N_nv)") == (best["C"][1:].min(), best["C"].max())
    unknown = dataclasses.replace(study, best_codebooks=best.assign(C=math.nan))
    assert unknown.to_dict()["laws"]["N_v(N_nv)"]["compute_range"] == [None, None]


# --- Hold-out -----------------------------------------------------------------------


def test_a_compute_holds_out_what_lies_at_or_above_it(small):
    everything = fit(small)
    threshold = everything.frontier["C"].iloc[-2]
    study = fit(small, holdout=threshold)
    law, error = study.laws["L_u(C)"], study.holdout.errors["L_u(C)"]
    assert (law.n, error.n) == (everything.laws["L_u(C)"].n - 2, 2)
    missed = law.residuals(study.frontier["C"], study.frontier["L_u"])[-2:]
    assert error.mean == pytest.approx(missed.mean())
    assert error.rmse == pytest.approx((missed**2).mean() ** 0.5)
    assert study.held_out(study.frontier).sum() == 2


@pytest.mark.parametrize(("share", "held"), [(0.25, 2), (0.5, 4), (0.001, 1)])
def test_a_share_holds_out_the_upper_end_of_the_frontier(small, share, held):
    study = fit(small, holdout=share)
    assert study.holdout.errors["L_u(C)"].n == held
    assert study.frontier["C"].iloc[-held] == study.holdout.compute


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        (0, "holdout is 0; expected a compute"),
        (1, "holdout is 1; expected a compute"),
        (-3, "holdout is -3; expected"),
        (float("nan"), "holdout is nan; expected"),
        (1e30, r"no frontier point lies at or above 1e\+30 FLOPs.*from a lower comput"),
        (2, "leaves 0 of 8 frontier points; a law needs at least 2"),
    ],
)
def test_a_holdout_that_cannot_be_is_refused(small, holdout, message):
    with pytest.raises(ScalingError, match=message):
        fit(small, holdout=holdout)


# --- JSON ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small_study", "scamo_study"])
def test_json_keeps_everything(name, request, tmp_path):
    study = request.getfixturevalue(name)
    study.save(tmp_path / "laws.json")
    again = Study.load(tmp_path / "laws.json")
    tables = ("frontier", "minima", "best_codebooks")
    for field in dataclasses.fields(Study):
        ours, theirs = getattr(again, field.name), getattr(study, field.name)
        if field.name in tables:
            assert_frame_equal(ours, theirs, check_exact=True)
        else:
            assert ours == theirs
    assert json.loads((tmp_path / "laws.json").read_text())["schema"] == 1


def test_saving_leaves_nothing_else_behind(small_study, tmp_path):
    small_study.save(tmp_path / "new" / "laws.json")
    assert os.listdir(tmp_path / "new") == ["laws.json"]


def test_a_full_disk_leaves_the_old_file(small_study, tmp_path, monkeypatch):
    path = tmp_path / "laws.json"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small_study.save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["laws.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON: .*; fit the records again"),
        ("[]", "holds no laws; expected a JSON object"),
        ('{"schema": 9}', "schema is 9; expected 1"),
        ('{"schema": 1, "kind": "fit"}', "it holds a fit, not the laws of the"),
        ('{"schema": 1}', "the study has no field 'sources'; expected a file that"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, text, message):
    path = tmp_path / "laws.json"
    path.write_text(text)
    with pytest.raises(ScalingError, match=message):
        Study.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantities": []}, "the study is misshapen: "),
        ({"laws": 3}, "the study is misshapen: "),
        ({"notes": None}, "the study is misshapen: "),
        ({"minima": "none"}, "the study (is misshapen:|has no field) "),
        ({"minima": []}, "the study has no field "),
        ({"frontier": [{"C": "much"}]}, "the study is misshapen: "),
        ({"best_codebooks": []}, "the study has no field "),
        ({"quantities": {}}, "the study has no field 'C'"),
        ({"published": [{"equation": "Eq. 1"}]}, "the study is misshapen: "),
        ({"holdout": {"compute": 1}}, "the study has no field 'errors'"),
    ],
)
def test_a_study_of_another_shape_is_refused(small_study, tmp_path, change, message):
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(small_study.to_dict() | change))
    with pytest.raises(ScalingError, match=rf"laws.json: {message}.*; expected a file"):
        Study.load(path)


@pytest.mark.parametrize("change", [{"slope": "steep"}, {"x_range": 3}, {"name": "f"}])
def test_a_law_of_another_shape_is_refused(small_study, tmp_path, change):
    fields = small_study.to_dict()
    fields["laws"]["L_u(C)"] |= change
    (tmp_path / "laws.json").write_text(json.dumps(fields))
    with pytest.raises(ScalingError, match=r"laws.json: the study .*; expected a file"):
        Study.load(tmp_path / "laws.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ScalingError, match=r"laws.json does not exist; expected"):
        Study.load(tmp_path / "laws.json")


def test_the_hash_follows_the_values_and_not_the_names(table, tmp_path):
    first = rows(table, tmp_path, "a.csv").data_hash
    extra = table.assign(device="cpu")
    assert rows(extra, tmp_path, "b.csv").data_hash == first
    table = table.assign(normalised_loss=table["normalised_loss"] - 1e-9)
    assert rows(table, tmp_path, "c.csv").data_hash != first


def test_a_study_shows_itself_as_its_summary(small_study):
    assert repr(small_study) == summary(small_study)
