"""ScaMo audited from its own points: what it says, what they give, do the two agree.

Each claim is one statement of the paper (arXiv 2412.14559) or of its supplementary. All
that is found is fitted or counted here, from the points that `reference` holds; only
what the paper prints is written down. Claims that no point bears on are not made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from scaling.analysis import (
    audit_axes,
    audit_equations,
    audit_prediction,
    audit_questions,
    audit_tables,
)
from scaling.analysis.audit_claim import AUDIT, LEVEL, Claim, Number, written
from scaling.analysis.layout import aligned, count, wrap
from scaling.analysis.reference import records

SCHEMA = 1
KIND = "audit"
PARTS = (
    audit_equations,
    audit_axes,
    audit_prediction,
    audit_tables,
    audit_questions,
)
SHOWN = {
    "agrees": "agrees",
    "disagrees": "DISAGREES",
    "cannot be told": "cannot be told",
}
"""A good state is written quietly, a bad one in capitals."""
INDENT = 4


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Audit:
    """All claims, in the order of the paper's argument."""

    claims: tuple[Claim, ...]
    """The claims, those of a topic together."""
    data_hash: str
    """First 16 hex digits of the SHA-256 of the points, as `scaling fit` prints it."""

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of claims by verdict."""
        found = Counter(claim.verdict for claim in self.claims)
        return {verdict: found[verdict] for verdict in SHOWN}  # type: ignore[index]

    def claim(self, name: str) -> Claim:
        """Give one claim by its name."""
        return {claim.name: claim for claim in self.claims}[name]

    def to_dict(self) -> dict[str, Any]:
        """Give the audit as JSON holds it, with full precision."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "paper": "arXiv 2412.14559",
            "data_hash": self.data_hash,
            "level": LEVEL,
            "verdicts": self.verdicts,
            "claims": [claim.to_dict() for claim in self.claims],
        }

    def __repr__(self) -> str:
        return text(self)


def audit() -> Audit:
    """Check the paper's statements against its own points."""
    claims = tuple(claim for part in PARTS for claim in part.claims())
    return Audit(claims=claims, data_hash=records().data_hash)


# --- As text --------------------------------------------------------------------------


def text(found: Audit) -> str:
    """Write an audit for the terminal, in lines of at most 100 columns."""
    return "\n".join([*_heading(found), *_topics(found)])


def _heading(found: Audit) -> Iterator[str]:
    counted = found.verdicts
    yield "ScaMo (arXiv 2412.14559), audited from its own points"
    yield (
        f"{count(len(found.claims), 'claim')}: {counted['agrees']} agree, "
        f"{counted['disagrees']} DISAGREE, {counted['cannot be told']} cannot be told; "
        f"data {found.data_hash}"
    )
    yield from wrap(
        f"In brackets {100 * LEVEL:g} % intervals: Student's t for least squares, the "
        "scatter of the points for the rest; where it says so, the least and the most"
    )


def _topics(found: Audit) -> Iterator[str]:
    for topic, claims in groupby(found.claims, lambda claim: claim.topic):
        yield ""
        yield topic
        for claim in claims:
            yield ""
            yield from _claim(claim)


def _claim(claim: Claim) -> Iterator[str]:
    verdict = SHOWN[claim.verdict]
    yield from wrap(f"{verdict}: {claim.says} ({claim.where}) [{claim.name}]", indent=2)
    yield from wrap(claim.finding, indent=INDENT)
    for lines in aligned(_table(claim.found)) if claim.found else ():
        yield from (f"  {line}" for line in lines)
    if claim.command != AUDIT:
        yield f"    $ {claim.command}"


def _table(found: tuple[Number, ...]) -> list[tuple[str, ...]]:
    """Set numbers of several quantities side by side where the same ways gave them."""
    quantities = list(dict.fromkeys(n.quantity for n in found))
    ways = list(dict.fromkeys(n.how for n in found))
    if len(found) != len(quantities) * len(ways) or len(quantities) > 2:
        return [(n.quantity, n.how, written(n)) for n in found]
    of = {(n.how, n.quantity): written(n) for n in found}
    head = ("", *quantities)
    return [head, *((way, *(of[way, q] for q in quantities)) for way in ways)]
