"""Export: a store's evaluations in TensorBoard or Weights & Biases, while they come.

The store is the source and the export is derived from it, beside the training and never
in its way: it can be stopped, repeated, or begun when all is done. What was exported is
noted in `exported.json`, so that each evaluation goes out once.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.record import METRICS, Row, ended, read_metrics, run_folders
from scaling.runs.store import GRID

LEDGER = "exported.json"
"""Evaluations exported of each run."""

EVERY = 5.0
"""Seconds between two looks at the store."""

KINDS = ("tokenizer", "trunk", "transformer")
"""Jobs whose evaluations are exported."""


class Sink(Protocol):
    """Where evaluations go."""

    def write(self, run: str, config: Row, row: Row) -> None:
        """Add one evaluation of a run; `row` holds numbers."""

    def flush(self) -> None:
        """Put what was written on the disk."""

    def close(self, run: str) -> None:
        """End a run, if it was begun."""


class TensorBoard:
    """One folder of event files per run; `tensorboard --logdir FOLDER` shows them."""

    def __init__(self, folder: Path) -> None:
        _require("tensorboard", "tensorboard")
        self._open: Callable[[Path], Any] = importlib.import_module(
            "torch.utils.tensorboard"
        ).SummaryWriter
        self.folder = folder
        self.writers: dict[str, Any] = {}

    def write(self, run: str, config: Row, row: Row) -> None:
        """Add one evaluation as scalars by step."""
        if run not in self.writers:
            self.writers[run] = self._open(self.folder / run)
            text = "\n".join(f"    {key}: {value}" for key, value in config.items())
            self.writers[run].add_text("config", text)
        for name, value in row.items():
            self.writers[run].add_scalar(name, value, row["step"])

    def flush(self) -> None:
        """Put what was written on the disk."""
        for writer in self.writers.values():
            writer.flush()

    def close(self, run: str) -> None:
        """End a run, if it was begun."""
        if run in self.writers:
            self.writers.pop(run).close()


class WeightsAndBiases:
    """One offline run per run; `wandb sync FOLDER/wandb/offline-*` uploads them."""

    def __init__(self, folder: Path) -> None:
        self._wandb: Any = _require("wandb", "wandb")
        self.folder = folder
        self.runs: dict[str, Any] = {}

    def write(self, run: str, config: Row, row: Row) -> None:
        """Add one evaluation to the run's history."""
        if run not in self.runs:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.runs[run] = self._wandb.init(
                project=self.folder.parent.name,
                name=run,
                id=run,
                config=config,
                dir=self.folder,
                mode="offline",
                resume="allow",
                reinit="create_new",
                settings=self._wandb.Settings(silent=True, console="off"),
            )
        self.runs[run].log(row, step=row["step"])

    def flush(self) -> None:
        """Leave it to the service process, which writes on its own."""

    def close(self, run: str) -> None:
        """End a run, if it was begun."""
        if run in self.runs:
            self.runs.pop(run).finish()


SINKS: dict[str, Callable[[Path], Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}
"""Each writes to a folder of its name in the store."""


class Export:
    """The evaluations of a store that are still to go to a sink."""

    def __init__(self, out: Path, kind: str) -> None:
        folder = out / kind
        self.out = out
        self.sink = SINKS[kind](folder)
        self.ledger = folder / LEDGER
        self.exported: Row = read_json(self.ledger) if self.ledger.exists() else {}
        self.sizes: dict[str, int] = {}

    def sync(self) -> int:
        """Export what is new; return how many evaluations that were."""
        new = 0
        for folder, config in run_folders(self.out, *KINDS):
            rows = self._new_rows(folder)
            constant = {**config.get("settings", {}), **config.get("record", {})}
            for row in rows:
                self.sink.write(folder.name, constant, _numbers(row))
            if rows:
                done = self.exported.get(folder.name, 0)
                self.exported[folder.name] = done + len(rows)
                new += len(rows)
            if ended(folder):
                self.sink.close(folder.name)
        if new:
            self.sink.flush()
            write_json(self.ledger, self.exported)
        return new

    def close(self) -> int:
        """Export what is new, and end all runs; return how many rows were new."""
        new = self.sync()
        for run in self.exported:
            self.sink.close(run)
        return new

    def _new_rows(self, folder: Path) -> tuple[Row, ...]:
        """Read a log where it is longer than at the last look, by its size."""
        path = folder / METRICS
        size = path.stat().st_size if path.exists() else 0
        if size == self.sizes.get(folder.name, 0):
            return ()
        self.sizes[folder.name] = size
        return read_metrics(path).rows[self.exported.get(folder.name, 0) :]


def export_store(out: Path, kind: str) -> int:
    """Export all of a store that was not yet; return how many evaluations that were.

    Raises
    ------
    ScalingError
        If the folder is no store, or the package that it needs is not installed.
    """
    if not (out / GRID).exists():
        raise ScalingError(
            f"{out} holds no {GRID}; expected a run store: name a folder that "
            "scaling run wrote"
        )
    return Export(out, kind).close()


@contextmanager
def exporting(out: Path, kinds: tuple[str, ...]) -> Iterator[None]:
    """Export a store from a thread for as long as it is worked on.

    Raises
    ------
    ScalingError
        If the package that an export needs is not installed.
    """
    exports = [Export(out, kind) for kind in kinds]
    done = threading.Event()

    def follow() -> None:
        while not done.wait(EVERY):
            with suppress(OSError, ScalingError):  # of which the last look will tell
                for export in exports:
                    export.sync()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for export in exports:
            export.close()


def _numbers(row: Row) -> Row:
    return {name: x for name, x in row.items() if isinstance(x, int | float)}


def _require(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ScalingError(
            f"--export {extra} needs the package {package}, which is not installed: "
            f"pip install 'scaling[{extra}]'"
        ) from None
