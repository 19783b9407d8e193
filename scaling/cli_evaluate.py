"""The command that scores motion: `scaling evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scaling.cli_common import (
    device_option,
    jobs_option,
    plain_errors,
    slots_on,
    stoppable,
)


@click.command()
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN..."
)
@click.option(
    "--evaluator",
    type=click.Path(path_type=Path),
    help="Folder of an evaluator, or of the published one's weights.  [default: the "
    "store's own; one is trained where there is none]",
)
@click.option(
    "--force", is_flag=True, help="Use an evaluator of another corpus nevertheless."
)
@click.option(
    "--repetitions",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Times that the test split is generated and scored.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Of sampling; 0 takes the likeliest token.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Among so many tokens.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Among the tokens that hold this share of probability.",
)
@click.option(
    "--multimodality",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Captions generated 30 times each in every repetition; 100 in papers.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seeds draws, pools and pairs.",
)
@jobs_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def evaluate(
    runs: tuple[Path, ...],
    evaluator: Path | None,
    force: bool,
    repetitions: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    multimodality: int,
    seed: int,
    jobs: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Score tokenizers and generated motion: FID, R-precision and the rest.

    RUN is a run, a tokenizer, or a run store, which stands for all that it holds. The
    test split's captions are generated in every repetition and scored by a text-motion
    evaluator beside the real motions. The scores join the record: the last evaluation
    of a run has them, so that laws of FID or R-precision can be fitted. What is scored
    already is not scored again.

    Scores of an evaluator that was trained here are not comparable with published
    ones, nor with another evaluator's.

    \b
    Example:
      scaling evaluate quickstart
      scaling fit quickstart --columns L=fid --law power-floor
    """
    from scaling.runs.evaluation import evaluate as score
    from scaling.runs.evaluation import prepare
    from scaling.runs.sections import Scoring

    slots = slots_on(device, jobs)
    section = Scoring(
        repetitions=repetitions,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        multimodality=multimodality,
        seed=seed,
    )
    task = prepare(runs, evaluator, section, force=force)
    with stoppable(str):
        done = score(task, slots, sys.stderr)
    if as_json:
        click.echo(json.dumps(done.to_dict(), allow_nan=False))
        return
    click.echo(done.table())
    click.echo(f"note: {done.note}", err=True)
    click.echo(done.path)
