"""Which version this is, of the program and of what its numbers depend on."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from scaling import __version__

MATTER = ("torch", "numpy")
"""Packages of whose versions numbers depend."""


def code_version() -> str:
    """Version of this program, with the commit when it runs from a checkout."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return __version__
    git = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # a container without git
        return __version__
    commit = found.stdout.strip()
    return f"{__version__}+g{commit}" if commit else __version__


def versions() -> str:
    """Say all versions in a line; nothing is imported to find them out."""
    others = [f"python {platform.python_version()}", *map(_installed, MATTER)]
    return f"scaling {code_version()} ({', '.join(others)})"


def _installed(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"
