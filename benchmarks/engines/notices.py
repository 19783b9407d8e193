"""What happens to the files of a run store, as the kernel tells it (inotify).

Asking for times and inodes now and then would miss a file that was put in place twice
between two looks. The kernel reports every renaming, in order.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

CLOSED_WRITTEN, MOVED_AWAY, MOVED_HERE = 0x8, 0x40, 0x80
CREATED, DELETED = 0x100, 0x200
ALL = CLOSED_WRITTEN | MOVED_AWAY | MOVED_HERE | CREATED | DELETED

HEAD = struct.Struct("iIII")
RESULT = "result.json"
STATE = {RESULT, "config.json", "metrics.jsonl", "error.txt"}
"""Files that a job writes; others, a lease say, may come and go after its end."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(kw_only=True, slots=True)
class History:
    """What happened in the folder of one job."""

    counts: Counter[str] = field(default_factory=Counter)
    """Times that a file was put in place or written."""
    finished: bool = False
    """Whether its result was seen."""
    result: bytes = b""
    """The result as it was first seen."""
    lost: int = 0
    """Times that a result went away, or changed."""
    after_end: list[str] = field(default_factory=list)
    """Files written after the result was."""


class Watch:
    """The histories of all jobs of a store."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.jobs: dict[str, History] = defaultdict(History)
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, str] = {}
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify is not there")

    def look(self) -> None:
        """Take note of what happened since the last look."""
        try:
            notices = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            notices = b""
        while notices:
            folder, mask, _, length = HEAD.unpack_from(notices)
            name = notices[HEAD.size : HEAD.size + length].rstrip(b"\0").decode()
            self._note(self._folders[folder], name, mask)
            notices = notices[HEAD.size + length :]
        self._find_new()

    def _find_new(self) -> None:
        known = set(self._folders.values())
        for path in self.out.glob("*/"):
            if path.name not in known:
                number = _libc.inotify_add_watch(self._fd, bytes(path), ALL)
                self._folders[number] = path.name
                for file in path.glob("*.json*"):  # there before we watched
                    self._note(path.name, file.name, MOVED_HERE)

    def _note(self, job: str, name: str, mask: int) -> None:
        if name not in STATE:
            return
        history = self.jobs[job]
        if name == RESULT and mask & (DELETED | MOVED_AWAY):
            history.lost += 1
        if not mask & (MOVED_HERE | CLOSED_WRITTEN):
            return
        history.counts[name] += 1
        if history.finished:
            history.after_end.append(name)
        elif name == RESULT:
            history.finished = True
            history.result = (self.out / job / RESULT).read_bytes()

    def close(self) -> None:
        """Compare the results that are there with what they were at first."""
        self.look()
        for job, history in self.jobs.items():
            path = self.out / job / RESULT
            if history.finished and (
                not path.exists() or path.read_bytes() != history.result
            ):
                history.lost += 1
        os.close(self._fd)
