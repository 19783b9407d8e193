"""What a plan says before it starts: its runs, trunks, FLOPs, time, memory and cost."""

from __future__ import annotations

import json

import pytest

from scaling.runs.forecast import Forecast
from scaling.runs.packing import Packing
from scaling.runs.plan import expand
from scaling.runs.plan_table import plan_table
from scaling.runs.sections import Grid
from scaling.runs.slots import Slot

SLOT = Slot(device="cpu")


def forecast(price: float | None = None, done: int = 0, **settings: object) -> Forecast:
    transformers = {"sizes": ["1x1x16"], "tokens": [1000, 2000], **settings}
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64]},
        "transformers": transformers if settings.get("sizes") != [] else "none",
        "evaluator": "none",
    }
    plan = expand(Grid.model_validate(content))
    seconds = {job.folder: 1800.0 for job in plan.jobs[done:]}
    packing = Packing(
        slots=(SLOT, SLOT), seconds=seconds, makespan=5400.0, why="as asked for"
    )
    memory = {job.folder: 1_500_000_000 for job in plan.jobs}
    return Forecast(plan=plan, packing=packing, memory=memory, price=price)


def test_a_plan_in_words() -> None:
    lines = plan_table(forecast(price=2.0, done=3)).splitlines()
    names = "run N_nv N_v tokens FLOPs time memory cost state"
    assert lines[0].split() == names.split()
    first, second = (" ".join(line.split()) for line in lines[1:3])
    assert first.endswith(" 4.42e+03 1.02e+03 1e+03 4.41e+07 1.5 GB done")
    assert second.endswith(" 2e+03 8.81e+07 30 min 1.5 GB $0.50 to do")
    assert lines[3] == (
        "2 runs and 2 other jobs (corpus, tokenizers), 1.32e+08 FLOPs; 3 of 4 jobs "
        "done; about 1.5 h to go for $3.00; 2 at a time, 1 thread each: as asked for"
    )


def test_without_a_price_there_is_no_cost() -> None:
    table = plan_table(forecast())
    assert "cost" not in table
    assert "$" not in table


def test_trunks_have_a_word_of_their_own_and_what_they_save_is_said() -> None:
    foretold = forecast(schedule="wsd", tokens=[1000, 2000, 3000, 4000])
    lines = plan_table(foretold).splitlines()
    assert [line.split()[0] for line in lines if "state" in line] == ["trunk", "run"]
    assert sum(line.startswith("trunk-") for line in lines) == 4
    # the trunk to 80 % of 4000, and 20 % of each budget
    tokens = 3200 + 0.2 * (1000 + 2000 + 3000 + 4000)
    share = round(100 * tokens / 10_000)
    assert f" ({share} % of one run per point; ".replace(" %", "%") in lines[-1]
    assert foretold.flops / foretold.flops_apart == pytest.approx(tokens / 10_000)


def test_a_study_of_tokenizers_lists_them() -> None:
    lines = plan_table(forecast(sizes=[])).splitlines()
    assert lines[0].split() == ["tokenizer", "codes", "time", "memory", "state"]
    assert lines[1].split()[1:] == ["64", "30", "min", "1.5", "GB", "to", "do"]


def test_of_a_large_grid_both_ends_are_shown_and_json_has_all() -> None:
    foretold = forecast(tokens=list(range(1000, 1100)))
    lines = plan_table(foretold).splitlines()
    assert len(lines) == 1 + 30 + 1 + 1
    assert lines[16] == "... 70 runs between; --json has them all"
    plan = json.loads(json.dumps(foretold.to_dict()))
    assert len(plan["jobs"]) == 102
    assert plan["seconds"] == 5400.0
    assert plan["cost"] is None
    run = plan["jobs"][-1]
    assert run["flops_to_spend"] == run["flops"] == 3 * run["tokens"] * 14_688
    assert {"N", "V"}.isdisjoint(run)
    assert run["codebook_size"] == 64
    assert (run["state"], run["seconds"], run["memory"]) == ("to do", 1800.0, 1.5e9)
