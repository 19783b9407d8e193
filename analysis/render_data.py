"""A described corpus as text: what `scaling data describe` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scaling.analysis.layout import count, section, table, wrap

MOST_LISTED = 12
"""Near-duplicates, or clips left out, that are printed."""

Row = Mapping[str, Any]


def text(corpus: Row) -> str:
    """Write a description for the terminal.

    Parameters
    ----------
    corpus : mapping
        As `scaling data describe --json` prints it.

    Returns
    -------
    str
        Lines of at most 100 columns, without a newline at the end.
    """
    return "\n".join(_lines(corpus))


def reading(report: Row) -> Iterator[str]:
    """Write what was left out (`skipped`, reasons by name) and the `notes`."""
    skipped = (f"{name}: {reason}" for name, reason in report["skipped"].items())
    yield from section("Left out", _some(skipped))
    yield from section("Notes", report["notes"])


def _lines(corpus: Row) -> Iterator[str]:
    total = corpus["total"]
    yield (
        f"{corpus['name']}: {count(total['clips'], 'clip')}, {total['frames']:,} "
        f"frames, {total['hours']:.2f} h at 20 frames per second"
    )
    for title, parts in (("source", corpus["sources"]), ("split", corpus["splits"])):
        if parts:
            yield ""
            yield from table(_lengths(title, parts, total), right=range(1, 9))
    yield from _captions(corpus["captions"])
    yield from _shared(corpus["shared"])
    yield from section("Near-duplicates", _some(map(_pair, corpus["duplicates"])))
    yield from reading(corpus)


def _lengths(title: str, parts: Iterable[Row], total: Row) -> list[tuple[str, ...]]:
    names = ("mean", "median", "shortest", "longest")
    rows = [
        (title, "clips", "frames", "%", "hours", *(f"{name} (s)" for name in names))
    ]
    for part in (*parts, total):
        share = 100 * part["frames"] / total["frames"]
        numbers = f"{part['clips']:,}", f"{part['frames']:,}", f"{share:.1f}"
        lengths = (
            f"{part[name]:.0f} ({part[f'{name}_seconds']:.1f})" for name in names
        )
        rows.append((part["name"], *numbers, f"{part['hours']:.2f}", *lengths))
    return rows


def _captions(captions: Row) -> Iterator[str]:
    yield ""
    yield from wrap(
        f"{captions['captions']:,} captions, {captions['distinct']:,} distinct, of "
        f"{captions['fewest_words']} to {captions['most_words']} words, median "
        f"{captions['median_words']:g}; {captions['vocabulary']:,} different words"
    )
    frequent = (f"{number:,} x {caption}" for caption, number in captions["frequent"])
    yield from section("Most frequent captions", frequent)


def _shared(pairs: Iterable[Row]) -> Iterator[str]:
    rows = [("of", "in", "clips", "same frames", "near-duplicates", "same captions")]
    leaks = 0
    for pair in pairs:
        numbers = pair["clips"], pair["same_frames"], pair["near_duplicates"]
        counts = (f"{number:,}" for number in (*numbers, pair["same_captions"]))
        rows.append((pair["split"], pair["other"], *counts))
        leaks += pair["same_frames"]
    if rows[1:]:
        yield ""
        yield "Clips whose motion, or caption, an earlier split has"
        yield from table(rows, right=range(2, 6))
    if leaks:
        yield f"LEAK BETWEEN SPLITS: {count(leaks, 'clip')} of the same frames"


def _pair(pair: Row) -> str:
    ahead = pair["shift"]
    shift = (
        f", {count(abs(ahead), 'frame')} {'later' if ahead > 0 else 'earlier'} in it"
    )
    return (
        f"{pair['split']} {pair['clip']}: {pair['millimetres']:.2f} mm from "
        f"{pair['other_split']} {pair['other']} over {count(pair['frames'], 'frame')}"
        + (shift if ahead else "")
        + (", mirrored" if pair["mirrored"] else "")
    )


def _some(items: Iterable[str]) -> list[str]:
    """Keep what there is room for, and say how many more there are."""
    listed = list(items)
    more = len(listed) - MOST_LISTED
    return listed[:MOST_LISTED] + ([f"and {more:,} more"] if more > 0 else [])
