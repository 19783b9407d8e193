"""What a store has finished is taken over by another, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.runs.grid import load_grid
from scaling.runs.plan import Plan, expand
from scaling.runs.reuse import reusable, reuse


@pytest.fixture
def plan(tiny: Path) -> Plan:
    return expand(load_grid(tiny))


def test_finished_corpora_and_tokenizers_are_linked(
    straight: Path, tmp_path: Path, plan: Plan
) -> None:
    found = reusable(plan.jobs, [tmp_path / "none", straight])
    made = {job.folder for job in plan.jobs if job.kind in ("corpus", "tokenizer")}
    assert found == {name: straight / name for name in made}
    reuse(plan.jobs, [straight], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == made
    for name in made:
        ours = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        assert ours
        for path in ours:
            there = straight / path.relative_to(tmp_path)
            assert path.samefile(there)
        assert not any(path.name.startswith(".lease") for path in ours)
    reuse(plan.jobs, [straight], tmp_path)  # nothing is left to be done


def test_what_is_not_finished_stays(straight: Path, tmp_path: Path, plan: Plan) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    out.mkdir()
    reuse(plan.jobs, [straight], store_of(store))
    (corpus,) = (job.folder for job in plan.jobs if job.kind == "corpus")
    (store / corpus / "result.json").unlink()
    reuse(plan.jobs, [store], out)
    assert not (out / corpus).exists()
    assert (straight / corpus / "result.json").exists()


def store_of(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_without_links_it_copies(
    straight: Path, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr("os.link", refuse)
    reuse(plan.jobs, [straight], tmp_path)
    (corpus,) = tmp_path.glob("corpus-*")
    result = straight / corpus.name / "result.json"
    assert (corpus / "result.json").read_bytes() == result.read_bytes()
    assert not (corpus / "result.json").samefile(result)
