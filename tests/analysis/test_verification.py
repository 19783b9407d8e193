"""A frozen prediction: sealed, read back as it was written, refused once changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.analysis.outcome import Measured, compare
from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.analysis.verification import (
    PREDICTION,
    VERIFICATION,
    Expected,
    Frozen,
    Interval,
    digest_of,
    frozen,
    verifications,
    verified,
    write_frozen,
    write_verification,
)
from scaling.errors import ScalingError
from scaling.runs.claim import BEFORE

EXPECTED = Expected(
    value=-2.0,
    fifty=Interval(low=-2.25, high=-1.75),
    ninety=Interval(low=-3.0, high=math.inf),
)
FROZEN = Frozen(
    frozen="2026-01-02T03:04:05+00:00",
    code_version="0.1.0",
    sources=("quickstart",),
    data="41f0cd388fafa0e6",
    rows=144,
    runs=24,
    largest_compute=1e11,
    law="envelope",
    laws=fit(read("scamo")).to_dict(),
    compute=1e12,
    loss_symbol="L_u",
    loss=EXPECTED,
    new_run=EXPECTED,
    quantities={"N_nv": EXPECTED},
    configuration=None,
    run="1x1x16",
    grid="study: verify",
    warnings=("FAR EXTRAPOLATION",),
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to each number, word and null in a JSON value."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        yield path
    for key, each in pairs:
        yield from leaves(each, (*path, key))


SEALED = FROZEN.sealed().to_dict()
LEAVES = [path for path in leaves(SEALED) if path != ("digest",)]


@given(st.sampled_from(LEAVES), st.one_of(st.integers(), st.text(), st.booleans()))
def test_the_digest_changes_with_any_field(path: tuple[Any, ...], other: Any) -> None:
    changed = deepcopy(SEALED)
    *parents, last = path
    place = changed
    for key in parents:
        place = place[key]
    same = json.dumps(place[last]) == json.dumps(other)
    place[last] = other
    assert (digest_of(changed) == SEALED["digest"]) is same


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    found = write_frozen(tmp_path, FROZEN)
    assert found == frozen(tmp_path) == FROZEN.sealed()
    assert found.beyond == 10
    assert found.new_run.ninety.high == math.inf
    given = json.loads((tmp_path / PREDICTION).read_text())
    assert given["new_run"]["90"] == {"low": -3, "high": None}
    assert given["beyond"] == 10
    assert set(given) == {f.name for f in fields(Frozen)} | {"schema", "kind", "beyond"}


def test_it_is_written_once(tmp_path: Path) -> None:
    first = write_frozen(tmp_path, FROZEN)
    assert write_frozen(tmp_path, replace(FROZEN, compute=2e12)) == first


def test_a_changed_prediction_is_refused(tmp_path: Path) -> None:
    write_frozen(tmp_path, FROZEN)
    path = tmp_path / PREDICTION
    path.write_text(path.read_text().replace('"low": -2.25', '"low": -2.35', 1))
    with pytest.raises(ScalingError, match="was changed after it was frozen"):
        frozen(tmp_path)


def test_a_verification_belongs_to_its_prediction(tmp_path: Path) -> None:
    sealed = write_frozen(tmp_path, FROZEN)
    assert verified(tmp_path) is None
    found = compare(sealed, Measured(-2.1))
    write_verification(tmp_path, found)
    assert verified(tmp_path) == found
    write_verification(tmp_path, replace(found, prediction="0" * 64))
    with pytest.raises(ScalingError, match="not of the prediction beside it"):
        verified(tmp_path)
    (tmp_path / VERIFICATION).write_text('{"kind": "verification", "schema": 2}')
    with pytest.raises(ScalingError, match="schema 2; expected 'verification', 1"):
        verified(tmp_path)


def test_verifications_come_in_the_order_of_compute(tmp_path: Path) -> None:
    for name, compute in (("verify-1e9", 1e9), ("verify-1e10", 1e10), ("other", 1e8)):
        write_frozen(tmp_path / name, replace(FROZEN, compute=compute))
    found = verifications(tmp_path)
    assert [each.compute for each, _ in found] == [1e9, 1e10]
    assert [result for _, result in found] == [None, None]


def test_no_prediction_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"holds no prediction\.json; expected"):
        frozen(tmp_path)


def test_a_folder_of_a_prediction_can_become_a_store() -> None:
    assert PREDICTION in BEFORE
