"""A job is known by what determines its result, and by nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models.flops import non_vocab_params, vocab_params
from scaling.runs.grid import load_grid
from scaling.runs.jobs import TransformerJob, describe
from scaling.runs.plan import Plan, expand
from scaling.runs.sections import Grid

BASE = """\
study: base
corpus: {sequences: 20}
tokenizers: {codebooks: [256, 4096], steps: 5}
transformers: {sizes: [1x1x16, 2x2x64], tokens: [1000, 2000]}
seeds: [0, 1]
"""


def grid(tmp_path: Path, *changes: str) -> Grid:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return load_grid(path, changes)


def folders(plan: Plan, kind: str) -> set[str]:
    return {job.folder for job in plan.jobs if job.kind == kind}


def test_the_grid_is_the_product_of_its_axes(tmp_path: Path) -> None:
    plan = expand(grid(tmp_path))
    assert len(folders(plan, "corpus")) == 1
    assert len(folders(plan, "tokenizer")) == 2
    assert len(folders(plan, "transformer")) == 2 * 2 * 2 * 2


def test_every_job_stands_after_those_it_needs(tmp_path: Path) -> None:
    seen: set[str] = set()
    for job in expand(grid(tmp_path)).jobs:
        assert set(job.needs) <= seen
        seen.add(job.folder)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("study=other", {"corpus", "tokenizer", "transformer"}),
        ("transformers.learning_rate=0.5", {"corpus", "tokenizer"}),
        ("transformers.flops_convention=6nd", {"corpus", "tokenizer"}),
        ("transformers.evaluations=3", {"corpus", "tokenizer"}),
        ("seeds=[2, 3]", {"corpus", "tokenizer"}),
        ("tokenizers.steps=6", {"corpus"}),
        ("tokenizers.seed=1", {"corpus"}),
        ("corpus.seed=1", set()),
        ("corpus.sequences=21", set()),
        ("corpus.test_sequences=2", set()),
    ],
)
def test_a_change_renames_what_it_changes(
    tmp_path: Path, change: str, same: set[str]
) -> None:
    before, after = expand(grid(tmp_path)), expand(grid(tmp_path, change))
    for kind in ("corpus", "tokenizer", "transformer"):
        if kind in same:
            assert folders(before, kind) == folders(after, kind)
        else:
            assert not folders(before, kind) & folders(after, kind)


@pytest.mark.parametrize(
    ("always", "change"),
    [
        ("tokenizers.quantizers=[fsq]", "tokenizers.commitment=0.5"),
        ("tokenizers.quantizers=[fsq]", "tokenizers.stages=3"),
        ("tokenizers.quantizers=[vq]", "tokenizers.stages=3"),
        ("tokenizers.quantizers=[rfsq]", "tokenizers.ema=0.5"),
        ("transformers.text_encoder=google/flan-t5-xl", "transformers.text_width=8"),
        (
            "transformers.text_encoder=google/flan-t5-xl",
            "transformers.text_vocab_size=400",
        ),
    ],
)
def test_a_setting_of_another_method_changes_nothing(
    tmp_path: Path, always: str, change: str
) -> None:
    before = [job.folder for job in expand(grid(tmp_path, always)).jobs]
    after = [job.folder for job in expand(grid(tmp_path, always, change)).jobs]
    assert before == after


BUDGETS = ("transformers.tokens=[]", "transformers.compute=[1e8, 1e9]")


def test_budgets_leave_out_what_they_hardly_train_or_train_for_ever(
    tmp_path: Path,
) -> None:
    whole = expand(grid(tmp_path, *BUDGETS)).transformers
    bounds = "transformers.min_tokens=1000", "transformers.max_tokens=1e4"
    within = expand(grid(tmp_path, *BUDGETS, *bounds)).transformers
    assert [job.folder for job in within] == [
        job.folder for job in whole if 1000 <= job.tokens <= 10_000
    ]
    assert 0 < len(within) < len(whole)


def test_bounds_that_leave_no_run_are_refused(tmp_path: Path) -> None:
    bounds = "transformers.min_tokens=5", "transformers.max_tokens=6"
    narrow = grid(tmp_path, *BUDGETS, *bounds)
    with pytest.raises(ScalingError, match="no compute budget buys 5 to 6 tokens"):
        expand(narrow)


def test_a_larger_grid_keeps_the_runs_of_the_smaller(tmp_path: Path) -> None:
    small = expand(grid(tmp_path, "transformers.sizes=[1x1x16]", "seeds=[0]"))
    large = expand(grid(tmp_path))
    assert {job.folder for job in small.jobs} < {job.folder for job in large.jobs}


def test_where_a_pack_lies_is_no_part_of_it(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "joints.npz").write_bytes(b"x")
        (tmp_path / name / "sequences.jsonl").write_bytes(b"y")
    at = "corpus={{kind: packed, path: {}}}"
    plans = [
        expand(grid(tmp_path, at.format(tmp_path / name))) for name in ("here", "there")
    ]
    assert plans[0].jobs[0].folder == plans[1].jobs[0].folder
    (tmp_path / "there" / "joints.npz").write_bytes(b"z")
    changed = expand(grid(tmp_path, at.format(tmp_path / "there")))
    assert changed.jobs[0].folder != plans[0].jobs[0].folder
    shutil.rmtree(tmp_path / "there")
    with pytest.raises(ScalingError, match=r"joints.npz: No such file.*name one"):
        expand(grid(tmp_path, at.format(tmp_path / "there")))


def test_what_is_given_twice_is_run_once(tmp_path: Path) -> None:
    plan = expand(grid(tmp_path, "seeds=[0, 0]", "transformers.sizes=[1x1x16]"))
    assert len(plan.transformers) == 2 * 2
    changes = ("transformers.tokens=[]", "transformers.compute=[1e9, 1000000000.1]")
    assert len(expand(grid(tmp_path, *changes)).transformers) == 2 * 2 * 2


def test_compute_budgets_buy_tokens_at_the_exact_price(tmp_path: Path) -> None:
    changes = ("transformers.tokens=[]", "transformers.compute=[1e9, 1e10]")
    for job in expand(grid(tmp_path, *changes)).transformers:
        budget = 1e9 if job.flops < 5e9 else 1e10
        assert job.flops <= budget < job.flops + 3 * job.forward_flops


def test_a_budget_below_one_token_is_refused(tmp_path: Path) -> None:
    changes = ("transformers.tokens=[]", "transformers.compute=[100.0]")
    with pytest.raises(
        ScalingError, match="100 FLOPs do not pay for one token of size"
    ):
        expand(grid(tmp_path, *changes))


def test_openai_takes_the_nominal_codebook_and_6nd_the_real_one(tmp_path: Path) -> None:
    paper = expand(grid(tmp_path)).transformers[0]
    real = expand(grid(tmp_path, "transformers.flops_convention=6nd")).transformers[0]
    L, d, n_ctx = 1, 16, 201
    assert (
        paper.forward_flops == 4 * d + 24 * L * d**2 + 2 * L * n_ctx * d + 2 * d * 256
    )
    assert vocab_params(real.architecture) == 240 * d
    assert real.forward_flops == 2 * (non_vocab_params(real.architecture) + 240 * d)


def test_a_description_names_every_setting(tmp_path: Path) -> None:
    job = expand(grid(tmp_path)).transformers[0]
    description = describe(job)
    assert description["kind"] == "transformer"
    assert description["size"]["d_model"] == 16
    assert description["seed"] == 0
    assert description["tokens"] == 1000
    assert description["settings"]["tokens"] == [1000, 2000]
    assert description["settings"]["batch_size"] == 128


def test_a_missing_table_of_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").touch()
    change = f"corpus={{kind: bvh, path: {tmp_path}, captions: nowhere.csv}}"
    with pytest.raises(ScalingError, match=r"corpus: nowhere\.csv: No such file"):
        expand(grid(tmp_path, change))


# --- trunk and branches ---

WSD = ("transformers.schedule=wsd", "seeds=[0]", "tokenizers.codebooks=[256]")


def column(plan: Plan, size: str = "1x1x16") -> list[TransformerJob]:
    runs = (job for job in plan.jobs if isinstance(job, TransformerJob))
    return [job for job in runs if job.size.name == size]


def test_each_branch_begins_where_its_trunk_ends(tmp_path: Path) -> None:
    change = "transformers.tokens=[8000, 1000, 4000]"
    jobs = column(expand(grid(tmp_path, *WSD, change)))
    trunks = [job for job in jobs if job.kind == "trunk"]
    runs = [job for job in jobs if job.kind == "transformer"]
    assert [job.tokens for job in trunks] == [800, 3200, 6400]
    assert [job.tokens for job in runs] == [1000, 4000, 8000]
    assert [job.trunk for job in runs] == [job.folder for job in trunks]
    assert [job.trunk for job in trunks] == [None, *(j.folder for j in trunks[:-1])]
    assert {job.warmup_tokens for job in jobs} == {100}


def test_eight_budgets_cost_two_fifths_of_eight_runs(tmp_path: Path) -> None:
    budgets = [10_000 * k for k in range(1, 9)]
    plan = expand(grid(tmp_path, *WSD, f"transformers.tokens={budgets}"))
    spent = sum(job.flops_to_spend for job in column(plan))
    alone = sum(job.flops for job in column(plan) if job.kind == "transformer")
    # the last trunk and a fifth of each: 0.8 D_8 + 0.2 (D_1 + ... + D_8)
    assert spent / alone == pytest.approx(0.8 * 8 / 36 + 0.2)
    assert spent / alone < 0.4


def test_a_column_may_get_further_budgets(tmp_path: Path) -> None:
    few = expand(grid(tmp_path, *WSD, "transformers.tokens=[1000, 8000]"))
    more = expand(grid(tmp_path, *WSD, "transformers.tokens=[1000, 4000, 8000, 9000]"))
    assert {job.folder for job in few.jobs} < {job.folder for job in more.jobs}


def test_a_shorter_warm_up_is_another_trunk(tmp_path: Path) -> None:
    first = expand(grid(tmp_path, *WSD, "transformers.tokens=[1000, 8000]"))
    second = expand(grid(tmp_path, *WSD, "transformers.tokens=[500, 8000]"))
    assert folders(first, "trunk").isdisjoint(folders(second, "trunk"))


@given(st.lists(st.integers(100, 10**7), min_size=1, max_size=9, unique=True))
def test_a_trunk_never_costs_more_than_its_runs(budgets: list[int]) -> None:
    content = yaml.safe_load(BASE)
    content["corpus"]["kind"] = "kinematic"
    content["transformers"] |= {"tokens": budgets, "schedule": "wsd"}
    jobs = column(expand(Grid.model_validate(content)))
    spent = sum(job.flops_to_spend for job in jobs)
    alone = sum(job.flops for job in jobs if job.kind == "transformer")
    longest = max(job.flops for job in jobs)
    assert longest <= spent <= alone


# --- learning rates and points ---


def test_a_list_of_learning_rates_is_an_axis(tmp_path: Path) -> None:
    change = "transformers.learning_rate=[0.001, 0.002, 0.001]"
    runs = expand(grid(tmp_path, "seeds=[0]", change)).transformers
    assert len(runs) == 2 * 2 * 2 * 2
    assert {run.section.learning_rate_for(run.size.d_model) for run in runs} == {
        0.001,
        0.002,
    }
    assert all(f"-lr{run.section.learning_rate:g}-" in run.folder for run in runs)


def test_the_amount_of_unique_data_is_an_axis(tmp_path: Path) -> None:
    every = expand(grid(tmp_path, "seeds=[0]")).transformers
    runs = expand(grid(tmp_path, "seeds=[0]", "transformers.train_clips=[8, null, 8]"))
    assert len(runs.transformers) == 2 * len(every)
    whole = {run.folder for run in every}
    some = {run.folder for run in runs.transformers} - whole
    assert len(some) == len(whole)
    assert all("-u8-s0-" in folder for folder in some)


def test_a_rule_falls_with_the_width(tmp_path: Path) -> None:
    change = "transformers.learning_rate={base: 0.01, width: 16, exponent: 0.5}"
    section = grid(tmp_path, change).transformers
    assert section is not None
    assert section.learning_rate_for(16) == 0.01
    assert section.learning_rate_for(64) == 0.005
    wide = grid(tmp_path, change, "transformers.parametrization=mup").transformers
    assert wide is not None
    assert wide.learning_rate_for(16) == wide.learning_rate_for(256) == 0.005


def test_points_are_single_runs(tmp_path: Path) -> None:
    change = (
        "transformers={points: [{size: 1x1x16, codebook: 256, tokens: 1000}, "
        "{size: 2x2x64, levels: [7, 5, 5, 5, 5], tokens: 5e3}, "
        "{size: 1x1x16, codebook: 256, tokens: 9000}]}"
    )
    runs = expand(grid(tmp_path, "seeds=[0]", change)).transformers
    made = [(run.size.name, run.quantization.nominal, run.tokens) for run in runs]
    assert made == [
        ("1x1x16", 256, 1000),
        ("1x1x16", 256, 9000),
        ("2x2x64", 4096, 5000),
    ]


def test_a_point_without_its_codebook_is_a_mistake(tmp_path: Path) -> None:
    change = "transformers={points: [{size: 1x1x16, codebook: 64, tokens: 1000}]}"
    with pytest.raises(ScalingError, match=r"transformers\.points: no tokenizers"):
        expand(grid(tmp_path, change))


def test_ten_thousand_runs_have_ten_thousand_names(tmp_path: Path) -> None:
    sizes = [f"{n}x1x{d}" for n in range(1, 11) for d in (16, 32, 64, 96, 128)]
    change = f"transformers={{sizes: {sizes}, tokens: {list(range(1000, 11000, 100))}}}"
    plan = expand(grid(tmp_path, change, "seeds=[0]"))
    assert len({job.folder for job in plan.transformers}) == 10_000


def text_grid(tmp_path: Path, *changes: str) -> Grid:
    for number in range(3):
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "src" / f"{number}.py").write_text(f"x = {number}")
    path = tmp_path / "text.yaml"
    path.write_text(
        f"study: text\ncorpus: {{kind: text, path: {tmp_path / 'src'}}}\n"
        "tokenizers: {codebooks: [256, 300]}\n"
        "transformers: {sizes: [1x1x16], tokens: [1000]}\nseeds: [0, 1]\n"
    )
    return load_grid(path, changes)


def test_byte_pairs_are_learnt_once_for_all_seeds(tmp_path: Path) -> None:
    plan = expand(text_grid(tmp_path))
    assert [len(folders(plan, kind)) for kind in ("tokenizer", "transformer")] == [2, 4]
    alone = expand(text_grid(tmp_path, "transformers=none"))
    assert [job.kind for job in alone.jobs] == ["corpus", "tokenizer", "tokenizer"]


def test_text_is_known_by_what_its_files_hold(tmp_path: Path) -> None:
    before = expand(text_grid(tmp_path)).jobs[0].folder
    assert expand(text_grid(tmp_path, "corpus.piece=190")).jobs[0].folder != before
    shutil.copytree(tmp_path / "src", tmp_path / "elsewhere")
    moved = text_grid(tmp_path, f"corpus.path={tmp_path / 'elsewhere'}")
    assert expand(moved).jobs[0].folder == before
    (tmp_path / "elsewhere" / "0.py").write_text("x = 9")
    assert expand(moved).jobs[0].folder != before


@pytest.mark.parametrize(("budgets", "trunks"), [([100, 120], 1), ([10], 0)])
def test_no_trunk_starts_from_itself_or_is_empty(
    tmp_path: Path, budgets: list[int], trunks: int
) -> None:
    few = ("transformers.cooldown=0.99", "transformers.warmup=0")
    plan = expand(grid(tmp_path, *WSD, *few, f"transformers.tokens={budgets}"))
    segments = [job for job in plan.jobs if job.kind == "trunk"]
    sizes = {job.size for job in plan.transformers}
    assert len(segments) == trunks * len(sizes)
    assert all(job.tokens and job.trunk is None for job in segments)


def test_a_trunk_is_warm_before_it_cools(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"warmup 0.9 and cooldown 0.2 .* lower one"):
        grid(tmp_path, *WSD, "transformers.warmup=0.9")
