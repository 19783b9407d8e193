"""The commands as a user meets them: real processes, one plain line a mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scaling.cli import COMMANDS, main

if TYPE_CHECKING:
    from tests.conftest import CommandLine

TABLE = """\
flops,normalised_loss,non_vocab_params,vocab_params,tokens,codebook_size
1e10,-1.0,1000,100,20000,64
1e11,-1.5,3000,400,60000,64
1e12,-2.0,9000,1600,200000,128
1e13,-2.6,30000,6400,600000,256
"""


def table(tmp_path: Path, text: str = TABLE) -> Path:
    path = tmp_path / "losses.csv"
    path.write_text(text)
    return path


def test_fit_json_is_one_object_and_nothing_else(
    tmp_path: Path, scaling: CommandLine
) -> None:
    done = scaling.run("fit", table(tmp_path), "--json")
    assert done.returncode == 0
    study = json.loads(done.stdout)
    assert study["laws"]["L_u(C)"]["slope"] == pytest.approx(-0.53, abs=0.01)
    assert len(done.stdout.splitlines()) == 1


def test_the_paper_s_numbers_in_one_command(scaling: CommandLine) -> None:
    study = json.loads(scaling.run("fit", "scamo", "--json").stdout)
    law = study["laws"]["L_u(C)"]
    assert round(law["slope"], 3) == -1.062
    assert round(law["intercept"], 3) == 13.839
    assert law["n"] == 19
    found = {
        (row["equation"], row["agrees"]): (row["slope"], row["intercept"])
        for row in study["published"]
    }
    assert found["Eq. 14", True] == pytest.approx((-1.0621, 13.8393), abs=1e-4)
    assert found["Eq. 10", True] == pytest.approx((1.4670, -5.6039), abs=1e-4)
    assert found["Eq. 10", False][0] == pytest.approx(1.236, abs=1e-3)
    for equation in ("Eq. 11", "Eq. 12", "Eq. 13"):
        assert (equation, False) in found
    notes = " ".join(study["notes"])
    assert "1.467, becomes 1.236" in notes
    assert "D is not a token count" in notes
    assert "forward FLOPs per token, not parameters" in notes


def test_fit_writes_laws_that_plot_reads(tmp_path: Path, scaling: CommandLine) -> None:
    laws = tmp_path / "laws.json"
    fitted = scaling.run("fit", table(tmp_path), "--out", laws)
    assert fitted.stdout.splitlines()[-1] == str(laws)
    figures = tmp_path / "figures"
    arguments = ("--figure", "figure3b", "--format", "svg", "--out", figures)
    plotted = scaling.run("plot", laws, *arguments)
    assert plotted.stdout.splitlines() == [
        str(figures / "figure3b.svg"),
        str(figures / "figure3b.csv"),
    ]
    assert (figures / "figure3b.svg").read_text().startswith("<?xml")


def test_columns_may_have_other_names(tmp_path: Path, scaling: CommandLine) -> None:
    text = TABLE.replace("flops", "budget").replace("normalised_loss", "nll")
    path = table(tmp_path, text)
    done = scaling.run("fit", path, "--columns", "C=budget,L_u=nll", "--json")
    assert json.loads(done.stdout)["laws"]["L_u(C)"]["n"] == 4


def test_held_out_points_are_predicted_not_fitted(
    tmp_path: Path, scaling: CommandLine
) -> None:
    done = scaling.run("fit", table(tmp_path), "--holdout", "5e12", "--json")
    study = json.loads(done.stdout)
    assert study["laws"]["L_u(C)"]["n"] == 3
    assert study["holdout"]["errors"]["L_u(C)"]["n"] == 1


BAD = {
    "missing file": (None, [], "losses.csv"),
    "missing column": (
        TABLE.replace("flops", "budget").replace("tokens", "data"),
        [],
        "has no column 'flops'; it has: budget, normalised_loss",
    ),
    "nan": (TABLE.replace("-1.5", "nan"), [], "normalised_loss"),
    "infinite": (TABLE.replace("-1.5", "inf"), [], "normalised_loss"),
    "zero": (TABLE.replace("1e11", "0"), [], "flops"),
    "negative": (TABLE.replace("1e11", "-1e11"), [], "flops"),
    "empty": ("", [], "losses.csv"),
    "one row": ("\n".join(TABLE.splitlines()[:2]), [], "no law can be fitted"),
    "unknown symbol": (TABLE, ["--columns", "Q=flops"], "'Q'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line(tmp_path: Path, scaling: CommandLine, case: str) -> None:
    text, options, says = BAD[case]
    path = tmp_path / "losses.csv"
    if text is not None:
        path.write_text(text)
    done = scaling.run("fit", path, "--out", tmp_path / "laws.json", *options)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert says in line
    assert not (tmp_path / "laws.json").exists()


def test_a_mistake_in_the_command_is_exit_code_2(
    tmp_path: Path, scaling: CommandLine
) -> None:
    for arguments in (["fit"], ["fit", table(tmp_path), "--columns", "C"], ["fti"]):
        done = scaling.run(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_an_unknown_figure_or_format_is_named(
    tmp_path: Path, scaling: CommandLine
) -> None:
    path, out = table(tmp_path), ("--out", tmp_path / "figures")
    figure = scaling.run("plot", path, *out, "--figure", "figure3")
    assert figure.returncode == 1
    assert "no figure or table 'figure3'; did you mean 'figure3b'" in figure.stderr
    file_format = scaling.run("plot", path, *out, "--format", "jpg")
    assert file_format.returncode == 1
    assert "no format 'jpg'" in file_format.stderr
    assert not (tmp_path / "figures").exists()


def test_the_stack_is_shown_on_demand(tmp_path: Path, scaling: CommandLine) -> None:
    shown = {**scaling.environment, "SCALING_TRACEBACK": "1"}
    done = scaling.run("fit", tmp_path / "none.csv", env=shown)
    assert "Traceback" in done.stderr


def test_the_readme_shows_what_the_commands_print(
    scaling: CommandLine, tmp_path: Path
) -> None:
    """One after the other, where only the examples lie."""
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "examples").symlink_to(root / "examples")
    readme = (root / "README.md").read_text()
    blocks = re.findall(r"```console\n\$ scaling (.*?)\n(.*?)```", readme, re.DOTALL)
    assert len(blocks) == 2
    for arguments, shown in blocks:
        printed = scaling.run(*arguments.split(), cwd=tmp_path).stdout.splitlines()
        assert set(shown.splitlines()) - {"..."} <= set(printed)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_commands_are_listed_by_the_first_sentence_of_their_help(name: str) -> None:
    first, _, _ = (main.commands[name].help or "").partition("\n\n")
    sentence, _, _ = " ".join(first.split()).partition(". ")
    assert COMMANDS[name][1] == sentence.removesuffix(".") + "."
    assert main.commands[name].name == name
