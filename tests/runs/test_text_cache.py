"""Captions are encoded once for all studies, and damage costs no more than time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.text import FrozenEncoder, word_states
from scaling.runs.text_cache import Cached, cache_folder
from scaling.runs.text_encoders import encoder

pytestmark = pytest.mark.usefixtures("cache")

CAPTIONS = [
    "a person walks forward slowly",
    "someone jumps",
    "a person walks forward, turns left, sits down and then waves with the right hand",
    "",
    "a person runs",
    "someone jumps",
]
WIDTH, LENGTH = 16, 24


class Asked(list[str]):
    """A text encoder that remembers what it was asked to encode."""

    def __init__(self, encoder: FrozenEncoder) -> None:
        self.encoder = encoder
        self.model, self.revision = encoder.model, encoder.revision
        self.width, self.max_length = encoder.width, encoder.max_length

    def encode(
        self, captions: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        self += captions
        return self.encoder.encode(captions)


ENCODE = """
import sys
from scaling.runs.text_cache import Cached
from scaling.runs.text_encoders import encoder
states, _ = Cached(encoder(sys.argv[1], 24)).encode(sys.argv[2:])
sys.stdout.buffer.write(states.tobytes())
"""


def test_nothing_is_encoded_twice(t5: Path) -> None:
    found = encoder(str(t5), LENGTH)
    asked = Asked(found)
    first, mask = Cached(asked).encode(CAPTIONS[:3])
    assert asked == CAPTIONS[:3]
    again, again_mask = Cached(asked).encode(CAPTIONS[:3])
    assert asked == CAPTIONS[:3]
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again_mask, mask)
    # nor are weights loaded
    unloaded = replace(found, load=lambda: pytest.fail("loaded"))
    np.testing.assert_array_equal(Cached(unloaded).encode(CAPTIONS[:3])[0], first)
    Cached(asked).encode(CAPTIONS)
    assert asked[3:] == ["", "a person runs"]


def test_what_is_there_does_not_change_what_comes(t5: Path) -> None:
    found = encoder(str(t5), LENGTH)
    plain = found.encode(CAPTIONS)
    for chosen in (CAPTIONS[2:3], CAPTIONS[:4], CAPTIONS, CAPTIONS):
        states = word_states(Cached(found), chosen)
        for row, caption in zip(states, chosen, strict=True):
            number = CAPTIONS.index(caption)
            expected = plain[0][number][plain[1][number]]
            np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("damage", ["empty", "short", "long", "one bit", "header"])
def test_a_damaged_file_is_encoded_again(t5: Path, cache: Path, damage: str) -> None:
    asked = Asked(encoder(str(t5), LENGTH))
    first, _ = Cached(asked).encode(CAPTIONS[:2])
    path = sorted(cache.rglob("*.states"))[0]
    whole = path.read_bytes()
    flipped = whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]
    path.write_bytes(
        {
            "empty": b"",
            "short": whole[:-4],
            "long": whole + whole[-4 * WIDTH :],
            "one bit": flipped,
            "header": b"\0" * 32 + whole[32:],
        }[damage]
    )
    again, _ = Cached(asked).encode(CAPTIONS[:2])
    np.testing.assert_array_equal(again, first)
    assert len(asked) == 3
    assert path.read_bytes() == whole


def test_encoders_are_never_mixed(
    t5: Path, tmp_path: Path, make_t5: Callable[..., Path]
) -> None:
    other = make_t5(tmp_path / t5.name, seed=1)
    found = [encoder(str(t5), 24), encoder(str(t5), 5), encoder(str(other), 24)]
    moved = [replace(each, model="moved") for each in found]
    for each in [*found, *moved, *found]:
        states, _ = Cached(each).encode(CAPTIONS)
        np.testing.assert_array_equal(states, each.encode(CAPTIONS)[0])
    assert len(list(cache_folder().iterdir())) == 6


def test_processes_write_at_once(t5: Path, cache: Path) -> None:
    command = [sys.executable, "-c", ENCODE, str(t5), *CAPTIONS]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    said = [np.frombuffer(writer.communicate()[0], np.float32) for writer in writers]
    states, _ = encoder(str(t5), LENGTH).encode(CAPTIONS)
    for each in said:
        np.testing.assert_allclose(each, states.flatten(), atol=1e-5)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == len(set(CAPTIONS))


def test_a_folder_that_cannot_be_written(t5: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScalingError, match=r"file cannot be .*; set SCALING_CACHE"):
        Cached(encoder(str(t5), 9), tmp_path / "file").encode(["a"])


def test_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_CACHE", "/one")
    assert cache_folder() == Path("/one/text")
    monkeypatch.delenv("SCALING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert cache_folder() == Path("/two/scaling/text")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/scaling/text"
