"""The command line: the group `scaling` and its commands.

Nothing heavy is imported here, nor by the files of the commands, and of these only the
file of the command that is called, so that help answers at once; each command imports
what it needs. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import click

from scaling.cli_settings import ENVIRONMENT, give_settings, name_variable
from scaling.exit_codes import MEANINGS

COMMANDS = {
    "cancel": ("cli_executor", "Stop the agents that a cluster runs for a study."),
    "compare": (
        "cli_predict",
        "Compare two sets of runs by the compute that they need for the same loss.",
    ),
    "completion": (
        "cli_completion",
        "Print the script that completes commands in a shell.",
    ),
    "data": ("cli_data", "Describe, import and view motion data."),
    "evaluate": (
        "cli_evaluate",
        "Score tokenizers and generated motion: FID, R-precision and the rest.",
    ),
    "export": (
        "cli_export",
        "Write a store's evaluations for TensorBoard or Weights & Biases.",
    ),
    "fit": ("cli_laws", "Derive scaling laws from losses."),
    "flops": ("cli_status", "Count forward FLOPs per token in each convention."),
    "generate": ("cli_generate", "Turn captions into motions by a trained run."),
    "import": (
        "cli_import",
        "Turn logs of other trainers into a table for scaling fit and plot.",
    ),
    "plan": ("cli_plan", "Choose the next runs: those that narrow a prediction most."),
    "plot": (
        "cli_laws",
        "Draw the figures of a study, and write the paper's tables of it.",
    ),
    "predict": (
        "cli_predict",
        "Predict the best use of a budget, or the loss of a run.",
    ),
    "rates": (
        "cli_rates",
        "Find the best learning rates of a sweep, and their rule over widths.",
    ),
    "report": (
        "cli_report",
        "Write a study as one HTML page.",
    ),
    "run": ("cli_run", "Train a grid of tokenizers and transformers."),
    "status": ("cli_status", "Show what is done and what is not in a run store."),
    "verify": ("cli_verify", "Predict a larger run, train it, and compare."),
    "watch": ("cli_watch", "Watch a running study: queue, losses, speed, time left."),
    "work": ("cli_work", "Join a study on this or another machine."),
}
"""The file of each command, and the first sentence of its help."""

ATTRIBUTES = {"import": "import_logs"}
"""What a command is called in its file, where Python has the word for itself."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        return _load(name)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _load(name: str) -> click.Command:
    file, _ = COMMANDS[name]
    module = import_module(f"scaling.{file}")
    command: click.Command = getattr(module, ATTRIBUTES.get(name, name))
    give_settings(command, name)
    return command


class _Group(click.Group):
    """Lists the commands without their files, and what holds for all of them."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.BadParameter as error:
            name_variable(error)
            raise

    def format_commands(
        self, context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def format_epilog(
        self, context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), said) for code, said in MEANINGS.items()])
        with formatter.section("Environment"):
            formatter.write_dl(list(ENVIRONMENT.items()))


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from scaling.version import versions

        click.echo(versions())
        context.exit()


@click.group(
    cls=_Group,
    commands=_Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of scaling, Python, torch and numpy.",
)
@click.pass_context
def main(context: click.Context) -> None:
    """Find scaling laws of tokenized data.

    How large a model, how large a codebook, how much data for a compute budget: train
    a grid, fit laws to its losses (or to anyone's), draw the figures.

    \b
    Example:
      scaling run examples/quickstart.yaml
      scaling fit quickstart --out laws.json
      scaling plot quickstart --out figures
      scaling --config study.toml fit quickstart
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    elif os.environ.get("FORCE_COLOR"):
        context.color = True


give_settings(main)
