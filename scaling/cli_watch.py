"""The command that shows a running study: `scaling watch`."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli_common import plain_errors
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from rich.console import Console

    from scaling.runs.watch import Watcher
    from scaling.runs.watch_screen import Screen
    from scaling.runs.watch_snapshot import Snapshot

FOOT = "q leaves; the study goes on"
"""The last line of the screen."""

PAGE = 100
"""Columns where there is no terminal."""

AT_MOST = 0.1
"""Part of the time that looking may take."""

LULL = 30.0
"""Seconds without work after which a study with failures counts as ended."""


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Show how it stands now, and end.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks; longer where a look takes long.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print how it stands as one JSON object."
)
@plain_errors
def watch(out: Path, once: bool, every: float, as_json: bool) -> None:
    """Watch a running study: queue, losses, speed, time left.

    OUT is a run store that scaling run works on, here or on any machine that shares its
    file system. It is only read: q or Ctrl-C leaves, the study goes on, and the same
    command opens the view again. It ends when all jobs are done. Time left is estimated
    from the speed of what was trained so far. Where the output is no terminal, a line
    is written for every job that ends, and a summary every 20 s.

    \b
    Example:
      scaling watch quickstart
      scaling watch /shared/study --once
      scaling watch quickstart --json
    """
    from scaling.runs.watch import Watcher

    watcher = Watcher(out)
    if as_json:
        click.echo(json.dumps(watcher.look().to_dict(), allow_nan=False))
        return
    if once:
        _console().print(_screen(watcher.look()))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        last = _follow(watcher, every)
    except KeyboardInterrupt:
        click.echo(f"left; scaling watch {out} opens it again", err=True)
        return
    from scaling.runs.watch_lines import ending

    if not last.over:
        raise ScalingError(ending(last))
    click.echo(ending(last))


def _console() -> Console:
    from rich.console import Console

    fits = sys.stdout.isatty() or "COLUMNS" in os.environ
    wide = None if fits else PAGE
    return Console(width=wide, highlight=False, emoji=False, markup=False)


def _screen(shown: Snapshot, height: int | None = None, foot: str = "") -> Screen:
    from scaling.runs.watch_screen import Screen

    return Screen(shown, height, foot)


def _follow(watcher: Watcher, every: float) -> Snapshot:
    """Show a study until there is nothing more to come; give its end."""
    console = _console()
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return _draw(watcher, every, console)
    return _write(watcher, every)


def _draw(watcher: Watcher, every: float, console: Console) -> Snapshot:
    from rich.live import Live

    with (
        _keys() as wait,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        for shown in _looks(watcher, every, wait):
            live.update(_screen(shown, console.height, FOOT), refresh=True)
    return shown


def _write(watcher: Watcher, every: float) -> Snapshot:
    from scaling.runs.watch_lines import Lines

    lines = Lines()
    for shown in _looks(watcher, every, time.sleep):
        for line in lines.news(shown, time.monotonic()):
            click.echo(line)
    return shown


def _looks(
    watcher: Watcher, every: float, wait: Callable[[float], None]
) -> Iterator[Snapshot]:
    """Look again and again, until all is done, or nothing can go on for a while."""
    moved = time.monotonic()
    while True:
        start = time.monotonic()
        shown = watcher.look()
        took = time.monotonic() - start
        yield shown
        moved = moved if shown.stuck else start
        if shown.over or start - moved > LULL:
            return
        wait(max(every, took / AT_MOST))


@contextmanager
def _keys() -> Iterator[Callable[[float], None]]:
    """Give what waits for some seconds, unless the viewer leaves by q."""
    if not sys.stdin.isatty():
        yield time.sleep
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def wait(seconds: float) -> None:
        pressed, _, _ = select.select([terminal], [], [], seconds)
        if pressed and os.read(terminal, 64) in (b"", b"q", b"Q"):  # or hung up
            raise KeyboardInterrupt

    try:
        tty.setcbreak(terminal)
        yield wait
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
