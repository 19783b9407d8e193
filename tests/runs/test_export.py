"""What a store logged is what TensorBoard and Weights & Biases show."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scaling.errors import ScalingError
from scaling.record import METRICS, Row, read_metrics, run_folders
from scaling.runs.export import KINDS, Export, export_store, exporting

if TYPE_CHECKING:
    from tests.conftest import CommandLine


@pytest.fixture
def store(straight: Path, tmp_path: Path) -> Path:
    out = tmp_path / "store"
    shutil.copytree(straight, out)
    return out


def logged(out: Path) -> dict[str, list[Row]]:
    found = run_folders(out, *KINDS)
    return {path.name: list(read_metrics(path / METRICS).rows) for path, _ in found}


def test_tensorboard_shows_every_evaluation(store: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    expected = logged(store)
    assert Export(store, "tensorboard").close() == sum(map(len, expected.values()))
    for run, rows in expected.items():
        shown = event_accumulator.EventAccumulator(str(store / "tensorboard" / run))
        shown.Reload()
        name = "loss" if "loss" in rows[0] else "l1"
        seen = [(event.step, event.value) for event in shown.Scalars(name)]
        assert [step for step, _ in seen] == [row["step"] for row in rows]
        values = [row[name] for row in rows]
        assert [value for _, value in seen] == pytest.approx(values)  # float32 there


def test_wandb_holds_every_evaluation(store: Path) -> None:
    pytest.importorskip("wandb")
    from scaling.runs.logs_wandb import read

    expected = logged(store)
    Export(store, "wandb").close()
    for run, rows in expected.items():
        (file,) = (store / "wandb" / "wandb").glob(f"offline-run-*-{run}/*.wandb")
        (log,) = read([file], run, [])
        assert [row["step"] for row in log.rows] == [row["step"] for row in rows]


def test_an_evaluation_goes_out_once(store: Path) -> None:
    pytest.importorskip("tensorboard")
    run = next(iter(logged(store)))
    log = store / run / METRICS
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]) + lines[-1][:5])  # the last is being written
    total = Export(store, "tensorboard").close()
    log.write_text("".join(lines))
    assert Export(store, "tensorboard").close() == 1
    assert Export(store, "tensorboard").close() == 0
    ledger = json.loads((store / "tensorboard" / "exported.json").read_text())
    assert sum(ledger.values()) == total + 1


def test_a_run_is_exported_while_it_trains(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    pytest.importorskip("tensorboard")
    out = tmp_path / "out"
    done = scaling.run("run", tiny, "--out", out, "--export", "tensorboard")
    assert done.returncode == 0, done.stderr
    exported = {path.parent.name for path in out.glob("tensorboard/*/events.*")}
    assert exported == set(logged(out))


@pytest.mark.skipif(
    importlib.util.find_spec("wandb") is not None, reason="wandb is installed"
)
def test_a_missing_package_is_named(store: Path) -> None:
    message = r"needs the package wandb, .*: pip install 'scaling\[wandb\]'"
    with (
        pytest.raises(ScalingError, match=message),
        exporting(store, ("wandb",)),
    ):
        pass


def test_only_a_store_is_exported(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"holds no grid\.json"):
        export_store(tmp_path, "tensorboard")
