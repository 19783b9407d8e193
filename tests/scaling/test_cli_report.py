"""`scaling report` as a user meets it: real processes, a store that was trained."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from scaling.analysis.material import Material
from scaling.analysis.report_flops import accounting
from scaling.api_figures import report as write_report
from scaling.cli_report import report
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from tests.conftest import CommandLine

LOSSES = """\
params,tokens,loss
1e6,2e7,4.1
1e6,8e7,3.8
4e6,2e7,3.7
4e6,8e7,3.3
1.6e7,2e7,3.5
1.6e7,8e7,3.0
1.6e7,3.2e8,2.8
6.4e7,3.2e8,2.5
"""


@pytest.fixture(scope="session")
def store(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Path:
    out = tmp_path_factory.mktemp("report") / "store"
    done = scaling.run("run", tiny, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    path = tmp_path / "losses.csv"
    path.write_text(LOSSES)
    return path


def called(*words: object) -> Result:
    """Call the command in this process."""
    return CliRunner().invoke(report, [str(word) for word in words])


def test_a_store_gets_its_report_with_motions(
    scaling: CommandLine, store: Path
) -> None:
    done = scaling.run("report", store)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{store / 'report.html'}\n"
    page = (store / "report.html").read_text()
    assert len(page.encode()) < 3_000_000
    assert "<h1>tiny</h1>" in page
    labels = re.findall("<figcaption><b>([a-z]+)</b>", page)
    assert labels.count("real") == labels.count("reconstructed") == 3
    assert "generated" in labels
    assert f"scaling run grid.yaml --out {store}" in page
    assert write_report([store]).read_text() == page  # over its own


def test_the_records_cost_what_their_convention_says(store: Path) -> None:
    found = accounting(Material(sources=[store]))
    assert found.used == "openai"
    assert len(found.counts) == 4
    assert [each.forward["openai"] for each in found.counts] == pytest.approx(
        [each.recorded for each in found.counts]
    )


def test_motions_can_be_left_out(store: Path, tmp_path: Path) -> None:
    done = called(store, "--no-motions", "--out", tmp_path / "still.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "still.html").read_text()
    assert 'id="motions"' not in page
    assert "--no-motions</pre>" in page


def test_a_table_gets_its_report_in_this_folder(
    losses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(losses.parent)
    columns = "N=params,D=tokens,L=loss"
    done = called("losses.csv", "--columns", columns, "--law", "chinchilla")
    assert (done.exit_code, done.output) == (0, "report.html\n")
    page = Path("report.html").read_text()
    command = f"scaling report losses.csv --columns {columns} --law chinchilla"
    assert command in page
    assert "Law chinchilla" in page


def test_laws_take_no_options_of_a_fit(store: Path, tmp_path: Path) -> None:
    laws = tmp_path / "laws.json"
    Material(sources=[store]).study.save(laws)
    done = called(laws, "--law", "chinchilla", "--holdout", "0.2")
    assert done.exit_code == 2
    assert "--law, --holdout would have no effect" in done.output
    done = called(laws, "--out", tmp_path / "laws.html")
    assert done.exit_code == 0, done.output
    assert done.output == f"{tmp_path / 'laws.html'}\n"


def test_a_page_of_others_is_left_alone(losses: Path, tmp_path: Path) -> None:
    out = tmp_path / "index.html"
    out.write_text("<h1>mine</h1>")
    for target in (out, losses):
        before = target.read_text()
        done = called(losses, "--columns", "N=params,D=tokens,L=loss", "--out", target)
        assert done.exit_code == 1
        assert target.read_text() == before
    assert "choose another" in done.output


def test_what_cannot_be_read_makes_no_report(tmp_path: Path, losses: Path) -> None:
    done = called(tmp_path / "nowhere.csv", "--out", tmp_path / "page.html")
    assert done.exit_code == 1
    done = called(losses, "--out", tmp_path / "page.html")
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_a_store_of_other_data_says_why_nothing_moves(
    store: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "store"
    shutil.copytree(store, broken)
    for folder in broken.glob("tokenizer-*"):
        shutil.rmtree(folder)
    page = write_report([broken]).read_text()
    missing = page[page.index('id="missing"') :]
    assert "<dt>Motions</dt>" in missing
    assert "which is not in" in missing
    with pytest.raises(ScalingError):
        write_report([broken / "nothing"])
