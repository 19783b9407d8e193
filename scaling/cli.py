"""The command line: the group `scaling` and its commands.

Nothing heavy is imported here, nor by the files of the commands, so that
`scaling --help` answers at once; each command imports what it needs. Data goes to
stdout, everything else to stderr.
"""

from __future__ import annotations

import os

import click

from scaling import __version__
from scaling.cli_data import data
from scaling.cli_evaluate import evaluate
from scaling.cli_executor import cancel
from scaling.cli_export import export
from scaling.cli_generate import generate
from scaling.cli_import import import_logs
from scaling.cli_laws import fit, plot
from scaling.cli_plan import plan
from scaling.cli_predict import compare, predict
from scaling.cli_rates import rates
from scaling.cli_run import run
from scaling.cli_status import flops, status
from scaling.cli_work import work


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


COMMANDS = (
    *(data, run, work, status, cancel, export, import_logs),
    *(generate, evaluate, flops),
    *(rates, fit, predict, plan, compare, plot),
)

for command in COMMANDS:
    main.add_command(command)
