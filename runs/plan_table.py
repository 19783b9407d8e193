"""The plan as a person reads it before it starts: its runs, and what they will take."""

from __future__ import annotations

from collections.abc import Sequence

from scaling.models.flops import non_vocab_params, vocab_params
from scaling.runs.forecast import Forecast
from scaling.runs.jobs import Job, TokenizerJob, TransformerJob
from scaling.words import duration

SHOWN = 60
"""Jobs of a kind that are all shown; of more, half as many from each end."""


def plan_table(forecast: Forecast) -> str:
    """Show what a plan trains before it starts, and what the whole will take."""
    jobs = forecast.plan.jobs
    trained = [job for job in jobs if isinstance(job, TransformerJob)]
    runs = [job for job in trained if job.kind == "transformer"]
    trunks = [job for job in trained if job.kind == "trunk"]
    tokenizers = [job for job in jobs if isinstance(job, TokenizerJob)]
    lines = []
    if trunks:
        lines += _table("trunk", trunks, forecast)
    if runs:
        lines += _table("run", runs, forecast)
    else:
        lines += _table("tokenizer", tokenizers, forecast)
    return "\n".join([*lines, _summary(forecast, len(runs))])


def _table(word: str, jobs: Sequence[Job], forecast: Forecast) -> list[str]:
    shown = jobs
    if len(jobs) > SHOWN:
        shown = [*jobs[: SHOWN // 4], *jobs[-SHOWN // 4 :]]
    rows = [_head(jobs[0], word, forecast), *(_row(job, forecast) for job in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    if len(jobs) > len(shown):
        between = f"... {len(jobs) - len(shown):,} {word}s between; --json has them all"
        lines.insert(1 + SHOWN // 4, between)
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Names and states to the left, numbers to the right."""
    first, *numbers, last = row
    right = map(str.rjust, numbers, widths[1:])
    return "  ".join([first.ljust(widths[0]), *right, last])


def _head(job: Job, word: str, forecast: Forecast) -> list[str]:
    counts = ["N_nv", "N_v", "tokens", "FLOPs"]
    cost = ["cost"] if forecast.price is not None else []
    named = counts if isinstance(job, TransformerJob) else ["codes"]
    return [word, *named, "time", "memory", *cost, "state"]


def _row(job: Job, forecast: Forecast) -> list[str]:
    counts: list[str] = []
    if isinstance(job, TransformerJob):
        parameters = non_vocab_params, vocab_params
        sizes = (count(job.architecture) for count in parameters)
        numbers = (*sizes, job.tokens, job.flops_to_spend)
        counts = [f"{number:.3g}" for number in numbers]
    elif isinstance(job, TokenizerJob):
        counts = [f"{job.quantization.codebook_size:,}"]
    seconds, dollars = forecast.packing.seconds.get(job.folder), forecast.cost_of(job)
    cost = [] if dollars is None else [money(dollars)]
    return [
        job.folder,
        *counts,
        "" if seconds is None else duration(seconds),
        f"{forecast.memory[job.folder] / 1e9:.1f} GB",
        *(cost if seconds is not None else ["" for _ in cost]),
        forecast.state(job),
    ]


def _summary(forecast: Forecast, runs: int) -> str:
    jobs = forecast.plan.jobs
    several = "s" * (runs != 1)
    count = f"{runs} run{several} and {len(jobs) - runs} other jobs"
    work = f"{count if runs else f'{len(jobs)} jobs'} ({_kinds(jobs)})"
    spent = f", {forecast.flops:.2e} FLOPs" if runs else ""
    if runs and forecast.flops < forecast.flops_apart:
        share = forecast.flops / forecast.flops_apart
        spent += (
            f" ({share:.0%} of one run per point; a job's are those after its trunk)"
        )
    left = f"about {duration(forecast.packing.makespan)} to go"
    if forecast.cost is not None:
        left += f" for {money(forecast.cost)}"
    done = f"{forecast.done} of {len(jobs)} jobs done"
    return "; ".join([f"{work}{spent}", done, left, forecast.packing.describe()])


def _kinds(jobs: Sequence[Job]) -> str:
    """Name the kinds of jobs that are no runs, in order."""
    names = {"tokenizer": "tokenizers", "trunk": "trunks"}
    kinds = dict.fromkeys(job.kind for job in jobs if job.kind != "transformer")
    return ", ".join(names.get(kind, kind) for kind in kinds)


def money(dollars: float) -> str:
    """Say an amount.

    >>> money(1234.5), money(3.2), money(0.00071)
    ('$1,234', '$3.20', '$0.0007')
    """
    if dollars >= 1000:
        return f"${dollars:,.0f}"
    return f"${dollars:.2f}" if dollars >= 0.1 else f"${dollars:.4f}"
