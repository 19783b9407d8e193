"""Logs of other trainers: what is found, mapped, left out, said and written."""

from __future__ import annotations

import csv
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling.errors import ScalingError
from scaling.record import Row
from scaling.runs.imports import Import, load, require_out, write
from scaling.runs.imports_preview import mapping, missing, text, to_dict

DATA = os.environ.get("SCALING_DATA", "")


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write CSV with all fields quoted, as W&B does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
        lines.writeheader()
        lines.writerows(rows)
    return path


def rows_of(imported: Import) -> list[Row]:
    return [
        {k: v for k, v in row.items() if k != "imported_from"} for row in imported.rows
    ]


def sources(imported: Import) -> dict[str, str]:
    return {each["column"]: each["source"] for each in mapping(imported)}


# --- Weights & Biases ---------------------------------------------------------------


def runs_table(folder: Path) -> Path:
    return table(
        folder / "wandb_export.csv",
        [
            {
                "Name": name,
                "ID": f"id{n}",
                "State": state,
                "parameter_count": 1000 * n,
                "throughput/total_tokens": 500,
                "throughput/total_gflops": 0.003,
                "eval/paloma/macro_loss": loss,
                "eval/paloma/c4/loss": 9,
                "train/loss": 2.5,
            }
            for n, name, state, loss in [
                (1, "x", "finished", 3.5),
                (2, "y", "crashed", "NaN"),
                (3, "x", "running", 3.0),
                (4, "z", "failed", ""),
            ]
        ],
    )


def test_a_runs_table_of_wandb(tmp_path: Path) -> None:
    imported = load([runs_table(tmp_path)])
    assert rows_of(imported) == [
        {
            "run": f"x (id{n})",
            "total_params": 1000.0 * n,
            "tokens": 500.0,
            "flops": pytest.approx(3e6),
            "flops_convention": "logged",
            "loss": loss,
            "train_loss": 2.5,
            "status": status,
        }
        for n, loss, status in [(1, 3.5, "finished"), (3, 3.0, "unfinished")]
    ]
    said = "\n".join(imported.notes)
    assert "loss is eval/paloma/macro_loss; it could be eval/paloma/c4/loss" in said
    assert "left out: 1 row whose loss is no finite number" in said
    assert "left out: y, of which no row is left" in said
    # z holds other losses, which are not the measure of the others
    assert "1 run without a loss such as eval/paloma/macro_loss, z" in said


def test_a_chart_is_joined_to_the_runs_table(tmp_path: Path) -> None:
    chart = table(
        tmp_path / "chart.csv",
        [
            {
                "Step": step,
                **{
                    f"a - b - eval/loss{bound}": loss
                    for bound in ("", "__MIN", "__MAX")
                },
            }
            for step, loss in [(100, 4.0), (200, ""), (300, 3.0)]
        ],
    )
    row = {"Name": "a - b", "_step": 400, "train/total_tokens": 4000, "n_params": 7}
    runs = table(tmp_path / "runs.csv", [row])
    imported = load([chart, runs])
    assert [(r["run"], r["step"], r["loss"]) for r in imported.rows] == [
        ("a - b", 100, 4.0),
        ("a - b", 300, 3.0),
    ]
    assert [row["tokens"] for row in imported.rows] == [1000, 3000]
    assert {row["total_params"] for row in imported.rows} == {7}


@pytest.mark.parametrize("quoted", ["python", "json"])
def test_an_export_by_the_api_holds_objects(tmp_path: Path, quoted: str) -> None:
    summary = {"eval/loss": 3.0, "_step": 7, "total_tokens": 90, "train/loss": math.nan}
    config = {"model": {"n_params": 5}, "note": "it's"}
    spell = repr if quoted == "python" else json.dumps
    cells = {"summary": spell(summary), "config": spell(config), "name": "a"}
    imported = load([table(tmp_path / "project.csv", [cells])])
    (row,) = rows_of(imported)
    expected = {"run": "a", "loss": 3.0, "step": 7, "tokens": 90, "total_params": 5}
    assert row.items() >= expected.items()


def test_histories_as_jsonl_and_parquet_agree(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [
        {"run_name": run, "_step": n, "eval/loss": 3 / n, "total_tokens": 8 * n}
        for run in "ab"
        for n in (1, 2)
    ]
    lines = tmp_path / "history.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_table(pyarrow.Table.from_pylist(rows), tmp_path / "history.parquet")
    one, other = (load([tmp_path / f"history.{s}"]) for s in ("jsonl", "parquet"))
    assert rows_of(one) == rows_of(other)
    assert one.names == ("a", "b")
    assert [row["tokens"] for row in one.rows] == [8, 16, 8, 16]


@pytest.mark.skipif(not DATA, reason="SCALING_DATA does not name the folder of exports")
@pytest.mark.parametrize("name", ["comma", "dclm", "nemotron"])
def test_real_exports_are_what_their_curators_made_of_them(name: str) -> None:
    folder = Path(DATA) / "open_athena_isoflops"
    imported = load([folder / f"marin_raw_isoflop-{name}.csv"])
    held = {(row["total_params"], row["tokens"], row["loss"]) for row in imported.rows}
    flops = {
        (row["total_params"], row["tokens"]): row["flops"] for row in imported.rows
    }
    with (folder / "isoflops.csv").open() as file:
        curated = [
            row
            for row in csv.DictReader(file)
            if row["experiment"] == f"marin_202603__{name}__llama_2"
        ]
    assert len(curated) >= 85
    for row in curated:
        size, tokens = float(row["params"]), float(row["tokens"])
        assert (size, tokens, float(row["loss"])) in held
        assert flops[size, tokens] == pytest.approx(float(row["budget"]), rel=2e-5)


# --- Other trainers -----------------------------------------------------------------


def test_lightning_s_sparse_rows(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs" / "version_3"
    metrics = table(
        folder / "metrics.csv",
        [
            {"epoch": 0, "step": 9, "tokens": 100, "train_loss": 4.0, "val_loss": ""},
            {"epoch": 0, "step": 19, "tokens": 200, "train_loss": 3.0, "val_loss": ""},
            {"epoch": 0, "step": 19, "tokens": "", "train_loss": "", "val_loss": 3.5},
        ],
    )
    (folder / "hparams.yaml").write_text("num_params: 12\nmodel: {width: 4}\nlr: 0.1\n")
    for path in (metrics, folder, tmp_path / "lightning_logs"):
        imported = load([path])
        (row,) = rows_of(imported)
        expected = {"step": 19, "tokens": 200, "train_loss": 3.0, "loss": 3.5}
        expected |= {"total_params": 12, "d_model": 4, "learning_rate": 0.1}
        assert row.items() >= expected.items()
        assert "epochs" not in row
        assert row["run"].endswith("version_3")
    (folder / "hparams.yaml").write_text("model: !!python/object:torch.nn.Linear {}\n")
    imported = load([metrics])
    assert "hparams.yaml is left out" in imported.notes[0]


def test_nanochat_s_results(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(
        "flops_budget,depth,model_dim,params_wte,params_transformer,params_total,"
        "num_iterations,tokens_trained,val_bpb,core_score,train_time_sec\n"
        "1e18,10,640,20971520,49152000,91095040,2000,1048576000,0.95,0.1,100\n"
        "1e18,12,768,25165824,84934656,135266304,1500,786432000,0.93,0.12,110\n"
    )
    imported = load([path])
    assert [log.log.format for log in imported.runs] == ["nanochat results"] * 2
    assert imported.names == ("flops1e18_d10", "flops1e18_d12")
    row = imported.rows[0]
    assert row["loss"] == pytest.approx(0.95 * math.log(2))
    assert (row["flops"], row["tokens"], row["step"]) == (1e18, 1048576000, 2000)
    assert (row["total_params"], row["non_vocab_params"]) == (91095040, 49152000)
    assert "nats per byte" in text(imported)


def test_olmo_core_s_metrics(tmp_path: Path) -> None:
    rows = [
        {
            "_step": n,
            "train/CE loss": 10 - n,
            "throughput/total tokens": 100 * n,
            "throughput/total petaflops": n / 10,
            "throughput/device/TPS": 1e6,
            "eval/lm/c4/CE loss": 9 - n if n % 2 == 0 else "",
            "eval/lm/c4/PPL": math.exp(9 - n) if n % 2 == 0 else "",
        }
        for n in range(1, 5)
    ]
    imported = load([table(tmp_path / "olmo.csv", rows)])
    assert imported.runs[0].log.format == "OLMo-core metrics"
    assert [(r["loss"], r["tokens"], r["flops"]) for r in imported.rows] == [
        (7, 200, 2e14),
        (5, 400, 4e14),
    ]
    by_perplexity = load([tmp_path / "olmo.csv"], {"L": "eval/lm/c4/PPL"})
    assert by_perplexity.rows[0]["loss"] == pytest.approx(math.exp(7))


def trainer_state(folder: Path, step: int, flops: float) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"step": n, "epoch": n / 10, **loss}
        for n in range(10, step + 1, 10)
        for loss in ({"loss": 5.0}, {"eval_loss": 40 / n})
    ]
    state = {"global_step": step, "total_flos": flops, "log_history": rows}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def test_a_trainer_s_state_with_its_model(tmp_path: Path) -> None:
    run = tmp_path / "out" / "w32"
    trainer_state(run / "checkpoint-10", 10, 6e3)
    trainer_state(run / "checkpoint-20", 20, 12e3)
    config = {"vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 2}
    (run / "checkpoint-20" / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [10, 4], "layer": [5, 4], "lm_head": [10, 4]}
    head = json.dumps(
        {"__metadata__": {}} | {name: {"shape": s} for name, s in shapes.items()}
    ).encode()
    weights = run / "checkpoint-20" / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", len(head)) + head)
    imported = load([tmp_path / "out"])
    assert imported.names == ("w32",)
    first, last = rows_of(imported)
    expected = {"step": 20, "loss": 2.0, "epochs": 2.0, "flops": 12e3, "d_model": 4}
    expected |= {"total_params": 100, "non_vocab_params": 20, "vocab_params": 80}
    assert last.items() >= expected.items()
    assert last["tokens"] == pytest.approx(12e3 / (6 * 60))  # without the embedding
    assert first["flops"] == pytest.approx(6e3)
    weights.write_bytes(b"torn")
    imported = load([tmp_path / "out"])
    assert "is no safetensors file" in imported.notes[0]
    assert "tokens" not in imported.columns


def test_transformers_counts_its_flops_so(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "w8")
    settings = transformers.TrainingArguments(tmp_path, report_to="none", use_cpu=True)
    batch = {"input_ids": torch.zeros(3, 5, dtype=torch.long)}
    flops = transformers.Trainer(model, settings).floating_point_ops(batch)
    row = {"step": 1, "eval_loss": 2.5}
    state = {"global_step": 1, "total_flos": flops, "log_history": [row]}
    (tmp_path / "w8" / "trainer_state.json").write_text(json.dumps(state))
    (row,) = rows_of(load([tmp_path]))
    assert row["tokens"] == pytest.approx(15)
    assert row["total_params"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("content", ["{", "[]", '{"log_history": 3}'])
def test_a_state_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "trainer_state.json").write_text(content)
    with pytest.raises(ScalingError, match="expected the state of a Trainer"):
        load([tmp_path / "trainer_state.json"])


def test_hyperparameters_of_a_folder_below_are_the_run_s(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    script = """
import sys
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter(sys.argv[1]) as writer:
    for step in (1, 2):
        writer.add_scalar("loss/val", 3 / step, step)
        writer.add_scalar("tokens", 10 * step, step)
    writer.add_hparams({"n_params": 50}, {"hparam/loss": 1.5})
"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "w4"], check=True)
    imported = load([tmp_path])
    assert imported.names == ("w4",)
    assert [(row["loss"], row["total_params"]) for row in imported.rows] == [
        (3.0, 50),
        (1.5, 50),
    ]


def test_one_kind_of_a_folder_is_read(tmp_path: Path) -> None:
    table(tmp_path / "b" / "metrics.csv", [{"step": 1, "epoch": 0, "val_loss": 3}])
    trainer_state(tmp_path / "a", 10, 6e3)
    imported = load([tmp_path])
    assert imported.names == ("a",)
    assert "holds 1 more of other kinds, such as metrics.csv" in imported.notes[0]


# --- What is written ----------------------------------------------------------------


def test_what_is_written_is_read_by_a_fit_and_by_us(tmp_path: Path) -> None:
    from scaling.analysis.records import read

    out = tmp_path / "runs.csv"
    imported = load([runs_table(tmp_path)])
    require_out(out, [])
    write(imported, out)
    require_out(out, [])  # its own file may be written again
    records = read(out)
    assert set(records.quantities) == {"C", "N", "D", "L_u"}
    assert records.points()["L_u"].tolist() == [3.5, 3.0]
    again = load([out])
    assert rows_of(again) == rows_of(imported)
    assert load([tmp_path]).names == imported.names  # searched folders leave it out


def test_others_files_are_not_written_over(tmp_path: Path) -> None:
    path = runs_table(tmp_path)
    with pytest.raises(ScalingError, match="is a folder or one of the sources"):
        require_out(path, [path])
    with pytest.raises(ScalingError, match="was not written by this command"):
        require_out(path, [])
    with pytest.raises(ScalingError, match=r"is no \.csv"):
        require_out(tmp_path / "runs.parquet", [])


def test_an_example_that_is_no_number_is_none_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"run": "a", "step": 1, "val_loss": NaN}\n'
        '{"run": "a", "step": 2, "val_loss": 3}\n'
    )
    said = to_dict(load([path]))
    assert [e["example"] for e in said["mapping"] if e["column"] == "loss"] == [None]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    imported = load([table(tmp_path / "a.csv", [{"run": "a", "val_loss": 3, "N": 5}])])
    assert set(missing(imported)) == {"D", "C"}
    assert "D is missing: name it with --columns D=NAME" in text(imported)
    assert sources(imported) == {"total_params": "N", "loss": "val_loss"}


@pytest.mark.parametrize("said", [(False, True), ("false", "True"), (0, 1.0)])
def test_what_is_cooled_stays_told(tmp_path: Path, said: tuple[Any, Any]) -> None:
    rows = [{"step": n, "loss": 3 - n, "cooled": x} for n, x in enumerate(said, 1)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [row["cooled"] for row in load([path]).rows] == [False, True]


def test_a_column_has_one_source(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [{"a": 1.0, "b": 2.0}])
    with pytest.raises(ScalingError, match="loss both 'a' and 'b'"):
        load([path], {"L": "a", "loss": "b"})


def test_what_cannot_be_derived_is_said(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [{"loss": 3.0, "flops": 1e9}])
    notes = load([path], derive=["N"]).notes
    assert "--derive N has no effect on 1 run, which lack C and D" in notes
