"""Files that are whole or not there, whatever kills the writer.

A file is written aside, flushed to the disk and renamed, so a full disk or a kill
leaves the earlier file as it was.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError

ASIDE = ".aside-"
"""Prefix of files that are being written; one that is left over means a kill."""


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place whole.

    Its folder is made. Should writing fail, the earlier file stays and nothing is left
    behind. Of several who write at once the last one's file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{ASIDE}{os.urandom(4).hex()}-{path.name}")
    try:
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:  # which names the file aside, that nobody asked for
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # it is not there, or nothing can be removed there
            aside.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace a text file whole."""
    write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any], indent: int = 2) -> None:
    """Replace a JSON file whole; NaN and infinity are refused."""
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def require_own(path: Path, sources: Iterable[str | Path], mark: str) -> None:
    """Refuse to write over a source, or over a file that no such command wrote.

    `mark` is what stands near the beginning of the files that it does write.
    """
    if not path.exists():
        return
    if path.is_dir() or any(
        Path(source).exists() and path.samefile(source) for source in sources
    ):
        raise ScalingError(
            f"{path} is a folder or one of the sources; expected the name of a new "
            "file: choose another"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        if mark not in file.read(2000):
            raise ScalingError(
                f"{path} exists and was not written by this command; it is left as it "
                "is: choose another name, or remove it"
            )


def claim(manifest: Path, content: Mapping[str, Any]) -> None:
    """Take the folder of a manifest: drop what an earlier one names, say what comes.

    Parameters
    ----------
    manifest : Path
        A JSON file in the folder; `files` in it are names of the folder's files.
    content : mapping
        The new manifest.

    Raises
    ------
    ScalingError
        If a file would replace one that the earlier manifest does not name.
    """
    folder = manifest.parent
    if folder.exists() and not folder.is_dir():
        raise ScalingError(f"{folder} is a file; expected a folder: choose another")
    earlier = _named(manifest)
    for name in {manifest.name, *content["files"]} - earlier:
        if (folder / name).exists():
            raise ScalingError(
                f"{folder / name} exists and was not written by this command; it is "
                "left as it is: choose another folder, or remove it"
            )
    for name in earlier:
        (folder / name).unlink(missing_ok=True)
    write_json(manifest, content)


def _named(manifest: Path) -> set[str]:
    """Files of a folder that its manifest names, if it is one."""
    try:
        listed = read_json(manifest).get("files")
    except (OSError, ScalingError):
        return set()
    if not isinstance(listed, list):
        return set()
    return {manifest.name, *(name for name in listed if Path(name).name == name)}


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    import hashlib  # which loads OpenSSL: a tenth of the time of `scaling --help`

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ScalingError
        If the file holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ScalingError(f"{path} is not a JSON object; remove it to start it again")
    return content


def jsonable(value: Any) -> Any:
    """Give a value as JSON holds it.

    Tuples become lists, numbers of numpy Python's, whole floats integers, and what is
    not finite null.

    >>> jsonable({"a": (1.0, float("nan"), "x")})
    {'a': [1, None, 'x']}
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if hasattr(value, "item"):  # a number of numpy, which need not be imported for this
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value
