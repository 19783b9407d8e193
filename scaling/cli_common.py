"""What the commands share: plain errors, a table's columns, how a law is fitted."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

import click

from scaling.errors import ScalingError, plain
from scaling.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from scaling.analysis.objective import Objective
    from scaling.analysis.table import Records
    from scaling.runs.slots import Slot

P = ParamSpec("P")


def plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into one line on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except (OSError, ScalingError) as error:
            if os.environ.get("SCALING_TRACEBACK"):
                raise
            raise click.ClickException(plain(error)) from None

    return wrapped


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object and nothing else.",
)


def show_paths(paths: Sequence[Path], as_json: bool, **more: Any) -> None:
    """Print what was written: a path a line, or one JSON object with more about it."""
    if as_json:
        click.echo(json.dumps({"paths": [*map(str, paths)], **more}, allow_nan=False))
        return
    for path in paths:
        click.echo(path)


@contextmanager
def stoppable(said: Callable[[], str]) -> Iterator[None]:
    """Leave with a word, and a shell's exit code, on Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"stopped; {said()}run the same command to go on", err=True)
        sys.exit(INTERRUPTED)


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Jobs at a time.  [default: one per processor; one on each GPU]",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)


def slots_on(device: str, jobs: int | None, threads: int = 1) -> tuple[Slot, ...]:
    """Give the slots of this machine: as many as asked for, or as it has room for."""
    from scaling.runs.slots import find_devices, slots_of

    return slots_of(find_devices(device), jobs, threads)


columns_option = click.option(
    "--columns",
    metavar="NAME=COLUMN,...",
    help="Columns of a table that has other names: C, N, N_nv, N_v, D, U, V, L, L_u, "
    "run, weight.",
)


def files_too(*_: object) -> list[CompletionItem[str]]:
    """Let a shell complete files where words of ours are taken as well."""
    from click.shell_completion import CompletionItem

    return [CompletionItem("", type="file")]


def parse_columns(text: str | None) -> dict[str, str]:
    """Read `--columns C=flops,N_nv=params`."""
    return _pairs((text or "").split(",") if text else [], "--columns", "NAME=COLUMN")


def parse_numbers(texts: Iterable[str], option: str) -> dict[str, float]:
    """Read `NAME=NUMBER`, several in one text parted by commas."""
    parts = [part for text in texts for part in text.split(",")]
    found = {}
    for name, value in _pairs(parts, option, "NAME=NUMBER").items():
        try:
            found[name] = float(value)
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is not a number; expected {name}=NUMBER", param_hint=option
            ) from None
    return found


def _pairs(parts: Iterable[str], option: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if equals and name and value:
            if name in found:
                raise click.BadParameter(f"{name} is given twice", param_hint=option)
            found[name] = value
        elif part:
            raise click.BadParameter(f"{part!r} is not {form}", param_hint=option)
    return found


# --- How a law is fitted ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class LawOptions:
    """The options that say how a law is fitted."""

    name: Literal["huber", "lsq", "lad", "asymmetric"] | None
    """The objective."""
    delta: float | None
    """Where Huber's turns linear."""
    quantile: float | None
    """Share of rows below an asymmetric fit."""
    space: Literal["log", "linear"] | None
    """Residuals of log loss, or of loss."""
    rows: Literal["all", "best", "last", "frontier"] | None
    """Which evaluations of a run count."""
    uncooled: bool
    """Whether they are those at a constant learning rate."""
    fix: dict[str, float]
    """Parameters held."""
    tie: dict[str, str]
    """Parameters set equal."""
    bound: dict[str, tuple[float, float]]
    """Bounds replaced."""

    @property
    def given(self) -> list[str]:
        """The options that were given, as they are spelled."""
        spelled = {
            "--objective": self.name,
            "--delta": self.delta,
            "--quantile": self.quantile,
            "--loss-space": self.space,
            "--rows": self.rows,
            "--fix": self.fix,
            "--tie": self.tie,
            "--bound": self.bound,
        }
        return [option for option, value in spelled.items() if value not in (None, {})]

    def objective(self, records: Records) -> Objective | None:
        """Make the objective; None leaves it to the fit."""
        from scaling.analysis.objective import Objective

        asked = {
            "name": self.name,
            "delta": self.delta,
            "quantile": self.quantile,
            "space": self.space,
        }
        given = {key: value for key, value in asked.items() if value is not None}
        return Objective.suited(records.points()["L_u"], **given) if given else None

    def to_fit(self, records: Records) -> dict[str, Any]:
        """Give the keywords of `fit_law`."""
        return {
            "objective": self.objective(records),
            "rows": self.rows,
            "fix": self.fix,
            "tie": self.tie,
            "bound": self.bound,
        }


def law_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `LawOptions`, passed on as `how`."""

    @wraps(command)
    def gathered(
        *args: Any,
        objective: Any,
        delta: float | None,
        quantile: float | None,
        loss_space: Any,
        rows: Any,
        fix: tuple[str, ...],
        tie: tuple[str, ...],
        bound: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        if delta is not None and objective in ("lsq", "lad"):
            raise click.UsageError(
                f"--delta has no effect on --objective {objective}: leave it out"
            )
        if quantile is not None and objective != "asymmetric":
            raise click.UsageError(
                "--quantile belongs to --objective asymmetric: give that as well"
            )
        how = LawOptions(
            name=objective,
            delta=delta,
            quantile=quantile,
            space=loss_space,
            rows=None if rows == "uncooled" else rows,
            uncooled=rows == "uncooled",
            fix=parse_numbers(fix, "--fix"),
            tie=_pairs(_parts(tie), "--tie", "NAME=OTHER"),
            bound=_bounds(bound),
        )
        return command(*args, how=how, **kwargs)

    for option in reversed(_LAW_OPTIONS):
        gathered = option(gathered)
    return gathered


def _parts(texts: Iterable[str]) -> list[str]:
    return [part for text in texts for part in text.split(",")]


def _bounds(texts: Iterable[str]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, ends in _pairs(_parts(texts), "--bound", "NAME=LOW:HIGH").items():
        low, _, high = ends.partition(":")
        try:
            found[name] = (float(low or "-inf"), float(high or "inf"))
        except ValueError:
            raise click.BadParameter(
                f"{name}={ends} is not NAME=LOW:HIGH", param_hint="--bound"
            ) from None
    return found


_LAW_OPTIONS = (
    click.option(
        "--objective",
        type=click.Choice(["huber", "lsq", "lad", "asymmetric"]),
        help="What is minimised: Huber's, least squares, least absolute deviation, a "
        "lower envelope.  [default: huber]",
    ),
    click.option(
        "--delta",
        type=float,
        help="Residual from which Huber's grows linearly.  [default: 0.001]",
    ),
    click.option(
        "--quantile",
        type=float,
        help="Share of rows that a lower envelope leaves below it.  [default: 0.1]",
    ),
    click.option(
        "--loss-space",
        type=click.Choice(["log", "linear"]),
        help="Residuals of log loss or of the loss.  [default: log where all losses "
        "are positive]",
    ),
    click.option(
        "--rows",
        type=click.Choice(["all", "best", "last", "frontier", "uncooled"]),
        help="Evaluations that count: all, each run's best or last, the envelope; or, "
        "in place of cooled ones, those of trunks.  [default: all; for a law of "
        "compute alone the envelope where sizes differ]",
    ),
    click.option(
        "--fix", multiple=True, metavar="NAME=VALUE", help="Hold a parameter."
    ),
    click.option(
        "--tie", multiple=True, metavar="NAME=OTHER", help="Set one equal to another."
    ),
    click.option(
        "--bound", multiple=True, metavar="NAME=LOW:HIGH", help="Bound a parameter."
    ),
)
