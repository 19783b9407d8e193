"""The page holds what it was given, safely, and points nowhere."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.analysis.player import UNIT, Motion, assets, fragment, page
from scaling.errors import ScalingError
from scaling.runs import kinematic

HOSTILE = '</script><script>hurt = 1</script>"><img src="x" onerror="hurt = 1"> & done'


def walk(frames: int = 60) -> NDArray[np.floating]:
    return kinematic.sequence(0, 7).joints[:frames]


class Elements(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


# --- what it is given ---


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((5, 21, 3)), r"shape \(5, 21, 3\): expected \(frames, 22, 3\)"),
        (np.zeros((0, 22, 3)), "too few frames, 0"),
        (np.full((5, 22, 3), np.nan), "not finite, first in frame 0"),
    ],
)
def test_what_is_no_motion_is_refused(
    joints: NDArray[np.floating], message: str
) -> None:
    with pytest.raises(ScalingError, match=message):
        Motion(joints=joints)


def test_a_page_of_no_motions_is_refused() -> None:
    with pytest.raises(ScalingError, match="0 motions to show; expected at least one"):
        page([], "empty")


# --- what it says ---


@pytest.mark.parametrize("scale", [1, 10])
def test_joints_are_kept_to_half_a_unit(scale: float) -> None:
    """A unit is 0.5 mm; a motion that goes 40 m away has a coarser one."""
    joints = scale * walk()
    (canvas,) = Elements(fragment([Motion(joints=joints)])).of("canvas")
    unit = float(canvas["data-unit"] or "")
    reach = np.abs(joints).max()
    assert unit == (UNIT if reach < 32767 * UNIT else pytest.approx(reach / 32767))
    steps = np.frombuffer(base64.b64decode(canvas["data-joints"] or ""), "<i2")
    shown = steps.reshape(-1, 22, 3) * unit
    assert np.abs(shown - joints).max() <= unit / 2 * (1 + 1e-9)


def test_a_frame_costs_176_characters() -> None:
    short, long = (len(fragment([Motion(joints=walk(frames=n))])) for n in (20, 50))
    assert long - short == 30 * 22 * 3 * 2 * 4 / 3


def test_captions_and_titles_stay_text() -> None:
    motion = Motion(joints=walk(), caption=HOSTILE, label=HOSTILE)
    found = Elements(page([motion], HOSTILE))
    assert len(found.of("script")) == len(Elements(assets()).of("script")) == 1
    assert not found.of("img")
    assert found.text.count(HOSTILE) == 4  # title, heading, label, caption
    assert found.of("canvas")[0]["aria-label"] == f"{HOSTILE}: {HOSTILE}"


def test_controls_are_labelled() -> None:
    found = Elements(fragment([Motion(joints=walk(), caption="walks", label="real")]))
    (canvas,), (slider,), (speed,) = map(found.of, ("canvas", "input", "select"))
    assert (canvas["role"], canvas["aria-label"]) == ("img", "real: walks")
    assert slider["aria-label"] == "Frame"
    assert speed["aria-label"] == "Speed"


def test_a_named_player_says_what_it_shows_once() -> None:
    pair = [Motion(joints=walk(), caption=HOSTILE, label=x) for x in ("real", "made")]
    found = Elements(fragment(pair, "Clip 1"))
    assert found.text.count(HOSTILE) == 1
    (player,) = found.of("section")
    assert player["aria-label"] == "Motion player: Clip 1"
    assert [each["aria-label"] for each in found.of("input")] == ["Clip 1: Frame"]
    other = Motion(joints=walk(), caption="walks", label="made")
    assert Elements(fragment([pair[0], other], "Clip 1")).text.count(HOSTILE) == 1


def test_nothing_points_outside() -> None:
    html = page([Motion(joints=walk())], "walk")
    pointing = ("src", "href", "srcset", "action", "poster", "data", "background")
    found = [
        value for _, each in Elements(html).tags for k, value in each.items()
        if k in pointing
    ]  # fmt: skip
    assert found == ["data:,"]
    assert not re.search(r"https?:|url\(|@import|\bimport\b|fetch\(|XMLHttp", html)


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read_in_both_schemes(scheme: int) -> None:
    """4.5:1 against the ground, as WCAG 1.4.3 asks of text."""
    schemes = assets().split("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--(\w+): (#\w{6})", schemes[scheme]))
    ground = _luminance(colours["ground"])
    for name in ("left", "right", "ink", "quiet"):
        low, high = sorted((ground, _luminance(colours[name])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name
