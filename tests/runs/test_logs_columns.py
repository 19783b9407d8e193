"""Names of trainers as columns of the record, and what follows from columns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.runs.logs import Log, names, number
from scaling.runs.logs_choices import choices
from scaling.runs.logs_columns import Choice, choose, loss_of
from scaling.runs.logs_record import Run, record


def log_of(*rows: dict[str, Any], run: str = "a", **constants: Any) -> Log:
    return Log(
        format="test",
        run=run,
        origin="here",
        path=Path("here"),
        rows=rows,
        constants=constants,
    )


def record_of(log: Log, *derive: str, **asked: str) -> Run:
    named = {c: Choice(column=c, source=s, asked=True) for c, s in asked.items()}
    return record(log, choices(log, named), derive)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("eval/loss", "train/loss"),
        ("val_loss", "loss"),
        ("loss", "train_loss"),
        ("eval/loss", "eval/paloma/macro_loss"),
        ("eval/paloma/macro_loss", "eval/paloma/c4_en/loss"),
        ("eval/loss", "eval/ppl"),
        ("eval/ppl", "train/loss"),
        ("val_bpb", "train/loss"),
        ("validation/loss", "test/loss"),
        ("Loss/val", "Loss/train"),
        ("eval/lm/c4/CE loss", "train/CE loss"),
    ],
)
def test_the_loss_of_an_evaluation_goes_first(better: str, worse: str) -> None:
    for pair in ([better, worse], [worse, better]):
        choice = choose("loss", pair)
        assert choice is not None
        assert (choice.source, choice.others) == (better, (worse,))


@pytest.mark.parametrize(
    "name",
    ["loss_scale", "train/z_loss", "aux_loss", "best_val_loss", "val/loss_std", "acc"],
)
def test_what_is_not_the_loss_is_not_taken(name: str) -> None:
    assert choose("loss", [name]) is None


@pytest.mark.parametrize(
    ("column", "name", "factor"),
    [
        ("flops", "throughput/total_gflops", 1e9),
        ("flops", "throughput/total petaflops", 1e15),
        ("flops", "total_flos", 1),
        ("flops", "training_tflops", 1e12),
        ("flops", "C", 1),
        ("tokens", "throughput/total tokens", 1),
        ("tokens", "Tokens (B)", 1e9),
        ("tokens", "tokens_seen_millions", 1e6),
        ("tokens", "num_input_tokens_seen", 1),
        ("tokens", "D", 1),
        ("total_params", "params (M)", 1e6),
        ("total_params", "parameter_count", 1),
        ("total_params", "model.num_parameters", 1),
        ("non_vocab_params", "non_embedding_params", 1),
        ("batch_size", "trainer.train_batch_size", 1),
        ("d_model", "model.hidden_dim", 1),
    ],
)
def test_names_and_units_are_known(column: str, name: str, factor: float) -> None:
    choice = choose(column, ["else", name])
    assert choice is not None
    assert (choice.source, choice.convert(3.0)) == (name, 3.0 * factor)


@pytest.mark.parametrize(
    "name",
    ["tflops", "flops_per_second", "tokens_per_second", "flopsPS", "tokens/sec", "mfu"],
)
def test_rates_are_no_counts(name: str) -> None:
    assert choose("flops", [name]) is None
    assert choose("tokens", [name]) is None


def test_a_perplexity_becomes_nats() -> None:
    choice = choose("loss", ["eval/perplexity"])
    assert choice is not None
    assert choice.convert(math.exp(3.0)) == pytest.approx(3.0)
    assert math.isnan(choice.convert(-1.0))


@given(st.text(max_size=30))
def test_any_name_may_be_asked_about(name: str) -> None:
    for column in ("loss", "tokens", "flops", "total_params", "step"):
        choose(column, [name])
    assert loss_of(name) in (0, 1, 2)


# --- Rows ---------------------------------------------------------------------------


def test_rows_of_one_step_are_one_evaluation() -> None:
    run = record_of(
        log_of(
            {"step": 1, "train_loss": 4.0, "tokens": 10},
            {"step": 1, "val_loss": 3.0},
            {"step": 2, "train_loss": 3.5, "tokens": 20},
        )
    )
    expected = {"step": 1, "loss": 3.0, "tokens": 10, "train_loss": 4.0}
    assert [dict(row) for row in run.rows] == [expected]


def test_tokens_between_and_beyond_the_logged_steps() -> None:
    run = record_of(
        log_of(
            {"step": 10, "tokens": 100},
            {"step": 15, "val_loss": 3.0},
            {"step": 20, "tokens": 300},
            {"step": 40, "val_loss": 2.0},
        )
    )
    assert [row["tokens"] for row in run.rows] == [200, 600]
    assert run.between["tokens"] == 2


@pytest.mark.parametrize("values", [(64, 64, 64), (64, 32, 128)])
def test_tokens_of_a_batch_are_not_those_of_a_run(values: tuple[int, ...]) -> None:
    rows = [{"step": n, "tokens": v, "val_loss": 2.0} for n, v in enumerate(values)]
    run = record_of(log_of(*rows, batch_size=8, seq_len=16))
    assert [row["tokens"] for row in run.rows] == [0, 128, 256]
    assert run.derived[0].formula == "batch_size x seq_len x step"


def test_compute_follows_from_parameters_and_tokens() -> None:
    row = {"val_loss": 2.0, "n_params": 10, "tokens": 100}
    run = record_of(log_of(row))
    assert run.rows[0]["flops"] == 6000
    assert run.rows[0]["flops_convention"] == "6nd"
    logged = record_of(log_of({**row, "total_flops": 5000}))
    assert logged.rows[0]["flops"] == 5000
    assert logged.rows[0]["flops_convention"] == "logged"
    asked = record_of(log_of({**row, "total_flops": 5000}), "C")
    assert asked.rows[0]["flops"] == 6000


def test_parameters_and_tokens_follow_where_that_is_asked_for() -> None:
    run = record_of(log_of({"val_loss": 2.0, "tokens": 100, "flops": 6000}), "N")
    assert run.rows[0]["total_params"] == 10
    run = record_of(log_of({"val_loss": 2.0, "n_params": 10, "flops": 6000}), "D")
    assert run.rows[0]["tokens"] == 100
    run = record_of(log_of({"val_loss": 2.0, "flops": 6000}))
    assert set(run.rows[0]) == {"loss", "flops", "flops_convention"}


def test_losses_that_are_no_numbers_are_counted() -> None:
    losses = ["NaN", "inf", "-Infinity", "n/a", "", None, "2.5", math.nan]
    rows = [{"step": n, "loss": loss} for n, loss in enumerate(losses)]
    run = record_of(log_of(*rows))
    assert [row["loss"] for row in run.rows] == [2.5]
    assert run.unusable == 5


def test_a_learning_rate_that_moves_is_not_the_peak() -> None:
    rows = [{"step": n, "val_loss": 2.0, "learning_rate": 1 / (n + 1)} for n in (0, 1)]
    assert "learning_rate" not in record_of(log_of(*rows)).rows[0]
    constant = record_of(log_of(*rows, learning_rate=0.5))
    assert [row["learning_rate"] for row in constant.rows] == [0.5, 0.5]


def test_evaluations_are_counted_by_a_step_that_they_hold() -> None:
    rows = ({"global_step": 1, "_step": 1}, {"_step": 2, "val_loss": 2.0})
    assert record_of(log_of(*rows)).rows[0]["step"] == 2


def test_what_is_asked_for_goes_first() -> None:
    log = log_of({"val_loss": 2.0, "my loss": 1.0})
    assert record_of(log, loss="my loss").rows[0]["loss"] == 1.0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0.5, 9)), min_size=1),
    st.randoms(),
)
def test_the_order_of_rows_does_not_matter(
    points: list[tuple[int, float]], random: Any
) -> None:
    rows = [{"step": step, "val_loss": loss} for step, loss in dict(points).items()]
    shuffled = random.sample(rows, len(rows))
    assert record_of(log_of(*shuffled)).rows == record_of(log_of(*rows)).rows


@given(st.lists(st.sampled_from(["a", "b", "a (here)", "a (here) #2"])))
def test_names_of_runs_are_all_different(given: list[str]) -> None:
    found = names(log_of(run=run) for run in given)
    assert len(set(found)) == len(given)
    assert all(new.startswith(old) for new, old in zip(found, given, strict=True))


@given(st.one_of(st.none(), st.booleans(), st.text(), st.integers(), st.floats()))
def test_any_value_is_a_number_or_none(value: Any) -> None:
    found = number(value)
    assert found is None or isinstance(found, float)
