"""Token corpora: codes of any modality that another tokenizer made, read from a file.

A file (npz, npy, safetensors, Parquet) holds `codes`: all rows after one another with
their `lengths`, a row a line of a table with `padding`, or in Parquet a list a row;
beside it may stand `name`, `caption`, `label` and `split`, one for each row. An npz or
safetensors file without `codes` holds one array a row, by name. A corpus folder holds
`clips.json` and `skipped.json`; the codes go straight into the tokenizers' folders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.runs import caption_table
from scaling.runs.captioned import Captioned, Item
from scaling.runs.mocap import split_of
from scaling.runs.sections import TokensCorpus
from scaling.runs.sources import SPLITS, UNREADABLE, Report

Codes = NDArray[np.int32]

BESIDE = ("caption", "label", "split")
"""What a file may say of each row, beside its name; anything else is not read."""

FORMATS = (".npz", ".npy", ".safetensors", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRow(Item):
    """A row of tokens."""

    tokens: int
    """Its tokens in the file that says what the rows are."""


@dataclass(frozen=True, kw_only=True)
class TokenRows(Captioned[TokenRow]):
    """A token corpus as it lies on disk."""

    tokens_per_second: float | None
    """Of the tokens that the rows count; None where the data has no time."""

    def amount(self, split: str) -> Mapping[str, float]:
        """Seconds of a split, if tokens have a rate."""
        if self.tokens_per_second is None:
            return {}
        tokens = sum(row.tokens for row in self.split(split))
        return {"second": tokens / self.tokens_per_second}


# --- the corpus ---


def files(section: TokensCorpus) -> list[Path]:
    """List the files that say what the rows are."""
    captions = [Path(section.captions)] if section.captions else []
    return [Path(section.file()), *captions]


def build(
    section: TokensCorpus, folder: Path, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Write a corpus' folder.

    Returns
    -------
    dict
        Rows and tokens, by split, and how many rows were left out.
    """
    report = Report()
    table = read(section, section.file())
    told = caption_table.read(Path(section.captions)) if section.captions else {}
    rows = []
    for number, (name, codes) in enumerate(table.codes.items()):
        said = told.get(name, caption_table.Told())
        captions = (*said.captions,) or (table.text("caption", number),)
        split = said.split or table.text("split", number) or split_of(name)
        if len(codes) == 0:
            report.skipped[name] = "no token"
        elif split not in SPLITS:
            raise ScalingError(
                f"{section.file()}: row {name!r}: split {split!r} is unknown; expected "
                f"{', '.join(SPLITS)}: mend it"
            )
        else:
            row = TokenRow(name=name, split=split, captions=captions, tokens=len(codes))
            rows.append(row)
    for name in told.keys() - table.codes.keys():
        report.skipped[name] = "captions without tokens"
    _check(rows, section, report)
    content = {
        "tokens_per_second": section.tokens_per_second,
        "clips": [asdict(row) for row in rows],
    }
    write_json(folder / "clips.json", content)
    write_json(folder / "skipped.json", asdict(report))
    progress(1, 1)
    return {**_summary(rows), "skipped": len(report.skipped)}


def load(folder: Path) -> TokenRows:
    """Read what `build` wrote."""
    content = read_json(folder / "clips.json")
    return TokenRows(
        clips=tuple(
            TokenRow(**{**row, "captions": tuple(row["captions"])})
            for row in content["clips"]
        ),
        tokens_per_second=content["tokens_per_second"],
    )


def codes_of(section: TokensCorpus, corpus: TokenRows, codebook: int) -> list[Codes]:
    """Read the tokens of one codebook, for the rows of a corpus.

    Raises
    ------
    ScalingError
        If a row is missing or empty, or a token is no code of the codebook.
    """
    file = section.file(codebook)
    table = read(section, file)
    for row in corpus.clips:
        if not len(table.codes.get(row.name, ())):
            raise ScalingError(
                f"{file}: row {row.name!r} is missing or empty, and "
                f"{section.file()} has it; give every codebook the same rows"
            )
    rows = [table.codes[row.name] for row in corpus.clips]
    _require_codes(file, [row.name for row in corpus.clips], rows, codebook)
    return [row.astype(np.int32) for row in rows]


def _require_codes(
    file: str, names: Sequence[str], rows: Sequence[NDArray[Any]], codebook: int
) -> None:
    for name, row in zip(names, rows, strict=True):
        outside = np.flatnonzero((row < 0) | (row >= codebook))
        if outside.size:
            place = int(outside[0])
            raise ScalingError(
                f"{file}: row {name!r}, position {place}: token {row[place]} is no "
                f"code of a codebook of {codebook}; expected 0 to {codebook - 1}: give "
                "the true size in codebooks, mend the token, or set corpus.padding"
            )


def _check(rows: Sequence[TokenRow], section: TokensCorpus, report: Report) -> None:
    for split in ("train", "test"):
        if not any(row.split == split for row in rows):
            raise ScalingError(
                f"{section.file()}: none of its {len(rows)} rows is in the {split} "
                f"split, and {len(report.skipped)} are left out; give more rows, or "
                "their split"
            )


def _summary(rows: Sequence[TokenRow]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for split in SPLITS:
        lengths = [row.tokens for row in rows if row.split == split]
        summary[f"{split}_rows"] = len(lengths)
        summary[f"{split}_tokens"] = sum(lengths)
    return summary


# --- the file ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of a file."""

    codes: Mapping[str, NDArray[np.integer[Any]]]
    """Tokens of each row, by its name."""
    beside: Mapping[str, Sequence[Any]]
    """What else the file says of each row: `caption`, `label`, `split`."""

    def text(self, name: str, row: int) -> str:
        """Give what the file says of a row, or nothing; a label is a caption."""
        values = self.beside.get(name)
        if values is None and name == "caption":
            values = self.beside.get("label")
        return "" if values is None or values[row] is None else str(values[row])


def read(section: TokensCorpus, file: str) -> Table:
    """Read the rows of a file.

    Raises
    ------
    ScalingError
        If it cannot be read, or does not hold whole numbers in one of the layouts.
    """
    arrays = _arrays(file, section.array)
    codes = arrays.pop(section.array, None)
    if codes is None:
        if beside := {"name", "lengths", *BESIDE} & arrays.keys():
            raise ScalingError(
                f"{file} has {', '.join(sorted(beside))} and no {section.array!r}; "
                f"it has: {', '.join(arrays)}. Name its tokens with corpus.array"
            )
        rows: list[Any] = list(arrays.values())
        names, arrays = list(arrays), {}
    else:
        rows = _rows(file, codes, arrays.pop("lengths", None))
        numbers = range(len(rows))
        names = [str(name) for name in np.ravel(arrays.pop("name", numbers))]
        arrays = {name: arrays[name] for name in BESIDE if name in arrays}
    _require_each(file, names, {"name": names, **arrays}, len(rows))
    kept = [
        _row(file, *each, section.padding) for each in zip(names, rows, strict=True)
    ]
    return Table(codes=dict(zip(names, kept, strict=True)), beside=arrays)


def _arrays(file: str, array: str) -> dict[str, Any]:
    """Read all arrays of a file, by name."""
    path = Path(file)
    try:
        match path.suffix.lower():
            case ".npz":
                with np.load(path) as arrays:
                    return dict(arrays)
            case ".npy":
                return {array: np.load(path)}
            case ".safetensors":
                from safetensors.numpy import load_file

                return dict(load_file(path))
            case ".parquet":
                return _columns(path, array)
    except OSError as error:
        raise ScalingError(
            f"corpus.path: {file}: {error.strerror or error}; name a file that is there"
        ) from None
    except (*UNREADABLE, SafetensorError) as error:
        raise ScalingError(
            f"corpus.path: {file} cannot be read ({error}); expected arrays of numbers "
            "and texts: write it anew"
        ) from None
    raise ScalingError(
        f"corpus.path: {file} is of no known format; expected {', '.join(FORMATS)}: "
        "convert it"
    )


def _columns(path: Path, array: str) -> dict[str, Any]:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise ScalingError(
            f"reading {path} needs pyarrow, which is not installed; pip install "
            "pyarrow, or save the tokens as npz"
        ) from None
    said = table.astype(object).where(table.notna(), None)
    columns = {str(name): said[name].tolist() for name in said}
    if array in columns:
        none = np.zeros(0, np.int64)
        columns[array] = [none if row is None else row for row in columns[array]]
    return columns


def _rows(file: str, codes: Any, lengths: Any) -> list[Any]:
    """Part the tokens of all rows."""
    if isinstance(codes, list):  # of Parquet
        return codes
    if codes.ndim == 2 and lengths is None:
        return list(codes)
    if codes.ndim != 1 or lengths is None:
        raise ScalingError(
            f"{file}: its tokens have shape {codes.shape}, "
            f"with{'out' if lengths is None else ''} lengths; expected (tokens,) with "
            "lengths, or (rows, positions): reshape them"
        )
    if np.ndim(lengths) != 1 or np.asarray(lengths).dtype.kind not in "iu":
        raise ScalingError(
            f"{file}: lengths are {np.asarray(lengths).dtype} of shape "
            f"{np.shape(lengths)}; expected one whole number a row: write it anew"
        )
    stops = np.cumsum([0, *lengths])
    if stops[-1] != len(codes) or min(lengths, default=0) < 0:
        raise ScalingError(
            f"{file}: lengths sum up to {stops[-1]} and there are {len(codes)} tokens; "
            "expected as many: write it anew"
        )
    return [codes[start:stop] for start, stop in pairwise(stops)]


def _row(
    file: str, name: str, tokens: Any, padding: int | None
) -> NDArray[np.integer[Any]]:
    """Give the tokens of a row, without what fills up its end."""
    row: NDArray[np.integer[Any]] = np.asarray(tokens)
    if row.size and (row.ndim != 1 or row.dtype.kind not in "iu"):
        raise ScalingError(
            f"{file}: row {name!r} has shape {row.shape} of {row.dtype}; expected one "
            "dimension of whole numbers: flatten it, or cast it"
        )
    if padding is None or not row.size:
        return row
    kept = np.flatnonzero(row != padding)
    return row[: kept[-1] + 1 if kept.size else 0]


def _require_each(
    file: str, names: Sequence[str], columns: Mapping[str, Sequence[Any]], rows: int
) -> None:
    """Refuse what does not stand beside each row, and names that are not unique."""
    for column, values in columns.items():
        each = np.asarray(values, object)
        if each.shape != (rows,) or any(isinstance(x, list | np.ndarray) for x in each):
            raise ScalingError(
                f"{file}: {column} has shape {each.shape} beside {rows} rows; "
                "expected one value a row: mend or remove it"
            )
    if len(set(names)) < rows:
        twice = next(name for name in names if names.count(name) > 1)
        raise ScalingError(
            f"{file}: several rows are called {twice!r}; give each a name of its own"
        )
