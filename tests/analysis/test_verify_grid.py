import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.analysis.buildable import Counting, nearest
from scaling.analysis.verify_grid import (
    STORE_GRID,
    counting_of,
    find_template,
    grid_for,
)
from scaling.errors import ScalingError
from scaling.models.flops import CONVENTIONS
from scaling.models.levels import LEVELS
from scaling.runs.data import Rows, Sampler
from scaling.runs.grid import load_grid
from scaling.runs.plan import expand
from scaling.runs.sections import LearningRate, Transformers
from scaling.runs.store import GRID

TEMPLATE = {
    "study": "before",
    "corpus": {"kind": "kinematic", "sequences": 40, "seed": 3},
    "tokenizers": {"codebooks": [16, 64], "levels": [], "width": 16, "steps": 6},
    "transformers": {
        "sizes": ["1x1x16", "1x2x32"],
        "tokens": [],
        "compute": [1e9, 1e10],
        "batch_size": 4,
        "learning_rate": None,
        "text_width": 48,
        "context": 190,
        "flops_convention": "matmul",
    },
    "seeds": [5, 6],
}


def law(x):
    return 1.5 + 400 * x["N_nv"] ** -0.34 + 2 * x["N_v"] ** -0.2 + 410 * x["D"] ** -0.3


def configuration(template=None, compute=1e13, V=240):
    counting = counting_of(template or {})
    return nearest(law, compute, wanted={"N_nv": 2e5}, codebook=V, **asdict(counting))


def planned(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "verify.yaml"
    path.write_text(text, encoding="utf-8")
    plan = expand(load_grid(path))
    (job,) = plan.transformers
    return plan.grid, job


@pytest.fixture
def as_planned(tmp_path_factory):
    return lambda text: planned(text, tmp_path_factory)


@settings(max_examples=40, deadline=None)
@given(
    compute=st.floats(1e10, 1e26),
    exponent=st.floats(0.3, 0.5),
    V=st.floats(9, 3e5),
    convention=st.sampled_from(sorted(CONVENTIONS)),
    has_template=st.booleans(),
)
def test_the_plan_trains_the_configuration_for_its_flops(
    tmp_path_factory, compute, exponent, V, convention, has_template
):
    section = TEMPLATE["transformers"] | {"flops_convention": convention}
    template = TEMPLATE | {"transformers": section} if has_template else None
    counting = counting_of(template or {"transformers": section})
    wanted = {"N_nv": compute**exponent, "V": V}
    found = nearest(law, compute, wanted=wanted, **asdict(counting))
    grid, job = planned(grid_for([found], template, "verify"), tmp_path_factory)
    assert grid.study == "verify"
    assert (job.size, job.quantization.levels, job.tokens) == (
        found.size,
        found.levels,
        found.tokens,
    )
    assert (job.forward_flops, job.flops) == (found.flops_per_token, found.flops)


def test_all_else_is_the_templates(as_planned):
    found = configuration(TEMPLATE)
    grid, job = as_planned(grid_for([found], TEMPLATE, "verify"))
    assert grid.corpus.model_dump(exclude_none=True) == TEMPLATE["corpus"]
    assert (grid.tokenizers.width, grid.tokenizers.steps) == (16, 6)
    section = grid.transformers
    assert (section.batch_size, section.text_width, section.context) == (4, 48, 190)
    assert section.learning_rate == LearningRate()
    assert job.seed == 5
    assert section.compute == ()


def test_the_tokenizer_is_that_of_the_study(as_planned, tmp_path):
    """Its folder is named by all that determines it, so the same name is the same."""
    path = tmp_path / "before.yaml"
    path.write_text(yaml.safe_dump(TEMPLATE))
    before = expand(load_grid(path)).transformers
    found = configuration(TEMPLATE, V=64)
    _, job = as_planned(grid_for([found], TEMPLATE, "verify"))
    assert job.tokenizer in {run.tokenizer for run in before}


def test_without_a_template_the_defaults_are_a_grids():
    fields = Transformers.model_fields
    counting = asdict(Counting())
    assert counting == {
        "convention": fields["flops_convention"].default,
        "n_ctx": fields["context"].default,
        "n_prefix": fields["text_length"].default,
        "text_width": fields["text_width"].default,
        "text_vocab_size": fields["text_vocab_size"].default,
    }


def test_a_file_without_a_template_says_so(as_planned):
    found = configuration()
    text = grid_for([found], None, "verify")
    grid, job = as_planned(text)
    assert (grid.corpus.kind, job.seed) == ("kinematic", 0)
    head = " ".join(line[2:] for line in text.splitlines() if line.startswith("#"))
    assert "No grid of the law's own study was at hand" in head
    assert "No grid" not in grid_for([configuration(TEMPLATE)], TEMPLATE, "verify")


def test_the_head_names_the_prediction():
    found = replace(configuration(), loss=3.14159)
    text = grid_for([found], None, "verify", interval="95 % for a run:\n3.1 to 3.2")
    head = [line for line in text.splitlines() if line.startswith("#")]
    said = " ".join(line[2:] for line in head)
    assert "1e+13 FLOPs (openai) give a loss of 3.1416 (95 % for a run: 3.1 to" in said
    assert f"D = {found.tokens:,}, C = 1e+13 FLOPs" in said
    assert "up to one batch more" in said
    assert max(map(len, head)) <= 88


def test_table_6_is_named_and_other_levels_are_written():
    table_6, other = configuration(V=1000), configuration(V=750)
    assert (table_6.levels, other.levels) == (LEVELS[1024], (6, 5, 5, 5))
    assert "codebooks: [1024]\n" in grid_for([table_6], None, "verify")
    assert "levels: [[6, 5, 5, 5]]\n" in grid_for([other], None, "verify")


def test_seeds_may_be_several(as_planned, tmp_path):
    path = tmp_path / "verify.yaml"
    path.write_text(grid_for([configuration()], None, "verify", seeds=[1, 2]))
    assert [job.seed for job in expand(load_grid(path)).transformers] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=8, max_size=60),
    batch=st.integers(1, 8),
    tokens=st.integers(1, 5000),
)
def test_a_run_trains_on_less_than_one_batch_more(lengths, batch, tokens):
    rows = Rows([np.zeros(n, np.int32) for n in lengths], [[[0]]] * len(lengths), 9)
    trained = Sampler(rows, batch, seed=0).tokens_after(tokens)[-1]
    assert 0 <= trained - tokens < batch * (max(lengths) + 1)


# --- Where the template is ---


@pytest.fixture
def store(tmp_path):
    """Lay out a run store as the launcher does."""
    assert STORE_GRID == GRID
    out = tmp_path / "out"
    (out / "run-1").mkdir(parents=True)
    content = {"study": "before", "jobs": [], "grid": TEMPLATE}
    (out / GRID).write_text(json.dumps(content))
    (out / "runs.csv").write_text("flops\n")
    return out


def test_a_store_a_run_and_a_table_lead_to_the_grid(store):
    for source in (store, store / "run-1", store / "runs.csv", str(store)):
        assert find_template(source) == TEMPLATE


def test_a_grid_file_is_its_own_template(tmp_path):
    path = tmp_path / "study.yml"
    path.write_text(yaml.safe_dump(TEMPLATE))
    assert find_template(path) == TEMPLATE


def test_a_table_elsewhere_has_no_template(tmp_path):
    (tmp_path / "losses.csv").write_text("flops,loss\n")
    assert find_template(tmp_path / "losses.csv") is None
    assert find_template("scamo") is None
    (tmp_path / GRID).write_text('{"cells": 3}')
    assert find_template(tmp_path / "losses.csv") is None


def test_a_broken_grid_file_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("study: [")
    with pytest.raises(ScalingError, match=r"study.yaml is not YAML; .* mend it"):
        find_template(path)


# --- Mistakes ---


def test_a_study_needs_a_name_that_is_one():
    with pytest.raises(ScalingError, match=r"study 'a b' is no name .* rename it"):
        grid_for([configuration()], None, "a b")


def test_a_codebook_without_levels_cannot_be_run():
    message = r"50257 codes .* give nearest another one"
    with pytest.raises(ScalingError, match=message):
        grid_for([configuration(V=50257)], None, "verify")


@pytest.mark.parametrize("change", [{"text_width": 64}, {"context": 100}])
def test_other_settings_than_the_templates_are_refused(change):
    template = TEMPLATE | {"transformers": TEMPLATE["transformers"] | change}
    message = r"was counted as f = .* but has f = .*: counting_of\(template\)"
    with pytest.raises(ScalingError, match=message):
        grid_for([configuration(TEMPLATE)], template, "verify")


def test_a_model_without_text_is_none_that_runs_train():
    found = nearest(law, 1e13, wanted={"N_nv": 2e5}, codebook=240, text_vocab_size=0)
    with pytest.raises(ScalingError, match="64 text positions and 0 text ids, but"):
        grid_for([found], None, "verify")


# --- From a store to a run and back ---


def test_a_store_is_verified_by_a_run_of_its_own(scaling, tiny, tmp_path):
    out, check = tmp_path / "out", tmp_path / "verify.yaml"
    done = scaling.run("run", tiny, "--out", out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    template = find_template(out)
    found = configuration(template, compute=2e9, V=15)
    check.write_text(grid_for([found], template, "verify"))
    done = scaling.run("run", check, "--out", tmp_path / "verify", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    table = np.genfromtxt(
        tmp_path / "verify" / "runs.csv", delimiter=",", names=True, dtype=None
    )
    last = SimpleNamespace(**{name: table[-1][name] for name in table.dtype.names})
    assert last.non_vocab_params == found.non_vocab_params
    assert last.total_params == found.total_params
    one_batch = 4 * found.counting.n_ctx
    assert found.tokens <= last.tokens < found.tokens + one_batch
    assert last.flops == 3 * found.flops_per_token * last.tokens


# --- Several runs, and templates of every kind ---


def several(template):
    found = [configuration(template, compute=C, V=V) for C, V in RUNS]
    return [*found, configuration(template, compute=3e12, V=750)]


RUNS = ((1e12, 240), (2e12, 240), (1e12, 64))
SECTION = {k: v for k, v in TEMPLATE["transformers"].items() if k != "compute"}
KINDS = {
    "points": {"points": [{"size": "1x1x16", "tokens": 9, "levels": []}], "sizes": []},
    "trunks": {"tokens": [100, 200], "schedule": "wsd", "cooldown": 0.3},
    "one rate": {"tokens": [100], "learning_rate": [0.002]},
    "a rule": {"tokens": [100], "learning_rate": {"base": 0.003, "exponent": 0.5}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_runs_that_are_no_product_share_a_grid(tmp_path, kind):
    template = TEMPLATE | {"transformers": SECTION | KINDS[kind]}
    found = several(template)
    path = tmp_path / "next.yaml"
    path.write_text(grid_for(found, template, "next"), encoding="utf-8")
    plan = expand(load_grid(path))
    runs = {
        (job.size, job.quantization.levels, job.tokens): job.flops
        for job in plan.transformers
    }
    assert runs == {(c.size, c.levels, c.tokens): c.flops for c in found}
    assert len({job.tokenizer for job in plan.transformers}) == 3
    section, given = plan.grid.transformers, Transformers(**(SECTION | KINDS[kind]))
    assert section.schedule == given.schedule
    assert section.learning_rates == given.learning_rates
    assert section.cooldown == given.cooldown


def test_a_sweep_gives_no_rate_and_that_is_said(as_planned):
    swept = SECTION | {"tokens": [100], "learning_rate": [0.001, 0.004]}
    template = TEMPLATE | {"transformers": swept}
    text = grid_for([configuration(template)], template, "verify")
    grid, _ = as_planned(text)
    assert grid.transformers.learning_rate == LearningRate()
    head = " ".join(line[2:] for line in text.splitlines() if line.startswith("#"))
    assert "tried the learning rates 0.001, 0.004. This one takes" in head


def test_the_head_of_several_names_each():
    found = several(None)
    text = grid_for(found, None, "next")
    head = " ".join(line[2:] for line in text.splitlines() if line.startswith("#"))
    assert f"4 runs, {sum(c.flops for c in found):.6g} FLOPs (openai) in all." in head
    for each in found:
        assert f"D = {each.tokens:,}, C = {each.flops:.6g} FLOPs: loss" in head


def test_codebooks_without_levels_are_named_by_their_codes(tmp_path):
    template = {
        "corpus": {"kind": "text"},
        "tokenizers": {"quantizers": ["bpe"], "codebooks": [512]},
        "transformers": {"batch_size": 4},
    }
    path = tmp_path / "verify.yaml"
    path.write_text(grid_for([configuration(template, V=300)], template, "verify"))
    grid = load_grid(path)
    assert grid.tokenizers.codebooks == (300,)
    assert grid.transformers.points[0].codebook == 300
