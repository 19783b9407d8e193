"""Leases: who works on a folder, on any host that shares its file system.

A folder holds numbered lease files, and the highest number is the owner::

    .lease-000002        held: who by stands in it; its owner touches it as it works
    .lease-000003-free   given back before the work was over

To take a folder whose lease is free, or whose owner is gone, is to create the next
number, which only one process can. A number is not used again while the work is not
over, so no one deletes what another has just made. The work over, the leases go.

An owner of this machine is gone when its process is. One of another machine is gone
when its file stood still for as long as its lease lasts *by the watcher's own clock*:
clocks are never compared. Who was away for so long, stopped or cut off, finds a higher
number when it comes back, and leaves without a word; `guard` stands before each write.

Nothing here needs more of a file system than exclusive creation and renaming: no flock.
A lease is opened to be looked at, for NFS may answer a stat from a cache a minute old.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from scaling.exit_codes import STOPPED
from scaling.record import RESULT

PREFIX, FREE = ".lease-", "-free"
_NAME = re.compile(rf"{re.escape(PREFIX)}(\d+)({FREE})?")

TTL = 60.0
"""Seconds without a touch after which an owner on another machine counts as gone."""

BEATS = 6
"""Touches in that time."""


# --- Who ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The process that holds a lease, as the lease says."""

    host: str
    """Name of its host, for people."""
    machine: str
    """Where its process id means something: host, boot and namespace."""
    pid: int
    """Process id."""
    started: str
    """When the process began, in ticks since the boot; ids are used again."""
    ttl: float
    """Seconds that the lease lasts without a touch."""

    def __str__(self) -> str:
        """As people look for a process."""
        return f"{self.host}:{self.pid}"

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended."""
        return self.machine == _machine() and _started(self.pid) != self.started


@cache
def _machine() -> str:
    """Containers and cloned machines may share a boot or a host's name, not all."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {boot} {namespace}"


def _started(pid: int) -> str | None:
    """Start of a process, None when it ended; '' where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self").exists() else _answers(pid)
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _answers(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


# --- Looking ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A folder at one moment."""

    names: frozenset[str]
    """Its files and folders; none where it is not there."""
    number: int
    """The highest lease, 0 where there is none."""
    held: bool
    """Whether that one has an owner, dead or alive."""
    touched: int
    """When the owner touched it last, in nanoseconds of some clock; 0 unknown."""
    owner: Owner | None
    """Who holds it; None where that is unknown, or nobody does."""

    @property
    def holder(self) -> str:
        """The owner, in a word."""
        return str(self.owner or "an unknown owner")


def look(folder: Path | str) -> Look:
    """See who holds a folder and what is in it; the folder may be missing."""
    try:
        names = frozenset(os.listdir(folder))
    except FileNotFoundError:
        names = frozenset()
    number, held = max(_leases(names), default=(0, False))
    touched, owner = _read(Path(folder, _name(number))) if held else (0, None)
    return Look(names=names, number=number, held=held, touched=touched, owner=owner)


def _leases(names: Iterable[str]) -> list[tuple[int, bool]]:
    """Numbers of the leases among some names, and whether they are held."""
    found = (_NAME.fullmatch(name) for name in names if name.startswith(PREFIX))
    return [(int(each[1]), not each[2]) for each in found if each]


def _name(number: int) -> str:
    return f"{PREFIX}{number:06d}"


def _read(path: Path) -> tuple[int, Owner | None]:
    """When a lease was touched and who holds it; it may be damaged, or just gone."""
    try:
        with path.open("rb") as file:
            touched, text = os.fstat(file.fileno()).st_mtime_ns, file.read()
    except OSError:
        return 0, None
    try:
        return touched, Owner(**json.loads(text))
    except (ValueError, TypeError):
        return touched, None


class Watch:
    """Tells from outside which owners are gone; it takes two looks, a lease apart.

    Parameters
    ----------
    ttl : float
        Seconds to give an owner whose lease does not say how long it lasts.
    """

    def __init__(self, ttl: float = TTL) -> None:
        self.ttl = ttl
        self.seen: dict[Path, tuple[tuple[int, int], float]] = {}

    def look(self, folder: Path) -> tuple[Look, bool]:
        """Look at a folder, and say whether it can be taken."""
        now = time.monotonic()  # before, so that to be held up here is not held against
        found = look(folder)
        if not found.held or (found.owner and found.owner.gone):
            return found, True
        sign = (found.number, found.touched)
        earlier, since = self.seen.get(folder, (None, now))
        if sign != earlier:
            self.seen[folder] = (sign, now)
            return found, False
        return found, now - since > (found.owner.ttl if found.owner else self.ttl)


# --- Holding ---


class Lease:
    """A lease of this process, touched from a thread for as long as it is held.

    As a context it ends with the block: the leases go when the folder has its result;
    else they are given back.
    """

    def __init__(self, path: Path, number: int, ttl: float) -> None:
        self.path = path
        self.number = number
        self.ttl = ttl
        self._touched = _now()
        self._over = threading.Event()
        self._busy = threading.Lock()

    def __enter__(self) -> Self:
        _held.append(self)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._busy:
            self._over.set()
        _held.remove(self)
        with suppress(OSError):  # it was taken over, or lapses by itself
            if (self.path.parent / RESULT).exists():
                self.path.unlink()
            else:  # no space is needed for it, should the disk be full
                self.path.rename(self.path.with_name(self.path.name + FREE))

    def guard(self) -> None:
        """Leave the process unless the lease is ours; see the function `guard`."""
        if _now() - self._touched > self.ttl / 2:
            self.touch()

    def touch(self) -> None:
        """Touch the lease; leave the process if another has taken it."""
        with self._busy:
            if not self._over.is_set() and self._is_lost():
                os._exit(STOPPED)

    def _is_lost(self) -> bool:
        now = _now()
        try:
            os.utime(self.path)
            names = os.listdir(self.path.parent)
        except FileNotFoundError:
            return True
        except OSError:  # a server that is away for a moment: the next touch tells
            return False
        self._touched = now
        return max(_leases(names), default=(0, False))[0] > self.number

    def _beat(self) -> None:
        while not self._over.wait(self.ttl / BEATS):
            self.touch()


_held: list[Lease] = []


def guard() -> None:
    """Leave the process at once if it lost its lease; call it before each write.

    It costs nothing while the lease was touched lately, for then no one can have taken
    it. A process without a lease passes.
    """
    for lease in _held:
        lease.guard()


def _now() -> float:
    """Read a clock that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def acquire(folder: Path, ttl: float = TTL, over: int = 0) -> Lease | None:
    """Take a folder that nobody holds, or whose owner is gone.

    Parameters
    ----------
    folder : Path
        It must be there.
    ttl : float
        Seconds without a touch after which other machines may take it over.
    over : int
        A lease whose owner a `Watch` found gone.

    Returns
    -------
    Lease or None
        To be entered as a context; None when another process holds the folder. Look
        then whether the work is over already: it may have ended just before.
    """
    found = look(folder)
    gone = found.owner is not None and found.owner.gone
    if found.held and not gone and found.number != over:
        return None
    number = found.number + 1
    path = folder / _name(number)
    if not _create(path, ttl):
        return None
    leases = _leases(os.listdir(folder))
    if max(leases, default=None) != (number, True) or (number, False) in leases:
        path.unlink(missing_ok=True)  # we were slow: that number had been used before
        return None
    for lower, held in leases:
        if lower < number:
            (folder / (_name(lower) + FREE * (not held))).unlink(missing_ok=True)
    return Lease(path, number, ttl)


def _create(path: Path, ttl: float) -> bool:
    """Create a lease, which fails where it exists; half-written it has no owner yet."""
    owner = Owner(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        ttl=ttl,
    )
    try:
        with path.open("x") as file:
            file.write(json.dumps(asdict(owner)))
    except FileExistsError:
        return False
    except OSError as error:  # name the folder: nobody asked for a lease
        if error.errno is None:
            raise
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise type(error)(error.errno, error.strerror, str(path.parent)) from error
    return True


def wait_for(folder: Path, ttl: float = TTL) -> Lease:
    """Take a folder as soon as nobody holds it; for work that takes a moment."""
    watch = Watch(ttl)
    while True:
        found, takeable = watch.look(folder)
        if takeable and (lease := acquire(folder, ttl, found.number)):
            return lease
        time.sleep(0.02)
