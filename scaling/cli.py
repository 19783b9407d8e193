"""The command line: the group `scaling` and its commands.

Nothing heavy is imported here, nor by the files of the commands, and of these only the
file of the command that is called, so that help answers at once; each command imports
what it needs. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module

import click

from scaling import __version__

COMMANDS = {
    "cancel": ("cli_executor", "Stop the agents that a cluster runs for a study."),
    "compare": (
        "cli_predict",
        "Compare two sets of runs by the compute that they need for the same loss.",
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
    "plot": ("cli_laws", "Draw the figures of a study."),
    "predict": (
        "cli_predict",
        "Predict the best use of a budget, or the loss of a run.",
    ),
    "rates": (
        "cli_rates",
        "Find the best learning rates of a sweep, and their rule over widths.",
    ),
    "run": ("cli_run", "Train a grid of tokenizers and transformers."),
    "status": ("cli_status", "Show what is done and what is not in a run store."),
    "work": ("cli_work", "Join a study on this or another machine."),
}
"""The file of each command, and the first sentence of its help."""

ATTRIBUTES = {"import": "import_logs"}
"""What a command is called in its file, where Python has the word for itself."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        file, _ = COMMANDS[name]
        module = import_module(f"scaling.{file}")
        command: click.Command = getattr(module, ATTRIBUTES.get(name, name))
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(click.Group):
    """Lists the commands without their files: `scaling --help` takes half the time."""

    def format_commands(
        self, context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        shown = [click.Command(name, help=text) for name, (_, text) in COMMANDS.items()]
        click.Group(commands=shown).format_commands(context, formatter)


@click.group(
    cls=_Group,
    commands=_Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
@click.pass_context
def main(context: click.Context) -> None:
    """Find scaling laws of tokenized data.

    How large a model, how large a codebook, how much data for a compute budget: train
    a grid, fit laws to its losses (or to anyone's), draw the figures.

    Exit codes: 0 done; 1 a mistake in the input, or failed runs; 2 a mistake in the
    command; 130 interrupted. SCALING_TRACEBACK=1 shows the stack behind an error.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
