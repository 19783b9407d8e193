"""The names of `import scaling`: few, lazy, and the same as the commands."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import scaling
from scaling.cli import COMMANDS, main
from scaling.errors import ScalingError

ROOT = Path(__file__).resolve().parents[2]
ISOFLOPS = ROOT / "examples" / "isoflops.csv"
COLUMNS = {"N": "params", "D": "tokens", "L": "loss"}
NAMED = "N=params,D=tokens,L=loss"

WORDS = {"figures": "plot", "import_logs": "import"}
"""Commands that Python calls otherwise: one has the word, one makes no drawing yet."""
NO_COMMAND = {"read", "load_run"}
"""What commands begin with: records, or the run that generates."""
SHELL = {"json", "out", "as_json", "quiet", "config"}
"""Parameters of a shell: a result is returned, and saved by itself."""


def command(*arguments: object) -> Any:
    """Run a command with --json; give what it says."""
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def as_json(found: Any) -> Any:
    return json.loads(json.dumps(found.to_dict(), allow_nan=False))


@pytest.fixture(scope="module")
def records() -> Any:
    return scaling.read(ISOFLOPS, COLUMNS)


@pytest.fixture(scope="module")
def card(records: Any) -> Any:
    return scaling.fit(records, "chinchilla")


@pytest.fixture(scope="module")
def laws(card: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    card.save(path)
    return path


# --- Names ---------------------------------------------------------------------------


def test_the_names_are_few_and_all_there() -> None:
    names = [name for name in scaling.__all__ if name != "__version__"]
    assert len(names) <= 13
    for name in names:
        assert callable(getattr(scaling, name))
        assert inspect.getdoc(getattr(scaling, name))
    assert sorted(scaling.__all__) == dir(scaling)


def test_each_is_a_command() -> None:
    names = {*scaling.__all__} - {"__version__"} - NO_COMMAND
    assert {WORDS.get(name, name) for name in names} <= {*COMMANDS}


@pytest.mark.parametrize(
    "name", ["fit", "predict", "plan", "compare", "rates", "verify"]
)
def test_options_have_the_same_names(name: str) -> None:
    options = {
        option.lstrip("-").replace("-", "_")
        for parameter in main.commands[name].params
        for option in parameter.opts
        if option.startswith("--")
    }
    apart = {
        "compare": {"tie", "bound"},  # refused by the command too
        "fit": {"audit"},  # scaling.analysis.audit.audit(): of the paper, not of laws
    }
    taken = inspect.signature(getattr(scaling, name)).parameters
    assert options - SHELL - apart.get(name, set()) <= {*taken}


def test_types_are_told_where_names_are_loaded() -> None:
    tree = ast.parse(Path(scaling.__file__).read_text())
    told = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert {*scaling.__all__} - {"__version__"} <= told


@pytest.mark.parametrize("name", ["fits", "fit_law", "plot"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(scaling, name)


def test_looking_at_a_command_s_name_loads_nothing_heavy() -> None:
    names = sorted({*scaling.__all__} - NO_COMMAND)
    looked = f"import sys, scaling; [getattr(scaling, n) for n in {names}]; "
    heavy = ("numpy", "pandas", "scipy", "matplotlib", "torch", "click", "yaml")
    found = subprocess.run(
        [sys.executable, "-c", f"{looked}print({{*{heavy}}} & {{*sys.modules}})"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "set()\n"


# --- The same as the commands --------------------------------------------------------


def test_fit_of_the_envelope() -> None:
    study = scaling.fit(ISOFLOPS, columns=COLUMNS, holdout=0.2)
    said = command("fit", ISOFLOPS, "--columns", NAMED, "--holdout", 0.2)
    assert as_json(study) == said


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, []),
        ({"holdout": 0.2}, ["--holdout", 0.2]),
        (
            {"objective": "lsq", "fix": {"E": 1.8}, "level": 0.9},
            ["--objective", "lsq", "--fix", "E=1.8", "--level", 0.9],
        ),
        (
            {"interval": "pairs", "draws": 120, "seed": 3, "tie": {"beta": "alpha"}},
            ["--interval", "pairs", "--draws", 120, "--seed", 3, "--tie", "beta=alpha"],
        ),
        (
            {"interval": "profile", "bound": {"alpha": (0.1, 1.0)}, "delta": 0.01},
            ["--interval", "profile", "--bound", "alpha=0.1:1", "--delta", 0.01],
        ),
    ],
)
def test_fit_of_one_law(given: dict[str, Any], options: list[object]) -> None:
    card = scaling.fit(ISOFLOPS, "chinchilla", columns=COLUMNS, **given)
    law = ["--law", "chinchilla", *options]
    assert as_json(card) == command("fit", ISOFLOPS, "--columns", NAMED, *law)


def test_fit_of_the_law_that_predicts_best(
    records: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    card = scaling.fit(records, "auto")
    assert "law 1 of " in capsys.readouterr().err
    said = command("fit", ISOFLOPS, "--columns", NAMED, "--law", "auto")
    assert said.pop("selection")["best"] == card.fit.formula.name
    assert as_json(card) == said


def test_fit_by_all_approaches(records: Any) -> None:
    found = scaling.fit(records, approach="all")
    said = command("fit", ISOFLOPS, "--columns", NAMED, "--approach", "all")
    assert as_json(found) == said


def test_fit_takes_tables_in_memory(card: Any) -> None:
    again = scaling.fit(pd.read_csv(ISOFLOPS), "chinchilla", columns=COLUMNS)
    assert again.fit.theta == pytest.approx(card.fit.theta)


@pytest.mark.parametrize("by", ["file", "card"])
def test_predict(laws: Path, card: Any, by: str, tmp_path: Path) -> None:
    given = laws if by == "file" else card
    found = scaling.predict(
        given, 1e19, codebook=256, grid=tmp_path / "verify.yaml", level=0.9
    )
    options = ["--codebook", 256, "--grid", tmp_path / "said.yaml", "--level", 0.9]
    assert as_json(found) == command("predict", laws, "--compute", 1e19, *options)
    written = [(tmp_path / f"{name}.yaml").read_text() for name in ("verify", "said")]
    assert written[0] == written[1]


def test_predict_a_run_in_seconds(laws: Path) -> None:
    found = scaling.predict(laws, at={"N": 7e7, "D": 1.4e9})
    assert as_json(found) == command("predict", laws, "--at", "N=7e7,D=1.4e9")
    half = scaling.predict(laws, 1e20, unit="seconds", tokens_per_second=2)
    whole = scaling.predict(laws, 1e20)
    assert half.quantities["D"].value == whole.quantities["D"].value / 2


def test_predict_from_the_envelope() -> None:
    found = scaling.predict(scaling.fit("scamo"), 1e18)
    assert set(found.quantities) >= {"N_nv", "N_v", "D"}


def test_plan(laws: Path, card: Any, tmp_path: Path) -> None:
    options = ["--budget", 1e22, "--target", 1e24, "--runs", 2, "--seed", 1]
    said = command("plan", laws, *options)
    said.pop("built")
    found = scaling.plan(card, 1e22, 1e24, runs=2, seed=1)
    assert as_json(found)["runs"] == said["runs"]
    assert as_json(found) == said


def test_compare(records: Any) -> None:
    found = scaling.compare(ISOFLOPS, ISOFLOPS, columns=COLUMNS, fix={"E": 1.7})
    said = command(
        *("compare", ISOFLOPS, ISOFLOPS, "--columns", NAMED, "--fix", "E=1.7")
    )
    assert as_json(found) == said
    assert scaling.compare(records, records).names == ("first", "second")


def test_figures(tmp_path: Path, records: Any) -> None:
    found = scaling.figures("scamo", ["3b", "7a"])
    paths = found.save(tmp_path / "python", ["svg"])
    chosen = ["--figure", "3b", "--figure", "7a", "--format", "svg"]
    done = CliRunner().invoke(
        main, ["plot", "scamo", *chosen, "--out", str(tmp_path / "command")]
    )
    assert done.exit_code == 0, done.output
    for path in paths:
        assert path.read_bytes() == (tmp_path / "command" / path.name).read_bytes()
    read_before = scaling.figures(scaling.read("scamo"), "3b")["3b"]
    assert read_before.svg() == found["3b"].svg()


def test_figures_of_a_table_in_memory(records: Any) -> None:
    of_records = scaling.figures(records)
    of_table = scaling.figures(pd.read_csv(ISOFLOPS), columns=COLUMNS)
    assert [each.name for each in of_records] == [each.name for each in of_table]


def test_report(tmp_path: Path) -> None:
    page = scaling.report(ISOFLOPS, tmp_path / "page.html", columns=COLUMNS)
    arguments = [
        "report",
        ISOFLOPS,
        "--columns",
        NAMED,
        "--out",
        tmp_path / "said.html",
    ]
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert "chinchilla" in page.read_text()
    assert len(page.read_text()) == pytest.approx(
        len((tmp_path / "said.html").read_text()), rel=0.01
    )


def test_import_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = scaling.import_logs(ISOFLOPS, tmp_path / "python.csv", columns=COLUMNS)
    assert "params" in capsys.readouterr().err
    said = command(
        "import", ISOFLOPS, "--columns", NAMED, "--out", tmp_path / "said.csv"
    )
    assert said["out"]
    assert (tmp_path / "python.csv").read_text() == (tmp_path / "said.csv").read_text()
    again = pd.read_csv(tmp_path / "python.csv")
    pd.testing.assert_frame_equal(table.astype(again.dtypes), again)


# --- What would have no effect is refused --------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fix": {"E": 1}}, "fix would have no effect on the laws of the envelope"),
        ({"approach": "all", "level": 0.9}, "level would have no effect on approach"),
        ({"law": "auto", "tie": {"beta": "alpha"}}, "tie would have no effect on law"),
        ({"law": "chinchilla", "draws": 200}, "draws belong to a bootstrap"),
        ({"law": "chinchila"}, "did you mean 'chinchilla'"),
        ({"columns": {"N": "params"}}, "the records are read already"),
        ({"rows": "uncooled"}, "the records are read already"),
    ],
)
def test_fit_refuses(records: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ScalingError, match=words):
        scaling.fit(records, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing to predict"),
        ({"at": {"N": 1e7, "D": 1e9}, "codebook": 64}, "no effect without compute"),
        ({"compute": 1e20, "tokens_per_second": 5.0}, 'without unit="seconds"'),
        ({"compute": 1e20, "grid": "new.yaml"}, "new.yaml is not written"),
    ],
)
def test_predict_refuses(card: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ScalingError, match=words):
        scaling.predict(card, **given)


def test_plan_refuses_the_envelope() -> None:
    with pytest.raises(ScalingError, match='law="chinchilla"'):
        scaling.plan(scaling.fit("scamo"), 1e18, 1e20)


# --- Runs ----------------------------------------------------------------------------

GRID = """
study: tiny
corpus: {sequences: 40}
tokenizers: {codebooks: [64], width: 16, depth: 1, steps: 4, batch_size: 4}
transformers: {sizes: [1x1x16], tokens: [400, 800], batch_size: 4, evaluations: 2}
seeds: [0]
"""

SCRIPT = """
import sys
print("the script ran")
import scaling
fewer = {"transformers.tokens": [400]}
store = scaling.run(sys.argv[1], "out", jobs=1, overrides=fewer)
print(store, scaling.status(store)["status"].tolist())
"""


def test_a_script_trains_without_a_guard(tmp_path: Path) -> None:
    """Workers do not run the script again, although it has no `if __name__`."""
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", "grid.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the script ran") == 1
    assert done.stdout.splitlines()[-1].startswith("out ['finished'")
    assert "jobs" in done.stderr
