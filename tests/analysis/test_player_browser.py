"""The player in a real browser: it obeys, keeps the body in view, asks for nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.analysis.player import Motion, assets, fragment, page
from scaling.runs import kinematic

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome"
)
HOSTILE = '</script><script>hurt = 1</script>"><img src="x" onerror="hurt = 1">'


def walk(index: int = 0, frames: int = 60) -> NDArray[np.floating]:
    return kinematic.sequence(index, 7).joints[:frames]


class Browser:
    """A headless chromium, spoken to in its own protocol through two pipes."""

    def __init__(self, profile: Path) -> None:
        (asked, ask), (answer, answered) = os.pipe(), os.pipe()
        # the browser wants its ends to be 3 and 4, which may be taken: from above
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (asked, answered)]
        self.process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash"),
                *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
                *("--disable-quic", "--no-first-run", "--disable-sync"),
                *("--disable-background-networking", "--disable-component-update"),
                *("--remote-debugging-pipe", f"--user-data-dir={profile}"),
            ],
            pass_fds=ends,
            stderr=subprocess.DEVNULL,
        )
        for end in (asked, answered, *ends):
            os.close(end)
        self.ask, self.answer = os.fdopen(ask, "wb"), os.fdopen(answer, "rb")
        self.number, self.session = 0, ""
        self.events: list[dict[str, Any]] = []
        self.watch = threading.Timer(120, self.process.kill)  # so that no test hangs
        self.watch.start()

    def close(self) -> None:
        self.session = ""
        self.send("Browser.close")
        self.process.wait(30)
        self.watch.cancel()
        self.ask.close()
        self.answer.close()

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (letter := self.answer.read(1)) != b"\0":
            assert letter, "the browser has gone"
            text += letter
        message: dict[str, Any] = json.loads(text)
        if "id" not in message:
            self.events.append(message)
        return message

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command; what it returns."""
        self.number += 1
        to = {"sessionId": self.session} if self.session else {}
        message = {"id": self.number, "method": method, "params": parameters, **to}
        self.ask.write(json.dumps(message).encode() + b"\0")
        self.ask.flush()
        while (answer := self._read()).get("id") != self.number:
            pass
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, hash_: str = "") -> None:
        """Show a page in a window of its own, until it is loaded."""
        self.session, self.events = "", []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.window(900, 700)
        self.send("Page.navigate", url=path.as_uri() + hash_)
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def window(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", **metrics, mobile=False)

    def look(self, expression: str) -> Any:
        """Value of an expression, when the page has been painted."""
        painted = "requestAnimationFrame(() => requestAnimationFrame(done))"
        code = f"new Promise((done) => {painted}).then(() => ({expression}))"
        found = self.send(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 * shift)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        names = {"type": f"mouse{kind}", "button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", **names, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        box = f"document.querySelector('{selector}').getBoundingClientRect()"
        x, y, width, height = (
            self.look(f"{box}.{name}") for name in ("x", "y", "width", "height")
        )
        for kind in ("Pressed", "Released"):
            self.mouse(kind, x + width / 2, y + height / 2)

    def heard(self) -> list[str]:
        """Kinds of what the page said, or what was said against it."""
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        kinds = {*names, "Log.entryAdded"}
        return [each["method"] for each in self.events if each["method"] in kinds]

    def requested(self) -> list[str]:
        """Names of what the page asked for, the page itself first."""
        asked = "Network.requestWillBeSent"
        return [
            Path(each["params"]["request"]["url"].partition("#")[0]).name
            for each in self.events
            if each["method"] == asked
        ]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


ROOT = "document.querySelector('.motion-player')"
FRAME = f"Number({ROOT}.dataset.frame)"
PICTURE = "document.querySelector('canvas').toDataURL()"


def written(folder: Path, html: str) -> Path:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


@browser
def test_address_slider_and_keys_lead_to_frames(
    chromium: Browser, tmp_path: Path
) -> None:
    motions = [
        Motion(joints=walk(0), caption=HOSTILE, label="real"),
        Motion(joints=walk(1, 25), label="generated"),
    ]
    path = written(tmp_path, page(motions, "two"))
    chromium.open(path, "#frame=7")
    pictures = {chromium.look(FRAME): chromium.look(PICTURE)}
    chromium.click("input")
    pictures[chromium.look(FRAME)] = chromium.look(PICTURE)
    middle = chromium.look(FRAME)
    assert middle in (29, 30)
    chromium.click("h1")
    chromium.press("ArrowRight")
    pictures[chromium.look(FRAME)] = chromium.look(PICTURE)
    assert list(pictures) == [7, middle, middle + 1]
    assert len(set(pictures.values())) == 3
    chromium.press("ArrowLeft")
    assert chromium.look(PICTURE) == pictures[middle]
    chromium.look("location.hash = 'frame=9999'")
    assert chromium.look(FRAME) == 59
    assert chromium.look(f"{ROOT}.querySelector('output').value") == "59 / 59 · 2.95 s"
    assert chromium.look("typeof hurt") == "undefined"
    assert chromium.requested() == ["page.html"]
    assert chromium.heard() == []


@browser
def test_pointer_wheel_and_keys_move_the_shared_camera(
    chromium: Browser, tmp_path: Path
) -> None:
    motions = [Motion(joints=walk()), Motion(joints=walk())]
    chromium.open(written(tmp_path, page(motions, "two")), "#frame=7")
    both = "[...document.querySelectorAll('canvas')].map((each) => each.toDataURL())"
    pictures = [chromium.look(both)]
    chromium.press("ArrowUp", shift=True)
    pictures.append(chromium.look(both))
    chromium.mouse("Pressed", 100, 200)
    chromium.mouse("Moved", 160, 200, buttons=1)
    pictures.append(chromium.look(both))
    chromium.mouse("Released", 160, 200)
    chromium.mouse("Moved", 300, 200)
    assert chromium.look(both) == pictures[-1]  # it was let go
    chromium.mouse("Wheel", 160, 200, deltaX=0, deltaY=-300)
    pictures.append(chromium.look(both))
    fingers = [[{"x": 100 + d, "y": 200, "id": 0}, {"x": 300, "y": 200, "id": 1}]
               for d in (0, 50)]  # fmt: skip
    for kind, points in (("Start", fingers[0]), ("Move", fingers[1]), ("End", [])):
        chromium.send(
            "Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points
        )
    pictures.append(chromium.look(both))
    assert all(left == right for left, right in pictures)
    assert len({left for left, _ in pictures}) == 5
    assert chromium.look(FRAME) == 7


@browser
def test_a_lone_motion_plays_in_time_until_it_is_stopped(
    chromium: Browser, tmp_path: Path
) -> None:
    chromium.open(written(tmp_path, page([Motion(joints=walk(0, 196))], "one")))
    clock = f"[performance.now() / 1000, {FRAME}]"
    start, first = chromium.look(clock)
    time.sleep(1)
    end, last = chromium.look(clock)
    assert last - first == pytest.approx(20 * (end - start), abs=3)
    assert chromium.look(f"{ROOT}.querySelector('button').innerText") == "Pause"
    chromium.press(" ")
    assert chromium.look(f"{ROOT}.dataset.playing") == "false"
    stopped = chromium.look(FRAME)
    time.sleep(0.2)
    assert chromium.look(FRAME) == stopped
    chromium.click("button")
    time.sleep(0.2)
    assert chromium.look(FRAME) > stopped


@browser
def test_players_in_a_report_wait_and_keep_their_keys(
    chromium: Browser, tmp_path: Path
) -> None:
    """And a request and an error would have been seen, had there been any above."""
    rest = "<img src='none.png'>" + 2 * fragment([Motion(joints=walk())])
    chromium.open(written(tmp_path, f"<!DOCTYPE html>{assets()}{rest}"))
    each = (
        "[...document.querySelectorAll('.motion-player')].map((x) => ({...x.dataset}))"
    )
    assert [player["playing"] for player in chromium.look(each)] == ["false"] * 2
    chromium.press("ArrowRight")
    assert [player["frame"] for player in chromium.look(each)] == ["0", "0"]
    chromium.click("canvas")
    chromium.press("ArrowRight")
    assert [player["frame"] for player in chromium.look(each)] == ["1", "0"]
    assert chromium.requested() == ["page.html", "none.png"]
    assert "Log.entryAdded" in chromium.heard()


BOX = """(() => {
  const canvas = document.querySelector("canvas"), { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const at = (k) => [0, 1, 2].map((c) => data[4 * k + c]);
  const isLimb = ([r, , b]) => Math.abs(r - b) > 100; // as blue and orange are
  const found = [...Array(width * height).keys()].filter((k) => isLimb(at(k)));
  const x = found.map((k) => k % width), y = found.map((k) => Math.floor(k / width));
  const least = (all) => all.reduce((a, b) => Math.min(a, b));
  const most = (all) => all.reduce((a, b) => Math.max(a, b));
  return [least(x), least(y), width - 1 - most(x), height - 1 - most(y)];
})()"""


@browser
@pytest.mark.parametrize("width", [360, 1200])
def test_limbs_stay_in_view_wherever_the_body_goes(
    chromium: Browser, tmp_path: Path, width: int
) -> None:
    away = np.linspace(0, 1, 60)[:, None, None] * [30.0, 1.5, -8.0]
    chromium.open(written(tmp_path, page([Motion(joints=walk() + away)], "away")))
    chromium.window(width, 700)
    for frame in (0, 30, 59):
        chromium.look(f"location.hash = 'frame={frame}'")
        assert chromium.look(FRAME) == frame
        assert min(chromium.look(BOX)) > 2
    assert chromium.look("document.documentElement.scrollWidth") <= width


@browser
def test_dark_readers_get_a_dark_page(chromium: Browser, tmp_path: Path) -> None:
    chromium.open(written(tmp_path, page([Motion(joints=walk())], "one")), "#frame=0")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = (chromium.look(ground), chromium.look(PICTURE))
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    chromium.send("Emulation.setEmulatedMedia", features=[scheme])
    dark = (chromium.look(ground), chromium.look(PICTURE))
    assert (light[0], dark[0]) == ("rgb(255, 255, 255)", "rgb(21, 25, 31)")
    assert light[1] != dark[1]
