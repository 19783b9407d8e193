"""What an import found, before it is written: for people, and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from scaling.files import jsonable
from scaling.record import COLUMNS
from scaling.runs.imports import Import
from scaling.runs.logs import counted
from scaling.runs.logs_choices import first_of
from scaling.runs.logs_record import parameters

WIDEST = 40
"""Characters of a cell."""


def mapping(imported: Import) -> list[dict[str, Any]]:
    """Say for each column of the record where it comes from, in how many runs."""
    counted: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], Any] = {}
    filled = imported.columns
    for run in imported.runs:
        derived = {each.column: each.formula for each in run.derived}
        for column in COLUMNS:
            if column in derived:
                key = (column, derived[column], "derived")
                value = run.rows[-1].get(column)
            elif column in run.chosen and column in filled:
                choice = run.chosen[column]
                key = (column, choice.source, choice.conversion)
                value = first_of(run.log, choice)
            else:
                continue
            counted[key] += 1
            examples.setdefault(key, value)
    order = list(COLUMNS)
    return [
        {
            "column": key[0],
            "source": key[1],
            "conversion": key[2],
            "example": jsonable(examples[key]),
            "runs": counted[key],
        }
        for key in sorted(counted, key=lambda key: order.index(key[0]))
    ]


def missing(imported: Import) -> dict[str, str]:
    """Say which of N, D, C and L some run lacks, and what then happens."""
    rows = [run.rows[-1] for run in imported.runs]
    advice = {
        "N": (
            all(parameters(row)[1] for row in rows),
            "name it with --columns N=NAME, or if C is 6 N D take it with --derive N",
        ),
        "D": (
            all(row.get("tokens") is not None for row in rows),
            "name it with --columns D=NAME; where N and C are there scaling fit takes "
            "D = C / (6 N)",
        ),
        "C": (
            all(row.get("flops") is not None for row in rows),
            "name it with --columns C=NAME; where N and D are there it is 6 N D",
        ),
    }
    return {symbol: said for symbol, (there, said) in advice.items() if not there}


def to_dict(imported: Import) -> dict[str, Any]:
    """Give the preview as JSON holds it."""
    return {
        "formats": dict(Counter(run.log.format for run in imported.runs)),
        "runs": len(imported.runs),
        "rows": len(imported.rows),
        "columns": imported.columns,
        "mapping": mapping(imported),
        "missing": missing(imported),
        "notes": list(imported.notes),
    }


def text(imported: Import) -> str:
    """Give the preview as lines."""
    formats = Counter(run.log.format for run in imported.runs)
    evaluations = Counter[str]()
    for run in imported.runs:
        evaluations[run.log.format] += len(run.rows)
    lines = [
        f"{name}: {counted(runs, 'run')}, {counted(evaluations[name], 'row')}"
        for name, runs in formats.items()
    ]
    lines += ["", *_table(imported), ""]
    lines += [
        f"{symbol} is missing: {said}" for symbol, said in missing(imported).items()
    ]
    lines += [f"note: {note}" for note in imported.notes]
    return "\n".join(lines).rstrip()


def _table(imported: Import) -> list[str]:
    cells = [("record", "from", "example", "conversion")]
    for each in mapping(imported):
        few = each["runs"] < len(imported.runs)
        runs = f" ({counted(each['runs'], 'run')})" if few else ""
        unit = each["conversion"]
        cells.append(
            (each["column"], each["source"] + runs, _short(each["example"]), unit)
        )
    widths = [max(len(row[n]) for row in cells) for n in range(4)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    said = str(value)
    return said if len(said) <= WIDEST else said[: WIDEST - 3] + "..."
