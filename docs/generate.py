"""Write the pages of the documentation that the code itself can tell.

`docs/cli.md` holds the help of every command, `docs/record.md` the columns of the run
record. Tests fail when either is behind the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from scaling.cli import main
from scaling.record import COLUMNS

DOCS = Path(__file__).resolve().parent

CLI_HEAD = """\
# Commands

Data goes to stdout, everything else to stderr. Exit codes: 0 done; 1 a mistake in the
input, or failed runs; 2 a mistake in the command; 130 interrupted.
"""

RECORD_HEAD = """\
# The run record

One row per evaluation of one run. `scaling run` writes one folder per run:

| file | what it holds |
|---|---|
| `OUT/<run>/config.json` | every setting of the run, and its constant columns |
| `OUT/<run>/metrics.jsonl` | append-only, one flushed line per evaluation |
| `OUT/<run>/checkpoint/` | the last two states (safetensors), each with its SHA-256 |
| `OUT/<run>/text.json` | the caption vocabulary |
| `OUT/<run>/result.json` | written last: the run is over |
| `OUT/corpus-*/`, `OUT/tokenizer-*/` | features and tokens, in the same manner |
| `OUT/runs.csv`, `OUT/tokenizers.csv` | derived from the folders, never the source |

`runs.csv` leaves out `seconds`, so that the same grid gives the same bytes. Any CSV,
Parquet or JSONL file with these columns, or with others mapped by `--columns`, is as
good an input to `scaling fit` as a run store. Only `flops` and a loss are required.

| column | meaning | symbol | unit |
|---|---|---|---|
"""


def cli_page() -> str:
    """Show the help of every command."""
    sections = [CLI_HEAD]
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=f"scaling {name}")
        context.max_content_width = 88
        text = re.sub(r"[ \t]+\n", "\n", command.get_help(context))
        sections.append(f"\n## scaling {name}\n\n```text\n{text}\n```\n")
    return "".join(sections)


def record_page() -> str:
    """Show every column of the record."""
    rows = [
        f"| `{c.name}` | {c.meaning} | {c.symbol} | {c.unit} |"
        for c in COLUMNS.values()
    ]
    return RECORD_HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(cli_page())
    (DOCS / "record.md").write_text(record_page())
