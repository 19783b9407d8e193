"""The command line as a user calls it, and a grid so small that it runs in seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TINY = """\
study: tiny
corpus: {kind: kinematic, sequences: 40, seed: 3}
tokenizers: {codebooks: [16, 64], width: 16, depth: 1, steps: 6, batch_size: 4}
transformers:
  sizes: [1x1x16, 1x2x32]
  tokens: [3000]
  batch_size: 4
  evaluations: 3
"""


# what starts the tests in the background may have had Ctrl-C ignored, which processes
# inherit; those of the tests are to hear it
signal.signal(signal.SIGINT, signal.default_int_handler)


class CommandLine:
    """`scaling ...` in processes of its own."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "NO_COLOR": "1"}

    def run(
        self, *arguments: object, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **{"env": self.environment, **options},
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start, and let the test watch and kill it."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def command(*arguments: object) -> list[str]:
        """The words of the command."""
        return [sys.executable, "-m", "scaling", *map(str, arguments)]


@pytest.fixture(scope="session")
def scaling() -> CommandLine:
    return CommandLine()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "tiny.yaml"
    path.write_text(TINY)
    return path
