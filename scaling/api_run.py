"""Runs in Python: `run` trains them, `status` looks, `import_logs` takes others'."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from scaling.runs.forecast import Forecast
    from scaling.runs.sections import Grid


def run(
    grid: str | Path,
    out: str | Path | None = None,
    *,
    jobs: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Train a grid of tokenizers and transformers on this machine, as `scaling run`.

    What is finished already is not done again; a run that was interrupted goes on from
    its last checkpoint. Progress is written to stderr. Clusters, several processes for
    a run and exports are asked for by the command; a store that has several goes on so.

    Parameters
    ----------
    grid : str or Path
        A YAML file.
    out : str or Path, optional
        Folder of the run store; by default the study's name.
    jobs : int, optional
        Jobs at a time; by default one per processor, one on each GPU.
    threads : int, optional
        Processor threads per process; by default those of the first launch, or 1.
    device : str
        auto, cpu, cuda or cuda:N.
    seed : int, optional
        One seed in place of the grid's.
    overrides : mapping, optional
        Settings that replace the grid's, such as ``{"transformers.batch_size": 64}``.

    Returns
    -------
    Path
        The run store, which `fit` and the others read.

    Raises
    ------
    ScalingError
        If the grid has a mistake, the folder belongs to another, or jobs failed.
    """
    from scaling.runs import forkserver
    from scaling.runs.grid import load_grid

    chosen = dict(overrides or {}) | ({} if seed is None else {"seeds": [seed]})
    study = load_grid(grid, [f"{key}={json.dumps(chosen[key])}" for key in chosen])
    with _own_main():
        forkserver.begin(threads or 1)  # its imports beside our own
    store = Path(out or study.study)
    launch_here(_expected(study, store, jobs, threads, device), store)
    return store


def _expected(
    study: Grid, store: Path, jobs: int | None, threads: int | None, device: str
) -> Forecast:
    """Plan a grid for this machine."""
    from scaling.runs.claim import kept_parallel, kept_threads, require_own
    from scaling.runs.forecast import forecast
    from scaling.runs.launch import jobs_done
    from scaling.runs.packing import Wish
    from scaling.runs.plan import expand
    from scaling.runs.slots import find_devices
    from scaling.runs.train import require_shares

    plan = expand(study)
    require_own(plan, store)
    wish = Wish(
        devices=find_devices(device),
        jobs=jobs,
        threads=threads or kept_threads(store) or 1,
        parallel=kept_parallel(store),
    )
    if study.transformers is not None:
        require_shares(study.transformers.batch_size, wish.parallel.processes)
    return forecast(plan, jobs_done(plan.jobs, store), wish)


def launch_here(expected: Forecast, store: Path) -> None:
    """Say what is to be done, and do it."""
    from scaling.cli_run import close
    from scaling.runs.board import Board
    from scaling.runs.launch import launch
    from scaling.runs.plan_table import plan_table
    from scaling.runs.worker import Place
    from scaling.version import code_version

    _say(plan_table(expected))
    slots = expected.packing.slots
    board = Board(expected.packing.seconds, expected.done, len(slots), sys.stderr)
    with _own_main():
        place = Place(out=store, code_version=code_version())
        close(launch(expected.plan, place, slots, board), as_json=False)


@contextmanager
def _own_main() -> Iterator[None]:
    """Keep workers from running the caller's script, of which they need nothing."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def status(out: str | Path) -> pd.DataFrame:
    """Show what is done and what is not in a run store, as `scaling status` does.

    Returns
    -------
    DataFrame
        A row per job: its state, its step and loss at the last evaluation, who is at
        work on it, and whether it belongs to the grid.
    """
    import pandas as pd

    from scaling.runs.status import read_status

    states = [state.to_dict() for state in read_status(Path(out))]
    return pd.DataFrame(states).set_index("job").astype({"step": "Int64"})


def import_logs(
    paths: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    derive: Sequence[str] = (),
) -> pd.DataFrame:
    """Turn logs of other trainers into a table that `fit` takes, as `scaling import`.

    Which column comes from where, and what is missing, is said on stderr.

    Parameters
    ----------
    paths : str or Path, or a sequence of them
        Logs, or folders that are searched for them.
    out : str or Path, optional
        Write the table to this CSV file.
    columns : mapping, optional
        The log's name for a column of the record or its symbol, such as
        ``{"L": "eval/loss", "C": "gflops*1e9"}``.
    derive : sequence of {"N", "D", "C"}
        Derive these by C = 6 N D although they may be logged.

    Returns
    -------
    DataFrame
        Columns spelled as in the run record, and `imported_from`, the log.
    """
    import pandas as pd

    from scaling.runs.imports import load, require_out, write
    from scaling.runs.imports_preview import text
    from scaling.runs.imports_read import ORIGIN

    logs = [
        Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)
    ]
    if out is not None:
        require_out(Path(out), logs)
    imported = load(logs, columns, derive)
    _say(text(imported))
    if out is not None:
        write(imported, Path(out))
    return pd.DataFrame(imported.rows, columns=[*imported.columns, ORIGIN])


def _say(text: str) -> None:
    print(text, file=sys.stderr)
